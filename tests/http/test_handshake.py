"""TLS: connections have a place before they speak it, lose it where they do not, and go on with it where they do."""

import asyncio
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from certificates import write_pair
from metricstore.api.handshake import Handshake
from metricstore.api.protocol import Bounds, Room

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def _answer(scope: Any, _: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@pytest.mark.parametrize("kind", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("sent", "bounds"),
    [
        (b"", Bounds(connections=1, head_time=0.2)),
        (b"", Bounds(connections=9, per_address=1, head_time=0.2)),
        (b"", Bounds(connections=2)),
        (b"\x16\x03\x01", Bounds(connections=2)),
        (GET, Bounds(connections=9, per_address=9)),
    ],
)
def test_who_speaks_no_tls_keeps_nobody_out(kind: Any, sent: bytes, bounds: Bounds, tmp_path: Path) -> None:
    """They are closed at the latest after the time for a header, and earlier where there is no room or they talk nonsense."""
    pair = write_pair(tmp_path, "store", "store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*pair)
    trust = ssl.create_default_context(cafile=str(pair[0]))
    config = uvicorn.Config(_answer, log_config=None, lifespan="off", ws="none", interface="asgi3")

    async def main() -> None:
        make = partial(Handshake, config, ServerState(), {}, room=Room(bounds), tls=tls)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(make, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _, writer in crowd:
            writer.write(sent)
        over = 5 if bounds.head_time < 1 or sent == GET else 3
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in crowd]
        while sum(end.done() for end in ends) < over:
            await asyncio.wait([end for end in ends if not end.done()], return_when=asyncio.FIRST_COMPLETED)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.write(GET)
        assert (await reader.read()).endswith(b"\r\n\r\nhttps")
        server.close()
        for one in (writer, *(writer for _, writer in crowd)):
            one.close()
        await asyncio.gather(*ends, return_exceptions=True)

    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(main())
