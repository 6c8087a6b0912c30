"""The composition root: every part of the store is made and joined here, started and stopped in order."""

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, CollectorRegistry, ProcessCollector

from metricstore.api.auth import Gate, KeyRing, Permission
from metricstore.api.clustercockpit import ClusterCockpit
from metricstore.api.dcos import Dcos
from metricstore.api.operations import Operations
from metricstore.api.prometheus import Prometheus, StoreCollector
from metricstore.api.routes import Route, application
from metricstore.api.serviceaccounts import ClusterKeys
from metricstore.engine import Engine
from metricstore.ingest import Ingest
from metricstore.settings import Settings, split_address
from metricwire import __version__
from metricwire.errors import SettingsError
from metricwire.tokens import PUBLISHED_KEY

logger = logging.getLogger(__name__)

EXPIRE_EVERY = 60.0  # seconds between two looks for samples past the retention
DRAIN = 20  # seconds that requests under way are given when the store stops


class Server(uvicorn.Server):
    """A server that leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


class App:
    """A whole store. Making it opens the data folder; SettingsError when that or the settings cannot be used."""

    def __init__(self, settings: Settings, *, dev: bool = False, open_to_all: bool = False) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.failed = False
        self._state = "starting"
        store = settings.metric_store
        gate = self._gate(dev, open_to_all)
        self.engine = Engine(
            Path(store.directory),
            metrics=settings.metrics,
            retention=settings.retention,
            series_limit=store.limits.series,
            waiting_limit=store.limits.waiting,
            cluster=store.cluster,
            on_broken=self._on_broken,
        )
        ingest = Ingest(self.engine, settings)
        registry = self._registry(ingest)
        public = Permission.PUBLIC if store.anonymous_metrics else Permission.READ
        api = (
            *ClusterCockpit(self.engine, ingest, store.limits).routes,
            *Dcos(self.engine, store.cluster, store.node).routes,
            *Prometheus(self.engine, registry, public).routes,
        )
        operations = (
            *Operations(lambda: self._state).routes,
            *Prometheus(self.engine, registry, Permission.PUBLIC).routes,
        )
        self.route_table: tuple[Route, ...] = (*api, *operations)
        self.api: FastAPI = application(gate, api)
        self.operations: FastAPI = application(gate, operations)

    def _gate(self, dev: bool, open_to_all: bool) -> Gate:
        store, key = self.settings.metric_store, self.settings.main.jwt_public_key
        if key == PUBLISHED_KEY and not dev:
            raise SettingsError(
                "cannot start with the key of cc-metric-store's documentation, which everybody has; --dev allows it"
            )
        if not (key or store.public_key_files or store.kubernetes or open_to_all):
            raise SettingsError(
                "cannot start without a way to check tokens: set main.jwt-public-key, metric-store.public-key-files or "
                "metric-store.kubernetes, or start with --insecure-no-auth"
            )
        return Gate(
            KeyRing(key, store.public_key_files),
            service_accounts=ClusterKeys(store.kubernetes) if store.kubernetes else None,
            strict_roles=store.strict_roles,
            open_to_all=open_to_all,
        )

    def _registry(self, ingest: Ingest) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(StoreCollector(self.engine, ingest, __version__))
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR):
            registry.register(collector)
        ProcessCollector(registry=registry)
        return registry

    def _on_broken(self, _: OSError) -> None:
        self.failed = True
        self.stopping.set()

    async def run(self) -> None:
        """Serve until `stopping` is set. `failed` tells afterwards whether the disk was the reason."""
        main, store = self.settings.main, self.settings.metric_store
        sockets = [listen(main.addr), listen(store.ops_addr)]
        operations = self._server(self.operations)
        serving = [asyncio.create_task(operations.serve([sockets[1]]))]
        await self._recover()
        api = self._server(self.api, main.https_cert_file, main.https_key_file)
        serving.append(asyncio.create_task(api.serve([sockets[0]])))
        expiring = asyncio.create_task(self._expire())
        self._state = ""
        logger.info("ready on %s (API) and %s (health, metrics)", main.addr, store.ops_addr)
        await self.stopping.wait()
        self._state = "stopping"
        expiring.cancel()
        api.should_exit = True
        await serving[1]
        await self.engine.close()
        operations.should_exit = True
        await serving[0]
        logger.info("stopped")

    async def _recover(self) -> None:
        self._state = "replaying the log"
        found = await asyncio.to_thread(self.engine.recover)
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

    def _server(self, app: FastAPI, certificate: str = "", key: str = "") -> Server:
        tls = {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=self.settings.metric_store.limits.connections,
            timeout_graceful_shutdown=DRAIN,
            **tls,  # type: ignore[arg-type]
        )
        return Server(config)

    async def _expire(self) -> None:
        """Forget what is past the retention, from time to time."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, guards nothing
            begun = time.monotonic()
            gone = self.engine.expire()
            if gone:
                logger.debug("%d windows and segments past the retention removed in %.2f s", gone, time.monotonic() - begun)


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
