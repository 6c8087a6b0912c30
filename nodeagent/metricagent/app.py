"""The composition root: settings in, a running agent out. Nothing else in this package builds its own parts."""

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import CollectorRegistry, ProcessCollector

from metricagent import apiserver, collectors, dcosapi, httpstore, opsapi, podwatch
from metricagent.access import Access
from metricagent.agent import Agent, Clock
from metricagent.attribution import Attribution, read_gateways
from metricagent.backoff import Backoff, Jitter
from metricagent.books import Books
from metricagent.collector import Collector, Runner
from metricagent.containers import Containers
from metricagent.encoding import Encoding
from metricagent.host import Host
from metricagent.httpstore import HttpStore
from metricagent.labels import Labeller
from metricagent.latest import Latest
from metricagent.pods import Pods
from metricagent.podwatch import PodWatch
from metricagent.push import Destination, Pusher
from metricagent.reasons import why
from metricagent.scrape import Limits as ScrapeLimits
from metricagent.scrape import Scraper
from metricagent.server import CannotListen, listening
from metricagent.settings import (
    AgentSettings,
    ApiSettings,
    NatsSettings,
    PodsSettings,
    StatsdSettings,
    StoreSettings,
    address,
    nats_servers,
    place,
)
from metricagent.spool import Spool
from metricagent.statsd import server as statsd_server
from metricagent.statsd.aggregation import Aggregation, Limits
from metricagent.statsd.datagrams import Datagrams
from metricagent.statsd.intake import Intake
from metricagent.storestate import StoreState
from metricagent.strangers import Strangers
from metricagent.textfile import Textfile
from metricagent.tlsfiles import TlsFiles
from metricwire import __version__
from metricwire.reviews import Reviews
from metricwire.samples import Place

if TYPE_CHECKING:
    from metricagent.natssubject import NatsSubject
    from metricagent.tokencheck import TokenCheck
    from metricwire.apiserver import ApiServer

LAST_TRY = 20.0  # seconds for what waits when the agent is told to stop: most of the 30 s that a pod has

logger = logging.getLogger(__name__)


async def run(settings: AgentSettings) -> None:
    """An agent, until SIGTERM or SIGINT. MetricsError: why it cannot start; SettingsError: its settings are to blame."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    here, clock, registry = place(settings), Clock(), CollectorRegistry()
    ProcessCollector(namespace="metricagent", registry=registry)
    host = Host(Path(settings.host.proc), Path(settings.host.sys), Path(settings.host.root))
    pods = Pods()
    latest, books = Latest(settings.interval), Books(registry)
    encoding = _encoding(settings.store)
    async with (
        _destination(settings, encoding) as destination,
        _access(settings.api, clock) as access,
        _following(settings.pods, here.host, pods, registry),
        _statsd(settings.statsd, pods, registry) as applications,
        _scraping(settings, pods, registry, clock) as scraped,
    ):
        runner = Runner(_collectors(settings, host, here, registry, pods) | applications | scraped, registry)
        with closing(Spool(Path(settings.spool.directory), settings.spool.bytes, books, encoding)) as spool:
            pusher = _pusher(settings, destination, spool, registry)
            agent = Agent(
                place=here,
                interval=settings.interval,
                runner=runner,
                labeller=Labeller(here, pods, settings.interval),
                latest=latest,
                spool=spool,
                books=books,
                registry=registry,
                wake=pusher.wake,
                clock=clock,
            )
            strangers = Strangers(clock.steady, registry, settings.api.connections_per_second)
            ops = opsapi.application(latest, registry, agent.alive, clock.wall)
            api = dcosapi.application(here, latest, access, clock.wall)
            async with (
                listening(ops, "metrics-address", settings.metrics_address),
                listening(api, "api.address", settings.api.address, strangers),
            ):
                logger.info("agent %s of host %s in cluster %s started", __version__, here.host, here.cluster)
                await _work(agent, pusher, stop)
            logger.info("agent stopped: %d batches wait in the spool", len(spool))


def _collectors(
    settings: AgentSettings, host: Host, here: Place, registry: CollectorRegistry, pods: Pods
) -> dict[str, Collector]:
    """Everything that is read at a tick; the files of people last, whose numbers come before our own."""
    of_pods = settings.pods is not None
    containers = {"containers": lambda host: Containers(host, pods.has_container, pods.storage_limit, only_pods=of_pods)}
    found = collectors.build(settings.collectors, host, containers)
    files = settings.textfile
    if files.directory:
        found["textfile"] = Textfile(
            Path(files.directory), here, bytes=files.file_bytes, series=files.series, registry=registry
        )
    return found


def _pusher(settings: AgentSettings, destination: Destination, spool: Spool, registry: CollectorRegistry) -> Pusher:
    chance = random.SystemRandom()
    return Pusher(
        destination=destination,
        spool=spool,
        state=StoreState(registry, behind=bool(spool)),
        fresh=Backoff(chance, settings.interval),
        late=Backoff(chance),
        jitter=Jitter(chance, settings.interval),
    )


async def _work(agent: Agent, pusher: Pusher, stop: asyncio.Event) -> None:
    """Sample and deliver until told to stop, then deliver what waits, up to the first trouble; a bug in sampling ends both."""
    delivery = asyncio.create_task(pusher.run())
    sampling = asyncio.create_task(agent.run(stop))
    await asyncio.wait((delivery, sampling), return_when=asyncio.FIRST_COMPLETED)
    delivery.cancel()
    with suppress(asyncio.CancelledError):
        await delivery
    await sampling
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_TRY):
            await pusher.drain()


@asynccontextmanager
async def _statsd(
    settings: StatsdSettings | None, pods: Pods, registry: CollectorRegistry
) -> AsyncIterator[dict[str, Collector]]:
    """What applications send, as a collector, where the settings say at which port."""
    if settings is None:
        yield {}
        return
    try:
        datagrams = Datagrams(*address("statsd.address", settings.address))
    except OSError as error:
        raise CannotListen(f"cannot listen on {settings.address} (statsd.address): {why(error)}") from error
    limits = Limits(settings.series, settings.series_per_pod, settings.bytes_of_pod, settings.idle)
    aggregation = Aggregation(limits, random.random)
    intake = Intake(Attribution(pods, read_gateways()), aggregation)
    server = statsd_server.build(datagrams, intake, aggregation, limits, registry)
    server.start()
    try:
        yield {"statsd": intake}
    finally:
        server.stop()


@asynccontextmanager
async def _scraping(
    settings: AgentSettings, pods: Pods, registry: CollectorRegistry, clock: Clock
) -> AsyncIterator[dict[str, Collector]]:
    """What pods say when they are scraped, as a collector, where the settings want it."""
    scrape = settings.scrape
    if not scrape.enabled:
        yield {}
        return
    limits = ScrapeLimits(scrape.timeout, scrape.body_bytes, scrape.series_per_pod, scrape.bytes_of_pod, scrape.series)
    interval = scrape.interval or settings.interval
    scraper = Scraper(directory=pods, interval=interval, limits=limits, registry=registry, now=clock.steady)
    async with _beside(scraper.run()):
        yield {"scrape": scraper}


@asynccontextmanager
async def _following(settings: PodsSettings | None, node: str, pods: Pods, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Keep `pods` as the API server has them, where the settings say which one."""
    if settings is None:
        yield
        return
    async with podwatch.session() as session:
        watch = PodWatch(
            url=settings.url,
            token_file=Path(settings.token_file),
            ca_file=Path(settings.ca_file),
            node=node,
            labels=settings.labels,
            session=session,
            pods=pods,
            registry=registry,
            chance=random.SystemRandom(),
        )
        async with _beside(watch.run()):
            yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do the work meanwhile; at the end it is cancelled."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _access(api: ApiSettings, clock: Clock) -> AsyncIterator[Access]:
    """Who may ask this node; the API server is asked only where the settings have one."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(apiserver.connected(api.kubernetes)) if api.kubernetes else None
        yield Access(api, lambda: _token_check(api, server, clock))


def _token_check(api: ApiSettings, server: "ApiServer | None", clock: Clock) -> "TokenCheck":
    from metricagent.tokencheck import Cluster, TokenCheck  # noqa: PLC0415 see access.py
    from metricwire.serviceaccounts import ClusterKeys  # noqa: PLC0415

    cluster = None
    if server is not None and api.kubernetes is not None:
        keys = ClusterKeys(server, api.kubernetes.audience, clock.steady, logger)
        cluster = Cluster(keys, Reviews(server, clock.steady, logger))
    return TokenCheck(
        api.public_key_files,
        login_key_files=api.login_key_files,
        cluster=cluster,
        expiring=api.require_exp,
        now=clock.wall,
    )


@asynccontextmanager
async def _destination(settings: AgentSettings, encoding: Encoding) -> AsyncIterator[Destination]:
    """Where samples go; settings.parse has seen to it that it is one or the other."""
    if settings.nats is not None:
        async with aclosing(_nats(settings.nats)) as subject:
            yield subject
    if settings.store is not None:
        store = settings.store
        tls = None
        if store.url.startswith("https:"):
            tls = TlsFiles("store", store.ca_file, store.cert_file, store.key_file, ca_optional=store.ca_optional)
        async with httpstore.session() as session:
            yield HttpStore(url=store.url, token_file=Path(store.token_file), session=session, tls=tls, encoding=encoding)


def _nats(nats: NatsSettings) -> "NatsSubject":
    from metricagent.natsaccess import Access as NatsAccess  # noqa: PLC0415 see natssubject.py
    from metricagent.natssubject import NatsSubject  # noqa: PLC0415

    servers = nats_servers(nats.url)
    secure = nats.ca_file or nats.cert_file or any(server.startswith("tls:") for server in servers)
    access = NatsAccess(
        servers,
        tls=TlsFiles("nats", nats.ca_file, nats.cert_file, nats.key_file) if secure else None,
        credentials_file=Path(nats.credentials_file) if nats.credentials_file else None,
        username=nats.username,
        password_file=Path(nats.password_file) if nats.password_file else None,
    )
    return NatsSubject(access, nats.subject, acknowledged=nats.acknowledged)


def _encoding(store: StoreSettings | None) -> Encoding:
    """How batches are compressed; those for NATS are only so in the spool."""
    if store is None:
        return Encoding.ZSTD
    return {"zstd": Encoding.ZSTD, "gzip": Encoding.GZIP, "none": Encoding.PLAIN}[store.compression]
