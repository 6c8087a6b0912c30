"""NATS instead of HTTP: each parcel is a message on a subject, its lines as they are (what ClusterCockpit's stores take).

Delivered is what a JetStream stream has acknowledged: it is kept there until a store has it. Without a stream (`acknowledged`
false, core NATS) delivered is what the server has received; whether anybody listens is not known: best effort.
Which lines a store refuses later is in the store's books, not here.

Imported only where NATS is used: the library takes a third of a second.
"""

import asyncio
from collections.abc import Mapping

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from metricagent.answers import REASON_SHOWN, Decision, Later, Smaller, Taken
from metricagent.natsaccess import Access, CannotLogIn, Connection
from metricagent.parcels import Parcel
from metricagent.reasons import why

ANSWER_SECONDS = 15
TOO_LARGE = 10054  # JetStream's number for a message larger than its stream takes


class NatsSubject:
    """Sends to `subject`. A lost connection is made anew for the next parcel."""

    def __init__(self, access: Access, subject: str, *, acknowledged: bool = True) -> None:
        self._access = access
        self._subject = subject
        self._acknowledged = acknowledged
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()  # two lanes send

    async def send(self, parcel: Parcel) -> Decision:
        """One message."""
        try:
            async with self._connecting:
                connection = await self._connected()
        except CannotLogIn as error:
            return Later("login", str(error))
        except (NatsError, OSError) as error:  # TimeoutError is an OSError
            return _unreachable(error)
        if parcel.size > connection.max_payload:
            return Smaller(by_store=True, most=connection.max_payload)
        before = connection.refused
        decision = await self._while_it_lasts(connection, parcel.text())
        refused = connection.refused > before and not isinstance(decision, Smaller)
        return Later("permission", connection.refusal) if refused else decision

    async def aclose(self) -> None:
        """Leave."""
        if self._connection is not None:
            await self._connection.leave()

    async def _while_it_lasts(self, connection: Connection, text: bytes) -> Decision:
        """Publish; the library does not notice that an answer cannot come any more."""
        publishing = asyncio.create_task(self._publish(connection, text))
        ended = asyncio.create_task(connection.ended.wait())
        try:
            await asyncio.wait((publishing, ended), return_when=asyncio.FIRST_COMPLETED)
            return publishing.result() if publishing.done() else Later("unreachable", "the connection was lost")
        finally:
            publishing.cancel()
            ended.cancel()

    async def _publish(self, connection: Connection, text: bytes) -> Decision:
        """Publish, and wait for the word of the stream, or else of the server."""
        try:
            if self._acknowledged:
                answer = await connection.request(self._subject, text, timeout=ANSWER_SECONDS)
                return acknowledgement(answer.data)
            await connection.publish(self._subject, text)
            for _ in range(2):  # the library's first PING may overtake the message; the second goes when that one is answered
                await connection.flush(ANSWER_SECONDS)
        except NoRespondersError:
            return Later("stream", f"no stream keeps the subject {self._subject}; `nats stream add` makes one")
        except (NatsError, OSError) as error:
            return _unreachable(error)
        return Taken()

    async def _connected(self) -> Connection:
        if self._connection is None or not self._connection.is_connected:
            await self.aclose()
            self._connection = None
            self._connection = await self._access.connect()
        return self._connection


def _unreachable(error: Exception) -> Later:
    return Later("unreachable", why(error).removeprefix("nats: ").strip("'"))


def acknowledgement(data: bytes) -> Decision:
    """What a stream's answer to a message means, if it is one."""
    try:
        answer = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        error = answer.get("error")
        if isinstance(error, Mapping):
            if error.get("err_code") == TOO_LARGE:
                return Smaller(by_store=True)
            return Later("stream", f"its stream does not take it: {str(error.get('description'))[:REASON_SHOWN]}")
        if isinstance(answer.get("stream"), str) and type(answer.get("seq")) is int:
            return Taken()
    return Later("stranger", "what answers on that subject is no stream")
