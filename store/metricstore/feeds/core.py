"""A subject of core NATS: a message comes once, and is lost when it cannot be stored. What waits is bounded and counted.

Messages are stored in the order they came, those that wait together as one body, so that they share a sync of the log.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError

from metricstore.feeds.books import Books
from metricstore.feeds.notice import Trouble
from metricstore.ingest import Ingest
from metricstore.settings import Subscription
from metricwire.errors import MetricsError, Unavailable

logger = logging.getLogger(__name__)

BODY = 1024**2  # bytes of messages that are stored as one body, about
OVERHEAD = 100  # bytes of memory that a waiting message takes besides its own


class CoreFeed:
    """Takes one subscription's messages; those that have come are stored whatever happens to the connection."""

    def __init__(self, subscription: Subscription, ingest: Ingest, *, pending_bytes: int, body_bytes: int) -> None:
        self.books = Books(subscription)
        self._subscription, self._ingest = subscription, ingest
        self._pending_bytes, self._body_bytes = pending_bytes, body_bytes
        self._waiting: deque[bytes] = deque()
        self._storing: asyncio.Task[None] | None = None
        self._taken: NatsSubscription | None = None
        self._full, self._unavailable, self._refused = Trouble(), Trouble(), Trouble()

    async def attach(self, connection: Client) -> None:
        """Begin to take messages from the connection."""
        one = self._subscription
        # Without limits: `_arrived` never waits, and drops by itself, where it can count.
        self._taken = await connection.subscribe(
            one.subscribe_to, one.queue, cb=self._arrived, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def detach(self) -> None:
        """Take no more, but what the server has sent already."""
        taken, self._taken = self._taken, None
        if taken is not None:
            with suppress(NatsError, OSError, TimeoutError):  # the connection may be gone, and the subscription with it
                await taken.drain()  # type: ignore[no-untyped-call]

    async def finish(self) -> None:
        """Return when what has come is stored."""
        if self._storing is not None:
            await asyncio.wait([self._storing])

    async def _arrived(self, message: Msg) -> None:
        data, books = message.data, self.books
        memory = books.pending_bytes + (books.pending + 1) * OVERHEAD + len(data)
        books.come(len(data))
        if len(data) > self._body_bytes:
            books.lost("refused", "too_large", data)
            self._refused.say(
                "cannot take a message of %s: more than %d bytes (limits.body-bytes)", message.subject, self._body_bytes
            )
        elif memory > self._pending_bytes:
            books.lost("dropped", "full", data)
            self._full.say(
                "messages of %s are dropped: more than nats.pending-bytes wait to be stored", self._subscription.subscribe_to
            )
        else:
            self._waiting.append(data)
            if self._storing is None or self._storing.done():
                self._storing = asyncio.create_task(self._store())

    async def _store(self) -> None:
        """Store until nothing waits."""
        while self._waiting:
            messages = self._next()
            outcome = "unavailable"
            try:
                await self._ingest.write(b"\n".join(messages), self._subscription.cluster_tag)
                outcome = "stored"
            except Unavailable as error:
                self._unavailable.say("messages of %s are lost: %s", self._subscription.subscribe_to, error)
            except MetricsError as error:
                outcome = "refused"
                self._refused.say("messages of %s are refused: %s", self._subscription.subscribe_to, error)
            except Exception:  # whatever it is, the next messages are tried
                logger.exception("BUG: cannot store messages of %s", self._subscription.subscribe_to)
            finally:
                self.books.done(outcome, len(messages), sum(map(len, messages)))

    def _next(self) -> list[bytes]:
        """Messages to store as one body. One with a quote comes alone: it may leave a string open."""
        messages = [self._waiting.popleft()]
        size = len(messages[0])
        while self._waiting and size < BODY and b'"' not in messages[0] and b'"' not in self._waiting[0]:
            size += len(self._waiting[0])
            messages.append(self._waiting.popleft())
        return messages
