"""NATS for the store: keeps a connection while the program runs, and gives it to the subscriptions. The store needs none."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from nats.errors import Error as NatsError

from metricstore.feeds.access import Access, Connection, NoAccess
from metricstore.feeds.books import FeedCollector
from metricstore.feeds.core import CoreFeed
from metricstore.feeds.notice import LONGEST, Backoff, Notice, cause_of
from metricstore.feeds.stream import StreamFeed
from metricstore.ingest import Ingest
from metricstore.settings import Settings, Subscription
from metricwire import units
from metricwire.errors import BadInput, SettingsError
from metricwire.lineprotocol import Decoder

logger = logging.getLogger(__name__)

FINISH_SECONDS = 15  # that storing what has come is given when the store stops


class Feed:
    """All subscriptions of the settings; does nothing when there are none. SettingsError for what cannot work."""

    def __init__(self, settings: Settings, ingest: Ingest) -> None:
        found = settings.metric_store.nats_subscriptions
        self._access = Access(settings.nats)
        self._feeds = [_feed(one, settings, ingest) for one in checked(found)]
        self.collector = FeedCollector([one.books for one in self._feeds])
        self._notice, self._refusals = Notice(), Notice()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take messages, as soon as NATS is there."""
        if self._access and self._feeds:
            self._running = asyncio.create_task(self._run())
        elif self._access or self._feeds:
            missing = "metric-store.nats-subscriptions" if self._access else "nats.address"
            logger.warning("nothing is taken from NATS: %s is not set", missing)

    async def stop(self) -> None:
        """Take no more, store and acknowledge what has come, leave."""
        self._stopping.set()
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=FINISH_SECONDS)
            for task in late:
                logger.warning("messages from NATS are not all stored after %d s; the store stops without them", FINISH_SECONDS)
                task.cancel()
                await asyncio.wait([task])

    async def _run(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            begun = loop.time()
            try:
                await self._session()
            except (NatsError, OSError, TimeoutError, NoAccess) as error:
                self._notice.say(logging.WARNING, f"no NATS at {self._access.name}: {cause_of(error)}; trying again")
            except Exception:  # of the library, on an answer that it does not know: the store goes on
                logger.exception("BUG: no NATS at %s", self._access.name)
            if loop.time() - begun > LONGEST:
                backoff.reset()
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff.next()):
                    await self._stopping.wait()
        for one in self._feeds:  # there may be no connection any more, and messages that came before
            await one.finish()

    async def _session(self) -> None:
        """One connection, from login to its end, or ours. Raises what ended it, or why there was none."""
        connection = await self._access.connect(self._on_error)
        try:
            for one in self._feeds:
                await one.attach(connection)
            self.collector.connected = True
            self.collector.connections += 1
            self._notice.say(logging.INFO, f"taking metrics from NATS at {self._access.name}")
            await self._until_end(connection)
        finally:
            self.collector.connected = False
            for one in self._feeds:
                await one.detach()
            if self._stopping.is_set():  # what is acknowledged now does not come again
                for one in self._feeds:
                    await one.finish()
            await connection.leave()

    def _on_error(self, text: str) -> None:
        self._refusals.say(logging.WARNING, f"NATS at {self._access.name} says: {text}")

    async def _until_end(self, connection: Connection) -> None:
        """Return when the store stops; raise when the connection is lost."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, connection.ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        if not self._stopping.is_set():
            raise connection.last_error or connection.cause or ConnectionError("connection lost")


def checked(found: Sequence[Subscription]) -> Sequence[Subscription]:
    """Subscriptions that go together; SettingsError names two that do not, or a cluster that is no name."""
    seen: set[tuple[str, ...]] = set()
    for one in found:
        where = f"cannot use settings: metric-store.nats-subscriptions to {one.subscribe_to}"
        try:
            Decoder(now=0, cluster=one.cluster_tag)
        except BadInput as error:
            raise SettingsError(f"{where}: {error}") from error
        if one.stream and one.queue:
            raise SettingsError(f"{where}: a stream needs no queue; stores that share a `durable` share its messages")
        keys = {("", one.subscribe_to, one.cluster_tag, one.stream)} | ({(one.stream, one.durable)} if one.stream else set())
        if keys & seen:
            raise SettingsError(f"{where}: there is another one of the same subject and cluster, or stream and durable")
        seen |= keys
    return found


def _feed(one: Subscription, settings: Settings, ingest: Ingest) -> CoreFeed | StreamFeed:
    nats, body = settings.nats, settings.metric_store.limits.body_bytes
    if not one.stream:
        return CoreFeed(one, ingest, pending_bytes=nats.pending_bytes, body_bytes=body)
    return StreamFeed(
        one,
        ingest,
        pending_bytes=nats.pending_bytes,
        body_bytes=body,
        in_flight=nats.in_flight,
        ack_wait=units.duration(nats.ack_wait),
    )
