"""The composition root: every part of the store is made and joined here, started and stopped in order."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, CollectorRegistry, ProcessCollector

from metricstore.api import certificate
from metricstore.api.accounts import Accounts
from metricstore.api.auth import Cluster, Gate, KeyRing, Permission
from metricstore.api.backup import Copies
from metricstore.api.cardinality import Cardinality
from metricstore.api.clustercockpit import ClusterCockpit
from metricstore.api.dcos import Dcos
from metricstore.api.handshake import Handshake
from metricstore.api.influx import Influx
from metricstore.api.keeping import Keeping
from metricstore.api.login import Logins
from metricstore.api.operations import Operations
from metricstore.api.prometheus import Prometheus, Scrapes, StoreCollector
from metricstore.api.protocol import BoundedProtocol, Bounds, Room
from metricstore.api.requests import Requests
from metricstore.api.routes import Application, Route
from metricstore.api.serviceaccounts import ApiServer
from metricstore.api.swagger import Swagger
from metricstore.engine import Engine
from metricstore.ingest import Ingest
from metricstore.numeric import kernels
from metricstore.settings import Kubernetes, Nats, Settings, split_address
from metricstore.steadyclock import passing
from metricwire import __version__
from metricwire.errors import SettingsError
from metricwire.reviews import Reviews
from metricwire.serviceaccounts import ClusterKeys
from metricwire.settings import NODE_NAME

if TYPE_CHECKING:
    from metricstore.feeds.feed import Feed

logger = logging.getLogger(__name__)

KEEP_EVERY = 5.0  # seconds between two looks at what is to be sealed, or past the retention
OPERATIONS_CONNECTIONS = 128  # to the port for operations, which has its own so that a crowd at the API does not reach it
FILES = 128  # descriptors for what is not a connection
KEEP_ALIVE = 75  # seconds that an idle connection stays: longer than agents and scrapers pause, so that none meets its end
DRAIN = 20  # seconds that requests under way are given when the store stops


class Server(uvicorn.Server):
    """A server that leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


class App:
    """A whole store. Making it opens the data folder; SettingsError when that or the settings cannot be used."""

    def __init__(
        self,
        settings: Settings,
        *,
        dev: bool = False,
        open_to_all: bool = False,
        clock: Callable[[], float] = time.time,
        passing: Callable[[], float] = passing,
    ) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.failed = False
        self._state = "starting"
        self._requests = Requests()
        store = settings.metric_store
        self._tls = certificate.served(settings.main)
        accounts = Accounts(store.login) if store.login else None
        gate = self._gate(accounts, dev, open_to_all)
        logins = Logins(accounts, settings.token_seconds, clock)
        self.engine = Engine(
            Path(store.directory),
            metrics=settings.metrics,
            retention=settings.retention,
            archived=settings.archived,
            limits=store.limits,
            cluster=store.cluster,
            clock=clock,
            passing=passing,
            on_broken=self._on_broken,
        )
        ingest = Ingest(self.engine, settings, clock)
        self.feed = _feed(settings, ingest)
        units = {name: metric.unit for name, metric in settings.metrics.items() if metric.unit}
        scrapes = Scrapes(self.engine, self._registry(ingest, logins), units)
        public = Permission.PUBLIC if store.anonymous_metrics else Permission.READ
        api: tuple[Route, ...] = (
            *ClusterCockpit(self.engine, ingest, store.limits).routes,
            *Dcos(self.engine, store.cluster, store.node or os.environ.get(NODE_NAME, ""), clock).routes,
            *Cardinality(self.engine, store.limits).routes,
            *Keeping(self.engine, store.limits).routes,
            *Copies(self.engine, self.engine.hold).routes,
            *Prometheus(scrapes, public).routes,
            *logins.routes,
            *Influx(ingest, store.limits, store.cluster, __version__).routes,
        )
        operations = (
            *Operations(lambda: self._state).routes,
            *Prometheus(scrapes, Permission.PUBLIC).routes,
        )
        if dev:
            api += Swagger(api, operations, version=__version__, operations_port=split_address(store.ops_addr)[1]).routes
        self.route_table: tuple[Route, ...] = (*api, *operations)
        self.api = Application(gate, api, self._requests)
        self.operations = Application(gate, operations, self._requests)

    def _gate(self, accounts: Accounts | None, dev: bool, open_to_all: bool) -> Gate:
        store, key = self.settings.metric_store, self.settings.main.jwt_public_key
        if not (key or store.public_key_files or store.kubernetes or accounts or open_to_all):
            raise SettingsError(
                "cannot start without a way to check tokens: set main.jwt-public-key, metric-store.public-key-files, "
                "metric-store.kubernetes or metric-store.login, or start with --insecure-no-auth"
            )
        ring = KeyRing(key, store.public_key_files, dev=dev)
        ring.keys()  # what is wrong with the files is said now, not at the first request
        return Gate(
            ring,
            cluster=_cluster(store.kubernetes) if store.kubernetes else None,
            accounts=accounts,
            strict_roles=store.strict_roles,
            expiring=store.require_exp,
            open_to_all=open_to_all,
        )

    def _registry(self, ingest: Ingest, logins: Logins) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(StoreCollector(self.engine, ingest, __version__))
        registry.register(self._requests)
        registry.register(logins.counts)
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR):
            registry.register(collector)
        ProcessCollector(registry=registry)
        if self.feed and self.settings.metric_store.nats_subscriptions:
            registry.register(self.feed.collector)
        return registry

    def _on_broken(self, _: Exception) -> None:
        self.failed = True
        self.stopping.set()

    async def run(self) -> None:
        """Serve until `stopping` is set. `failed` tells afterwards whether the store had to stop by itself."""
        main, store = self.settings.main, self.settings.metric_store
        limits = store.limits
        if not kernels.COMPILED:
            logger.warning("running without compiled kernels, which this installation lacks: writing takes more CPU time")
        make_descriptors(limits.connections + OPERATIONS_CONNECTIONS + FILES)
        sockets = [listen(main.addr), listen(store.ops_addr)]
        operations = _server(self.operations, Bounds(OPERATIONS_CONNECTIONS))
        serving = [asyncio.create_task(operations.serve([sockets[1]]), name=f"health, metrics ({store.ops_addr})")]
        await self._recover()
        api = _server(self.api, Bounds(limits.connections, limits.connections_per_address), self._tls)
        serving.append(asyncio.create_task(api.serve([sockets[0]]), name=f"API ({main.addr})"))
        if self.feed:
            self.feed.start()
        keeping = asyncio.create_task(self._keep())
        self._state = ""
        logger.info("ready on %s (API) and %s (health, metrics)", main.addr, store.ops_addr)
        await self._until_stopping(serving)
        self._state = "stopping"
        keeping.cancel()
        api.should_exit = True
        if self.feed:
            await self.feed.stop()
        await asyncio.wait(serving[1:])
        await self.engine.close()
        operations.should_exit = True
        await asyncio.wait(serving[:1])
        logger.info("stopped")

    async def _until_stopping(self, serving: list[asyncio.Task[None]]) -> None:
        """Return when the store is to stop; a server that ends by itself is a reason."""
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([*serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in serving:
            if task.done():
                self.failed = True
                logger.critical("cannot go on: the server for %s ended: %s", task.get_name(), task.exception() or "no error")

    async def _recover(self) -> None:
        self._state = "replaying the log"
        gc.disable()  # all that is made now stays: looking through it again and again takes a tenth of the start
        try:
            found = await asyncio.to_thread(self.engine.recover)
        finally:
            gc.enable()
        if found.damaged:
            logger.warning("%d places of the log could not be read; what they held is lost", found.damaged)
        if found.samples:
            logger.info(
                "found %d samples of %d series in %s, read in %.1f s",
                found.samples,
                self.engine.series,
                self.settings.metric_store.directory,
                found.seconds,
            )

    async def _keep(self) -> None:
        """Seal, merge, archive and expire what is due, from time to time; whatever goes wrong, this goes on."""
        failing = False
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.pressed.wait(), KEEP_EVERY)
            try:
                await self.engine.keep()
            except OSError as error:
                if not failing:
                    logger.warning("cannot change blocks or archive: %s; tried again every few seconds, nothing is lost", error)
                failing = True
            except Exception:
                if not failing:
                    logger.exception("BUG: cannot change blocks or archive; tried again every few seconds")
                failing = True
            else:
                failing = False
            if self.engine.pressed.is_set() and (failing or self.engine.strained):
                # There is no end to it: others need the processor too.
                await asyncio.sleep(KEEP_EVERY)


def _feed(settings: Settings, ingest: Ingest) -> "Feed | None":
    """What takes from NATS, where the settings speak of it."""
    if settings.nats == Nats() and not settings.metric_store.nats_subscriptions:
        return None
    from metricstore.feeds.feed import Feed  # noqa: PLC0415 its library takes a quarter of a second of a start, and 10 MB

    return Feed(settings, ingest)


def _cluster(settings: Kubernetes) -> Cluster:
    server = ApiServer(settings)
    keys = ClusterKeys(server, settings.audience, time.monotonic, logger)
    return Cluster(keys, Reviews(server, time.monotonic, logger), settings.agents)


def _server(app: Application, bounds: Bounds, tls: ssl.SSLContext | None = None) -> Server:
    room = Room(bounds)
    config = uvicorn.Config(
        app,
        http=partial(Handshake, room=room, tls=tls) if tls else partial(BoundedProtocol, room=room),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )
    config.load()
    return Server(config)


def make_descriptors(wanted: int) -> None:
    """Let this process have so many files and connections open, as far as it may: the log must never lack one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("only %d files can be open here; metric-store.limits.connections asks for %d", allowed, wanted)


def listen(address: str) -> socket.socket:
    """A listening socket. SettingsError when the port is taken or not ours to have."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise SettingsError(f"cannot listen on {address}: {error.strerror}") from error
    sock.listen(2048)
    return sock
