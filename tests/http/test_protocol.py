"""Connections within their bounds: late or endless headers, slow bodies and readers, and room for the others."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from metricstore.api.protocol import BoundedProtocol, Bounds, Room

SOON = 0.05
PATIENT = Bounds(connections=10)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A server with these bounds: `/wait` answers when `go` is set, `/big` at length, `/early` before the body,
    `/fields` with the header, other paths with the size of the body."""

    def __init__(self, bounds: Bounds) -> None:
        self.go, self.waiting, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        config = uvicorn.Config(self._app, log_config=None, lifespan="off", ws="none", interface="asgi3")
        state, room, lost = ServerState(), Room(bounds), self.lost
        self._connections, self._writers = state.connections, list[asyncio.StreamWriter]()

        class Protocol(BoundedProtocol):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                lost.set()

        self._make = lambda: Protocol(config, state, {}, room=room)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/wait":
            self.waiting.set()
            await self.go.wait()
        body = b"x" * 30_000_000 if scope["path"] == "/big" else str(size).encode()
        if scope["path"] == "/fields":
            body = b" ".join(b"%b=%b" % field for field in scope["headers"])
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    async def __aenter__(self) -> "Served":
        self._server = await asyncio.get_running_loop().create_server(self._make, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        """All ends are closed before the loop is."""
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        for one in list(self._connections):
            one.transport.abort()
        while self._connections:  # noqa: ASYNC110 - each is lost with the next turn of the loop
            await asyncio.sleep(0)

    async def open(self, *pieces: bytes) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.sockets[0].getsockname()[1])
        self._writers.append(writer)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return reader, writer


async def rest(streams: Streams) -> bytes:
    """All that comes until the server closes."""
    return await streams[0].read()


def run(loop: asyncio.AbstractEventLoop, bounds: Bounds, test: Callable[[Served], Awaitable[None]]) -> None:
    async def serve() -> None:
        async with Served(bounds) as served:
            await test(served)

    loop.run_until_complete(serve())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST + b"x: y", b"\r\n"])
def test_a_header_that_is_never_complete_ends_the_connection(sent: bytes, loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        assert (await rest(await served.open(sent))).startswith(b"HTTP/1.1 408 Request Timeout\r\n")

    run(loop, PATIENT._replace(head_time=SOON), test)


def test_a_header_that_is_never_complete_behind_an_answer_ends_the_connection(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        reader, writer = await served.open(GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HTTP/1.1\r\n")
        assert (await rest((reader, writer))).startswith(b"HTTP/1.1 408")

    run(loop, PATIENT._replace(head_time=SOON), test)


LIMIT = PATIENT.head_bytes


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"x: " + b"y" * (LIMIT - len(POST) - 2),
        b"GET /" + b"y" * (LIMIT - 4),
        POST + b"x: y\r\n" * 100 + b"x",
        b"\r\n" * (LIMIT // 2) + b"\r",
        POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 99 + b"x",
    ],
    ids=["long field", "long target", "many fields", "nothing", "many fields behind the body"],
)
def test_headers_are_bounded(sent: bytes, loop: asyncio.AbstractEventLoop) -> None:
    """Nothing is left unread when the bound is passed: closing would drop the answer then."""

    async def test(served: Served) -> None:
        assert (await rest(await served.open(sent))).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")

    run(loop, PATIENT, test)


def test_what_is_no_http_is_a_bad_request(loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def test(served: Served) -> None:
        assert (await rest(await served.open(b"\x16\x03\x01 TLS?\r\n\r\n"))).startswith(b"HTTP/1.1 400 Bad Request\r\n")

    run(loop, PATIENT, test)
    assert not caplog.text, "strangers do not fill the log"


@pytest.mark.parametrize("piece", [1, 7, 65536, 10**6])
def test_requests_within_the_bounds_are_answered_one_after_another(piece: int, loop: asyncio.AbstractEventLoop) -> None:
    size = 300 if piece < 1000 else 300_000
    fields = b"".join(b"x%d: y\r\n" % number for number in range(90))
    post = POST + fields + b"content-length: %d\r\n\r\n" % size + b"b" * size
    last = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    async def test(served: Served) -> None:
        sent = post + GET + post + last
        found = await rest(await served.open(*(sent[at : at + piece] for at in range(0, len(sent), piece))))
        assert found.count(b"HTTP/1.1 200") == 4
        assert [part.split(b"\r\n\r\n")[1] for part in found.split(b"HTTP/1.1 200")[1:]] == [b"%d" % size, b"0"] * 2

    run(loop, PATIENT, test)


def test_a_body_that_does_not_come_ends_the_connection(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        assert (await rest(await served.open(POST + b"content-length: 9\r\n\r\nx"))).startswith(b"HTTP/1.1 408 Request Timeout")

    run(loop, PATIENT._replace(body_time=SOON), test)


def test_a_body_that_comes_at_the_rate_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        found = await rest(await served.open(POST + b"content-length: 200000\r\n\r\n", b"x" * 100_000))
        assert found.startswith(b"HTTP/1.1 408"), "the second time nothing had come"

    run(loop, PATIENT._replace(body_time=SOON), test)


def test_an_answer_that_takes_its_time_is_not_the_clients_fault(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        streams = await served.open(b"GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await served.waiting.wait()
        assert (await rest(await served.open())).startswith(b"HTTP/1.1 408"), "so the other's time would be over too"
        served.go.set()
        assert (await rest(streams)).startswith(b"HTTP/1.1 200")

    run(loop, PATIENT._replace(head_time=SOON, body_time=SOON), test)


def test_a_client_that_does_not_read_its_answer_is_left(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        await served.open(GET.replace(b"/ ", b"/big ", 1))
        await served.lost.wait()

    run(loop, PATIENT._replace(body_time=SOON), test)


def test_where_all_places_are_taken_the_one_idle_longest_makes_room(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        silent = [await served.open(b"GET / HTTP/1.1\r\nx") for _ in range(20)]
        reader, _ = await served.open(GET)
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        for streams in silent[:18]:
            assert not await rest(streams)

    run(loop, PATIENT._replace(connections=3), test)


def test_requests_under_way_keep_their_places(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        busy = await served.open(b"GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await served.waiting.wait()
        refused = await rest(await served.open())
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 5\r\n" in refused
        served.go.set()
        assert (await rest(busy)).startswith(b"HTTP/1.1 200")
        assert (await rest(await served.open(GET.replace(b"host: x", b"host: x\r\nconnection: close")))).startswith(
            b"HTTP/1.1 200"
        )

    run(loop, PATIENT._replace(connections=1), test)


def test_one_address_has_its_share_where_the_settings_say_so(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        first = await served.open(b"G")
        assert (await rest(await served.open())).startswith(b"HTTP/1.1 503")
        first[1].close()
        await served.lost.wait()

    run(loop, PATIENT._replace(per_address=1), test)


def test_a_body_that_was_answered_before_its_end_is_dropped_and_the_connection_closed(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        reader, writer = await served.open(POST.replace(b"/", b"/early", 1) + b"content-length: 9000000\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n0"), "told to stop"
        writer.write(b"x" * 9_000_000 + GET)
        await served.lost.wait()

    run(loop, PATIENT._replace(linger_time=SOON), test)


def test_a_client_that_goes_on_after_the_answer_is_cut_off(loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        with contextlib.suppress(ConnectionError):
            await served.open(POST.replace(b"/", b"/early", 1) + b"content-length: 9000000\r\n\r\n", b"x" * 8_000_000)
        await served.lost.wait()

    run(loop, PATIENT._replace(linger_bytes=1_000_000), test)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["no host", "two hosts", "no version", "0.9", "chunks in 1.0"],
)
def test_what_only_looks_like_http_is_a_bad_request(sent: bytes, loop: asyncio.AbstractEventLoop) -> None:
    async def test(served: Served) -> None:
        assert (await rest(await served.open(sent))).startswith(b"HTTP/1.1 400 Bad Request\r\n")

    run(loop, PATIENT, test)


def test_two_fields_of_which_one_would_count_are_one_list(loop: asyncio.AbstractEventLoop) -> None:
    fields = b"authorization: a\r\nx: 1\r\nx: 2\r\nAuthorization: b\r\nauthorization: c\r\nconnection: close\r\n\r\n"

    async def test(served: Served) -> None:
        answer = await rest(await served.open(b"GET /fields HTTP/1.1\r\nhost: x\r\n" + fields))
        assert answer.endswith(b"host=x authorization=a, b, c x=1 x=2 connection=close")

    run(loop, PATIENT, test)


def test_fields_behind_a_body_do_not_count(loop: asyncio.AbstractEventLoop) -> None:
    head = b"POST /fields HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    sent = head + b"0\r\nauthorization: a\r\n\r\n"

    async def test(served: Served) -> None:
        assert b"authorization" not in await rest(await served.open(sent))

    run(loop, PATIENT, test)


def test_answers_that_clients_are_slow_to_fetch_share_a_bounded_memory(loop: asyncio.AbstractEventLoop) -> None:
    """30 MB for each of them: two are too many, and the one that does not read has to go."""

    async def test(served: Served) -> None:
        big = GET.replace(b"/ ", b"/big ", 1).replace(b"host: x", b"host: x\r\nconnection: close")
        silent = await served.open(big)
        await silent[0].readuntil(b"\r\n\r\n")  # its answer is waiting
        for _ in range(3):
            assert len(await rest(await served.open(big))) > 30_000_000
        with pytest.raises(ConnectionError):
            await rest(silent)

    run(loop, PATIENT._replace(unread_bytes=40_000_000, unread_time=0.0, unread_rate=10**12), test)
