"""The composition root: settings in, a running agent out. Nothing else in this package builds its own parts."""

import asyncio
import logging
import random
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import prometheus_client
import psutil
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from metricagent import collectors, dcosapi, opsapi
from metricagent.access import Access
from metricagent.agent import Agent, Clock
from metricagent.backoff import Backoff, Jitter
from metricagent.books import Books
from metricagent.collector import Runner
from metricagent.host import Host
from metricagent.latest import Latest
from metricagent.push import Pusher, StoreState
from metricagent.reasons import why
from metricagent.settings import AgentSettings, StoreSettings, address, place
from metricagent.spool import Spool
from metricwire import __version__
from metricwire.errors import MetricsError, SettingsError

LAST_TRY = 3.0  # seconds for a last delivery when the agent is told to stop

logger = logging.getLogger(__name__)


class CannotListen(MetricsError):
    """An address cannot be listened on; the text names its setting."""


async def run(settings: AgentSettings) -> None:
    """An agent, until SIGTERM or SIGINT. MetricsError: why it cannot start; SettingsError: its settings are to blame."""
    psutil.PROCFS_PATH = settings.host.proc
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    here, clock, registry = place(settings), Clock(), CollectorRegistry()
    ProcessCollector(namespace="metricagent", registry=registry)
    host = Host(Path(settings.host.proc), Path(settings.host.sys), Path(settings.host.root))
    runner = Runner(collectors.build(settings.collectors, host), registry)
    access = Access(settings.api.public_key_files, anonymous=settings.api.anonymous, now=clock.wall)
    latest, books = Latest(settings.interval), Books(registry)
    async with _session(settings.store) as session:
        with closing(Spool(Path(settings.spool.directory), settings.spool.bytes, books)) as spool:
            pusher = _pusher(settings, session, spool, books, registry)
            agent = Agent(
                place=here,
                interval=settings.interval,
                runner=runner,
                latest=latest,
                spool=spool,
                books=books,
                registry=registry,
                wake=pusher.wake,
                clock=clock,
            )
            ops = opsapi.application(latest, registry, agent.alive, clock.wall)
            api = dcosapi.application(here, latest, access, clock.wall)
            async with (
                _listening(ops, "metrics-address", settings.metrics_address),
                _listening(api, "api.address", settings.api.address),
            ):
                logger.info("agent %s of host %s in cluster %s started", __version__, here.host, here.cluster)
                await _work(agent, pusher, stop)
            logger.info("agent stopped: %d batches wait in the spool", len(spool))


def _pusher(
    settings: AgentSettings, session: aiohttp.ClientSession, spool: Spool, books: Books, registry: CollectorRegistry
) -> Pusher:
    chance = random.SystemRandom()
    return Pusher(
        url=settings.store.url,
        token_file=Path(settings.store.token_file),
        session=session,
        spool=spool,
        books=books,
        state=StoreState(registry, behind=bool(spool)),
        backoff=Backoff(chance),
        jitter=Jitter(chance, settings.interval),
    )


async def _work(agent: Agent, pusher: Pusher, stop: asyncio.Event) -> None:
    """Sample and deliver until told to stop, then try once more to deliver; a bug in sampling ends both."""
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


def _session(store: StoreSettings) -> aiohttp.ClientSession:
    """Connections to the store, one at a time; certificates are always checked, proxies of the environment not used."""
    try:
        context = ssl.create_default_context(cafile=store.ca_file) if store.url.startswith("https:") else None
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use store.ca-file {store.ca_file}: {why(error)}") from error
    connector = aiohttp.TCPConnector(limit=1, ssl=context or True)
    return aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)


@asynccontextmanager
async def _listening(app: web.Application, name: str, text: str) -> AsyncIterator[None]:
    """Serve `app` at the address `text` of the setting `name`."""
    host, port = address(name, text)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotListen(f"cannot listen on {text} ({name}): {why(error)}") from error
        yield
    finally:
        await runner.cleanup()
