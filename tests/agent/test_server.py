"""The agent's servers against what is no request."""

import asyncio
import logging
import socket

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from chaos.program import free_port
from metricagent import server, strangers
from metricagent.server import listening


async def send(port: int, text: bytes, here: str = "127.0.0.1") -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(here, 0))
    except ConnectionError:
        return b""
    writer.write(text)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def application() -> web.Application:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    return app


@pytest.mark.parametrize(
    "head",
    [b"Authorization: Bearer CANARY\x01", b"Authorization : Bearer CANARY", b"CANARY", b"X: " + b"CANARY" * 3000],
    ids=["control", "blank", "no field", "long"],
)
def test_what_is_no_http_is_neither_logged_nor_repeated(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def play() -> bytes:
        port = free_port()
        async with listening(application(), "api.address", f"127.0.0.1:{port}"):
            return await send(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")

    answer = asyncio.run(play())
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"CANARY" not in answer
    assert b"aiohttp" not in answer
    assert not caplog.records


def test_a_connection_without_a_request_ends_and_a_crowd_finds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(server, "CONNECTIONS", 2)

    async def play() -> list[bytes]:
        port = free_port()
        async with listening(application(), "api.address", f"127.0.0.1:{port}"):
            silent = [asyncio.ensure_future(send(port, b"GET /")) for _ in range(3)]
            ended = await asyncio.wait_for(asyncio.gather(*silent), 60)
            monkeypatch.setattr(server, "FIRST_SECONDS", 60.0)
            return [*ended, await send(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]

    *ended, last = asyncio.run(play())
    assert ended == [b"", b"", b""]
    assert last.endswith(b"hello")


@pytest.mark.parametrize(
    "head", ["Content-Length: 32\r\nContent-Encoding: deflate", "Transfer-Encoding: chunked", "Content-Length: 1000000000"]
)
def test_a_body_is_refused_unread(head: str, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> bytes:
        port = free_port()
        async with listening(application(), "api.address", f"127.0.0.1:{port}"):
            return await send(port, f"GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + b"x" * 32)

    answer = asyncio.run(play())
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_who_asks_without_a_token_that_counts_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "FAILURES", 3)
    now, registry = 0.0, CollectorRegistry()

    async def hello(request: web.Request) -> web.Response:
        return web.Response(status=200 if "Authorization" in request.headers else 401)

    app = web.Application()
    app.router.add_get("/", hello)

    async def ask(port: int, here: str, more: str = "", count: int = 1) -> bytes:
        """What is answered to requests on one connection from that address, which is ended after the last."""
        text = f"GET / HTTP/1.1\r\nHost: x\r\n{more}".encode()
        asked = [text + b"\r\n"] * (count - 1) + [text + b"Connection: close\r\n\r\n"]
        return await send(port, b"".join(asked), here)

    async def play() -> None:
        nonlocal now
        port = free_port()
        async with listening(app, "api.address", f"127.0.0.1:{port}", strangers.Strangers(lambda: now, registry, 10)):
            assert (await ask(port, "127.0.0.2", count=2)).count(b" 401 ") == 2
            assert b" 200 " in await ask(port, "127.0.0.2", "Authorization: x\r\n"), "it may still ask"
            found = await ask(port, "127.0.0.2", count=3)
            assert (found.count(b" 401 "), found.count(b" 429 ")) == (1, 1), "the connection ends with the first refusal"
            assert b"Retry-After: 7" in found
            assert await ask(port, "127.0.0.2", "Authorization: x\r\n") == b"", "nor is a new one listened to"
            assert b" 401 " in await ask(port, "127.0.0.3"), "another address is another"
            now += 7
            assert b" 200 " in await ask(port, "127.0.0.2", "Authorization: x\r\n"), "it comes back"

    asyncio.run(play())
    assert registry.get_sample_value("metricagent_api_turned_away_total") == 2


def test_an_address_that_opens_connection_after_connection_waits() -> None:
    now, registry = 0.0, CollectorRegistry()
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def play() -> None:
        nonlocal now
        port = free_port()
        async with listening(application(), "api.address", f"127.0.0.1:{port}", strangers.Strangers(lambda: now, registry, 2)):
            for _ in range(10):
                assert b" 200 " in await send(port, request, "127.0.0.2")
            assert await send(port, request, "127.0.0.2") == b"", "five seconds' worth are used up"
            assert b" 200 " in await send(port, request, "127.0.0.3"), "another address is another"
            now += 0.5
            assert b" 200 " in await send(port, request, "127.0.0.2")

    asyncio.run(play())
    assert registry.get_sample_value("metricagent_api_turned_away_total") == 1


def test_a_name_with_two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (here, port)) for here in ("127.0.0.2", "127.0.0.3", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

    async def play() -> None:
        async with listening(application(), "api.address", f"node:{port}"):
            for _, _, _, _, (here, _) in both:
                reader, writer = await asyncio.open_connection(sock=socket.create_connection((here, port)))
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).endswith(b"hello")
                writer.close()

    asyncio.run(play())
