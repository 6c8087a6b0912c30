"""A subject kept by a JetStream stream: nothing is lost. A message is acknowledged after its lines are durable here.

The store pulls through a durable consumer: it asks for as many messages as it can hold, and asks again when half of them are
done. What it cannot store now goes back, to come again later; what it can never store is ended ("term").
Protocol: https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

import asyncio
import json
import logging
import random
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from nats.js.manager import JetStreamManager

from metricstore.feeds.books import Books
from metricstore.feeds.notice import Backoff, Notice, Trouble, cause_of
from metricstore.ingest import Ingest
from metricstore.settings import Subscription
from metricwire.errors import MetricsError, Unavailable

logger = logging.getLogger(__name__)

EXPIRES = 10.0  # seconds after which the server answers a request for messages that it has not filled
GRACE = 5.0  # seconds more after which the request counts as lost
NO_STREAM = 10059  # JetStream's number for that error
EXPIRED = frozenset({"404", "408"})  # answers that end a request without anything being wrong
ACKNOWLEDGED = "$JS.ACK."  # where a message of a stream is acknowledged; answers to a request have no such place


class NoStream(MetricsError):
    """The stream or its consumer cannot be used as it is; the text says what to do."""


class StreamFeed:
    """Takes one subscription's messages; writing goes on when the connection is lost, and JetStream sends again."""

    def __init__(
        self,
        subscription: Subscription,
        ingest: Ingest,
        *,
        pending_bytes: int,
        body_bytes: int,
        in_flight: int,
        ack_wait: float,
    ) -> None:
        self.books = Books(subscription)
        self._subscription, self._ingest = subscription, ingest
        self._pending_bytes, self._body_bytes = pending_bytes, body_bytes
        self._in_flight, self._ack_wait = in_flight, ack_wait
        self._pulling: asyncio.Task[None] | None = None
        self._storing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()  # a message has come, is done, or a request has ended
        self._wanted = 0  # messages that the request under way may still bring
        self._ended: str | None = None  # why it ended before
        self._not_before = 0.0  # the loop's time until which nothing is asked for
        self._notice, self._refused = Notice(), Trouble()

    async def attach(self, connection: Client) -> None:
        """Begin to take messages from the connection."""
        self._pulling = asyncio.create_task(self._pull(connection))

    async def detach(self) -> None:
        """Take no more."""
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            pulling.cancel()
            await asyncio.wait([pulling])

    async def finish(self) -> None:
        """Return when what has come is stored and acknowledged."""
        if self._storing:
            await asyncio.wait(self._storing)

    async def _pull(self, connection: Client) -> None:
        """Take messages for as long as the connection lasts, whatever becomes of stream and consumer."""
        one, backoff = self._subscription, Backoff()
        while True:
            try:
                await self._prepare(connection.jsm())
                self._notice.say(logging.INFO, f"taking {one.subscribe_to} from stream {one.stream} as consumer {one.durable}")
                backoff.reset()
                await self._ask(connection)
            except (NoStream, NatsError, TimeoutError) as error:
                if connection.is_closed:
                    return
                self._notice.say(
                    logging.WARNING, f"cannot take {one.subscribe_to} from stream {one.stream}: {cause_of(error)}; trying again"
                )
            except Exception:  # of the library, on an answer that it does not know: other feeds go on
                logger.exception("BUG: cannot take %s from stream %s", one.subscribe_to, one.stream)
            await asyncio.sleep(backoff.next())

    async def _prepare(self, manager: JetStreamManager) -> None:
        """See to it that there is a consumer as we need it. NoStream says what is not as it should be."""
        one = self._subscription
        try:
            config = (await manager.consumer_info(one.stream, one.durable)).config
        except NotFoundError as error:
            if error.err_code == NO_STREAM:
                raise NoStream("there is no such stream; `nats stream add` makes it") from None
            config = (await manager.add_consumer(one.stream, self._consumer())).config
        except ServiceUnavailableError:
            raise NoStream("the server has no JetStream for us") from None
        except NatsTimeout:
            raise NoStream("JetStream does not answer, or this user may not ask it") from None
        except APIError as error:
            raise NoStream(str(error.description)) from None
        if config.deliver_subject or config.ack_policy != api.AckPolicy.EXPLICIT:
            raise NoStream(f"its consumer {one.durable} is not one that is pulled and acknowledged explicitly")
        if config.filter_subject not in {None, "", one.subscribe_to}:
            raise NoStream(f"its consumer {one.durable} is for {config.filter_subject}; set another `durable`")

    def _consumer(self) -> api.ConsumerConfig:
        return api.ConsumerConfig(
            name=self._subscription.durable,
            durable_name=self._subscription.durable,
            description="metricstore",
            filter_subject=self._subscription.subscribe_to,
            deliver_policy=api.DeliverPolicy.ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_deliver=-1,
            max_ack_pending=self._in_flight,
        )

    async def _ask(self, connection: Client) -> None:
        """Ask for messages again and again. NoStream when the answer is that there will be none."""
        one, inbox = self._subscription, connection.new_inbox()
        most = max(1, min(self._in_flight, self._pending_bytes // connection.max_payload))
        subject = f"{api.DEFAULT_PREFIX}.CONSUMER.MSG.NEXT.{one.stream}.{one.durable}"
        taken = await connection.subscribe(inbox, cb=self._arrived, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            while True:
                await self._room(most)
                self._wanted, self._ended = most - len(self._storing), None
                request = {"batch": self._wanted, "expires": int(EXPIRES * 1e9)}
                await connection.publish(subject, json.dumps(request).encode(), reply=inbox)
                try:
                    async with asyncio.timeout(EXPIRES + GRACE):
                        await self._answered()
                except TimeoutError:
                    raise NoStream("JetStream does not answer") from None
        finally:
            with suppress(NatsError):  # the connection may be gone
                await taken.unsubscribe()

    async def _room(self, most: int) -> None:
        """Return when there is room for half of what there can be, and the store may be tried again."""
        while len(self._storing) > most // 2:
            self._changed.clear()
            await self._changed.wait()
        await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))

    async def _answered(self) -> None:
        """Return when the request has brought what it can. NoStream when it was refused."""
        while self._wanted > 0 and self._ended is None:
            self._changed.clear()
            await self._changed.wait()
        if self._ended:
            raise NoStream(self._ended)

    async def _arrived(self, message: Msg) -> None:
        self._changed.set()
        if message.reply.startswith(ACKNOWLEDGED):
            self._wanted -= 1
            self.books.come(len(message.data))
            task = asyncio.create_task(self._take(message))
            self._storing.add(task)
            task.add_done_callback(self._stored)
        else:
            headers = message.headers or {}
            known = headers.get(api.Header.STATUS, "") in EXPIRED
            self._ended = "" if known else headers.get(api.Header.DESCRIPTION) or "it has no such consumer any more"

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._storing.discard(task)
        self._changed.set()

    async def _take(self, message: Msg) -> None:
        """Store one message and tell JetStream."""
        if len(message.data) > self._body_bytes:
            self.books.lost("refused", "too_large", message.data)
            self._refused.say(
                "cannot take a message of %s: more than %d bytes (limits.body-bytes)", message.subject, self._body_bytes
            )
            await self._tell(message, "refused")
            return
        outcome, again = "unavailable", 5.0
        try:
            self.books.redelivered += message.metadata.num_delivered > 1
            receipt = await self._ingest.write(message.data, self._subscription.cluster_tag)
            outcome = "refused" if receipt.rejected and not receipt.stored else "stored"
        except Unavailable as error:
            again = float(error.retry_after)
        except MetricsError as error:
            outcome = "refused"
            self._refused.say("messages of %s are refused: %s", message.subject, error)
        except Exception:  # it comes again
            logger.exception("BUG: cannot store a message of %s", message.subject)
        finally:
            self.books.done(outcome, 1, len(message.data))
        await self._tell(message, outcome, again)

    async def _tell(self, message: Msg, outcome: str, again: float = 0.0) -> None:
        """Acknowledge, end, or ask for another delivery after `again` seconds or somewhat more."""
        with suppress(NatsError):  # without a connection it comes again by itself
            if outcome == "stored":
                await message.ack()
            elif outcome == "refused":
                await message.term()
            else:
                wait = again * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load, guards nothing
                self._not_before = max(self._not_before, asyncio.get_running_loop().time() + wait)
                await message.nak(delay=wait)
                return
            self.books.acknowledged += 1
