"""Listening: aiohttp's server within bounds. It is open to every pod of the node, before any token is looked at.

Left alone aiohttp logs a request that is not HTTP with all that was sent, tokens included, and repeats it in its answer; it
keeps as many connections as there are descriptors, and one that never sends a request for ever.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from metricagent.problems import problem
from metricagent.reasons import why
from metricagent.settings import address
from metricagent.strangers import Strangers
from metricwire.errors import MetricsError

CONNECTIONS = 256  # of one server
FIRST_SECONDS = 15.0  # that a connection has for its first request
REFUSED_AT_ONCE = 100  # connections, before everybody else has a turn
SILENT_SECONDS = 120.0  # without a request after which it ends: longer than scrapers and pollers pause
NO_HTTP = "cannot read the request: it is not HTTP/1.1, or its header is too large"

_RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: close at once, and keep nothing of it

logger = logging.getLogger(__name__)


class CannotListen(MetricsError):
    """An address cannot be listened on; the text names its setting."""


class Listener(socket.socket):
    """Listens at an address; who may not enter is refused before anything is made of the connection; it has to cost little."""

    def __init__(self, family: int, may_enter: Callable[[str], bool]) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._may_enter = may_enter
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that may enter. BlockingIOError: none for now, or others have their turn."""
        for _ in range(REFUSED_AT_ONCE):
            connection, address = super().accept()
            if self._may_enter(address[0]):
                return connection, address
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.close()
        raise BlockingIOError


class Connection(web.RequestHandler):
    """One connection."""

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None: no log
            auto_decompress=False,  # no route takes a body, and few bytes can be very many
            lingering_time=0,
        )
        self._others = server
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A place, or none."""
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(FIRST_SECONDS, self._look, 0)
        if len(self._others.connections) > CONNECTIONS:
            self._end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has gone."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is sent when there is no request to speak of: nothing of what came."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        logger.debug("a request was not HTTP")
        answer = problem(HTTPStatus.BAD_REQUEST, NO_HTTP)
        answer.headers["Server"] = ""
        answer.force_close()
        return answer

    def asked(self) -> None:
        """A whole request has come."""
        self._asked += 1

    def _look(self, before: int) -> None:
        """End it when nothing was asked since the last look."""
        if self._asked == before:
            self._end()
        else:
            self._timer = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._look, self._asked)

    def _end(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


@web.middleware
async def count(request: web.Request, handler: Any) -> web.StreamResponse:
    """Tell the connection that it is used. A body is refused unread: nothing here takes one."""
    if isinstance(request.protocol, Connection):
        request.protocol.asked()
    if request.can_read_body:
        refusal = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"cannot take a body with {request.method} {request.path}")
        refusal.force_close()
        return refusal
    answer: web.StreamResponse = await handler(request)
    return answer


@asynccontextmanager
async def listening(app: web.Application, name: str, text: str, strangers: Strangers | None = None) -> AsyncIterator[None]:
    """Serve `app` at the address `text` of the setting `name`, where it wants tokens not to `strangers`. CannotListen."""
    host, port = address(name, text)
    app.middlewares[:0] = [count, strangers.watch] if strangers else [count]
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    server = runner.server
    assert server is not None, "BUG: a runner that is set up has a server"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        try:
            for family, where in _addresses(host, port):
                listener = stack.enter_context(Listener(family, strangers.may_enter if strangers else lambda _: True))
                listener.bind(where)
                serving = await asyncio.get_running_loop().create_server(lambda: Connection(server), sock=listener)
                stack.callback(serving.close)
        except OSError as error:
            raise CannotListen(f"cannot listen on {text} ({name}): {why(error)}") from error
        yield


def _addresses(host: str, port: int) -> Iterable[tuple[int, Any]]:
    """Families and addresses of a host, each once. OSError when there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return dict.fromkeys((family, where) for family, _, _, _, where in found)
