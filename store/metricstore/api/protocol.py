"""HTTP connections with bounds. uvicorn has none for the size of a header or the time that it takes, and keeps no room free.

Anybody can open a connection, before any token is looked at. So one that does not send its request in time ends, and where all
places are taken, the one that has had no request under way for the longest gives up its place to the newcomer. Answers that
clients are slow to fetch share a bounded memory: where they need more, the slowest client is given up.
"""

import asyncio
import http
import socket
import struct
from collections import Counter
from typing import Any, NamedTuple, Protocol

import httptools
import orjson
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# ASGI extension: takes the scope, the status of its answer and all that follows the status line; whether it could send that.
WHOLE_ANSWERS = "metricstore.whole-answers"


class Bounds(NamedTuple):
    """What one connection, and all together, may take; times in seconds."""

    connections: int
    per_address: int = 0  # 0: as many as there may be in all
    head_time: float = 10.0  # from its first byte, or the connection's begin, to the end of the header
    body_time: float = 10.0  # for a body, or an answer, that is slower than `rate`
    linger_time: float = 5.0  # for what still comes of a body whose request was answered before its end
    rate: int = 1024  # bytes per second
    head_bytes: int = 32 * 1024
    fields: int = 100
    linger_bytes: int = 64 * 1024**2  # of such a body
    send_bytes: int = 256 * 1024  # that the kernel takes of one answer; left alone it takes 4 MiB from each slow client's
    unread_bytes: int = 16 * 1024**2  # of answers that clients have not fetched, all connections together
    unread_time: float = 0.1  # that a client has before it can be called slow
    unread_rate: int = 1024**2  # bytes per second of a client that is not slow


TEXTS = {
    400: "cannot read the request: it is not HTTP/1.1",
    408: "cannot read the request: it came too slowly",
    431: "cannot read the request: its header is longer than 32 KiB or has more than 100 fields",
    503: "cannot take another connection: as many are open as may be (limits.connections, limits.connections-per-address)",
}
# Fields of which one counts. Two of them are not for us and a proxy in front of us to choose from.
ONE_ANSWER = frozenset({b"authorization", b"content-encoding"})
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Guest(Protocol):
    """What can have a place in a room: a connection."""

    def abort(self) -> None:
        """End at once."""


class Room:
    """The connections of one server: who is in, from where, and who has no request under way."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._inside: dict[Guest, str] = {}
        self._addresses: Counter[str] = Counter()
        self._idle: dict[Guest, None] = {}  # the one idle longest first
        self._unread: dict[BoundedProtocol, tuple[int, float]] = {}  # bytes that the client had to fetch at that time

    def enter(self, one: Guest, address: str) -> bool:
        """Whether there is room for one more; another one may have to go for it."""
        if self.bounds.per_address and self._addresses[address] >= self.bounds.per_address:
            return False
        if len(self._inside) >= self.bounds.connections:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.abort()
        self._inside[one] = address
        self._addresses[address] += 1
        return True

    def leave(self, one: Guest) -> None:
        """It has gone; nothing if it was not in."""
        self._idle.pop(one, None)
        self._unread.pop(one, None)  # type: ignore[call-overload]  # another kind of guest is not in it
        address = self._inside.pop(one, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def rests(self, one: Guest) -> None:
        """No request of it is under way."""
        if one in self._inside:
            self._idle[one] = None

    def works(self, one: "BoundedProtocol") -> None:
        """A request of it is under way."""
        self._idle.pop(one, None)

    def holds(self, one: "BoundedProtocol", size: int, now: float) -> None:
        """So many bytes wait for its client; where all together are too many, slow clients go, the slowest first."""
        self._unread[one] = size, now
        waiting = {other: other.transport.get_write_buffer_size() for other in self._unread}
        excess = sum(waiting.values()) - self.bounds.unread_bytes
        if excess <= 0:
            return
        rates = {
            other: (had - waiting[other]) / (now - since)
            for other, (had, since) in self._unread.items()
            if now - since > self.bounds.unread_time
        }
        for other in sorted(rates, key=rates.__getitem__):
            if excess <= 0 or rates[other] >= self.bounds.unread_rate:
                break
            excess -= waiting[other]
            self.leave(other)
            other.reset()

    def fetched(self, one: "BoundedProtocol") -> None:
        """Its client has caught up."""
        self._unread.pop(one, None)


class _TooLong(Exception):
    """Inside this module: the header exceeds a bound."""


class _Malformed(Exception):
    """Inside this module: the header is not one of HTTP/1.1 or 1.0."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within the bounds of its room."""

    def __init__(self, *args: Any, room: Room, **more: Any) -> None:
        super().__init__(*args, **more)
        self._room, self._bounds = room, room.bounds
        self._extensions: dict[str, Any] = {WHOLE_ANSWERS: self._answer_whole}
        self._ended = False  # by us: what still comes is not looked at
        self._reading_body = False
        self._timer: asyncio.TimerHandle | None = None  # of the header or the body
        self._write_timer: asyncio.TimerHandle | None = None
        self._steps = 0  # times that the parser had something whole for us
        self._held = 0  # bytes that came since then: the parser keeps them
        self._head = self._fields = self._hosts = 0  # bytes, fields and fields `host` of the header so far
        self._body = 0
        self._linger = -1  # bytes that are still read and dropped after an early answer; -1: none was given

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A place, or 503."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._bounds.send_bytes)
        if self._room.enter(self, self.client[0] if self.client else ""):
            self._room.rests(self)
            self._await_head()
        else:
            self._end(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """The place is free."""
        self._ended = True
        self._room.leave(self)
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and see that it gets somewhere."""
        if self._ended:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        before, status = self._steps, 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing is spoken here but HTTP: the request is answered as any other
        except httptools.HttpParserError as error:
            status = 431 if isinstance(error.__context__, _TooLong) else 400
        self._held = self._held + len(data) if self._steps == before else 0
        if status or self._held > self._bounds.head_bytes:
            self._end(status or 431)
        elif self._timer is None and (self._reading_body or self._held):
            if self._reading_body:
                self._timer = self.loop.call_later(self._bounds.body_time, self._on_slow_body, 0)
            else:
                self._await_head()

    # What the parser finds

    def on_message_begin(self) -> None:
        """Count anew."""
        self._head = self._fields = self._hosts = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the header, or behind a chunked body: those are counted and dropped, for nobody waits for them."""
        self._fields += 1
        self._count(len(name) + len(value) + 4)
        if self._reading_body:
            return
        super().on_header(name, value)
        name = self.headers[-1][0]
        if name == b"host":
            self._hosts += 1
        elif name in ONE_ANSWER:
            self._join()

    def _join(self) -> None:
        """Make a list of this field and the one of its name before (RFC 9110, 5.3): neither can be taken for the whole."""
        name, value = self.headers[-1]
        before = [index for index, (known, _) in enumerate(self.headers[:-1]) if known == name]
        if before:
            self.headers[before[0]] = name, self.headers[before[0]][1] + b", " + value
            del self.headers[-1]

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self._bounds.head_bytes or self._fields > self._bounds.fields:
            raise _TooLong

    def on_headers_complete(self) -> None:
        """From here on the body is waited for."""
        self._check_form()
        self._steps += 1
        self._body, self._reading_body = 0, True
        self._stop_timer()
        self._room.works(self)
        super().on_headers_complete()
        self.scope["extensions"] = self._extensions

    def _check_form(self) -> None:
        """_Malformed for what the parser lets through and RFC 9112 does not (2.3, 3.2, 6.1)."""
        version = self.parser.get_http_version()
        chunked_1_0 = version == "1.0" and any(name == b"transfer-encoding" for name, _ in self.headers)
        if version not in ("1.0", "1.1") or self._hosts > 1 or (version == "1.1" and not self._hosts) or chunked_1_0:
            raise _Malformed

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._steps += 1
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here whole."""
        self._steps += 1
        self._reading_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered. Where the body has not ended, the client is told to stop, and what is under way of it is dropped."""
        if not self.pipeline:
            self._room.rests(self)
        super().on_response_complete()
        early = self._reading_body and self.cycle.response_complete  # not of a request that stands in a pipeline behind it
        if early and not self._ended and not self.transport.is_closing():
            self._ended, self._linger = True, self._bounds.linger_bytes
            self._unset_keepalive_if_required()
            self._stop_timer()
            self._timer = self.loop.call_later(self._bounds.linger_time, self.transport.abort)
            if self.transport.can_write_eof():
                self.transport.write_eof()

    def _answer_whole(self, scope: Scope, status: int, rest: bytes) -> bool:
        """Answer at once, where nothing has to be waited for: ASGI's two messages cost as much as all else here."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.response_started or cycle.disconnected or self.flow.write_paused:
            return False
        if not cycle.keep_alive or cycle.waiting_for_100_continue or scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        fields = [b"%b: %b\r\n" % field for field in cycle.default_headers]
        self.transport.write(b"".join([STATUS_LINE[status], *fields, rest]))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _drop(self, size: int) -> None:
        """Let bytes go: closing while they come would take the answer from the client. Too many end that."""
        if self._linger >= 0:
            self._linger -= size
            if self._linger < 0:
                self.transport.abort()

    # Deadlines

    def _await_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._bounds.head_time, self._end, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_slow_body(self, before: int) -> None:
        """Go on waiting only while the body comes at the rate, or while it is us who do not read."""
        if self._body - before < self._bounds.rate * self._bounds.body_time and not self.flow.read_paused:
            self._end(408)
        else:
            self._timer = self.loop.call_later(self._bounds.body_time, self._on_slow_body, self._body)

    def pause_writing(self) -> None:
        """The client does not keep up with the answer."""
        super().pause_writing()
        waiting = self.transport.get_write_buffer_size()
        self._room.holds(self, waiting, self.loop.time())
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._bounds.body_time, self._on_slow_reader, waiting)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._room.fetched(self)
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _on_slow_reader(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if before - waiting < self._bounds.rate * self._bounds.body_time:
            self.reset()
        else:
            self._write_timer = self.loop.call_later(self._bounds.body_time, self._on_slow_reader, waiting)

    def abort(self) -> None:
        """End at once."""
        self.transport.abort()

    def reset(self) -> None:
        """End at once; what the kernel holds for a client that does not read is dropped too."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def _end(self, status: int) -> None:
        """Say why, unless an answer is being written, and close."""
        self._ended = True
        self._room.leave(self)
        self._stop_timer()
        self._unset_keepalive_if_required()
        cycle = self.cycle
        answering = cycle is not None and cycle.response_started and (self._reading_body or not cycle.response_complete)
        if cycle is not None:
            cycle.disconnected = True  # what the application still says is for nobody
            cycle.message_event.set()
        if not answering and not self.transport.is_closing():
            self.transport.write(_answer(status))
        self.transport.close()


def _answer(status: int) -> bytes:
    phrase = http.HTTPStatus(status).phrase
    body = orjson.dumps({"status": phrase, "error": TEXTS[status]})
    retry = "retry-after: 5\r\n" if status == 503 else ""
    head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{retry}"
    return head.encode() + b"connection: close\r\n\r\n" + body
