"""The route table: each route with its methods and what it needs. What is not in a table does not exist."""

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import NamedTuple

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import Message, Receive, Scope, Send

from metricstore.api import problems
from metricstore.api.auth import Caller, Gate, Permission
from metricstore.api.descriptions import Description
from metricstore.api.protocol import WHOLE_ANSWERS
from metricstore.api.requests import Requests
from metricwire.errors import MetricsError

Handler = Callable[[Request, Caller], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def authorization(request: Request) -> str | None:
    """The header that says who asks."""
    found = [value for name, value in request.scope["headers"] if name == b"authorization"]
    return found[0].decode("latin-1") if found else None


class Route(NamedTuple):
    """One path, with and without a slash at its end; GET brings HEAD along where asking changes nothing (`safe`).

    `proof` finds what the caller proves who it is with; `refuse` is the form of this route's errors, where it has its own.
    `also`: what a request needs besides, by what is in its query, and the path that has the same by name.
    """

    path: str
    methods: tuple[str, ...]
    needs: Permission
    handler: Handler
    safe: bool = True
    description: Description = Description()
    proof: Callable[[Request], str | None] = authorization
    refuse: Callable[[MetricsError], Response] | None = None
    also: Callable[[Request], tuple[Permission, str] | None] = lambda _: None


class SameAnswer(Response):
    """An answer that is the same every time, and so made once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, in one piece where that is understood."""
        send_whole = scope.get("extensions", {}).get(WHOLE_ANSWERS)
        if send_whole is None or not send_whole(scope, self.status_code, self._rest):
            await super().__call__(scope, receive, send)

    @cached_property
    def _rest(self) -> bytes:
        """What follows the status line."""
        return b"".join([b"%b: %b\r\n" % field for field in self.raw_headers]) + b"\r\n" + self.body


class Application:
    """These routes and no others; all errors answered in the documented shape.

    A path that is spelt out in the table goes straight to its handler: the framework's machinery around each request takes more
    time than a write. Everything else (parameters in paths, no such route, wrong method) is the framework's.
    """

    def __init__(self, gate: Gate, routes: Iterable[Route], requests: Requests) -> None:
        guarded = [(route, _guarded(gate, route)) for route in routes]
        self.framework = _framework(guarded)
        self._requests = requests
        self._paths = {endpoint: route.path for route, endpoint in guarded}
        self._endpoints = {
            (method, path): (endpoint, route.path)
            for route, endpoint in guarded
            if "{" not in route.path
            for path in _paths(route)
            for method in _methods(route)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = time.perf_counter()
        endpoint, path = self._endpoints.get((scope.get("method", ""), scope.get("path", "")), _NONE)
        if endpoint is None:
            await self._by_framework(scope, receive, send, begun)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except MetricsError as error:
            response = await problems.on_expected(request, error)
        except Exception as error:  # noqa: BLE001 - the edge: a bug is answered as such, and logged
            response = await problems.on_unexpected(request, error)
        self._requests.add(path, response.status_code, time.perf_counter() - begun)
        await response(scope, receive, send)

    async def _by_framework(self, scope: Scope, receive: Receive, send: Send, begun: float) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = self._paths.get(scope["endpoint"], "") if "endpoint" in scope else ""
                self._requests.add(path, message["status"], time.perf_counter() - begun)
            await send(message)

        await self.framework(scope, receive, counting)


_NONE: tuple[None, str] = None, ""


def _framework(guarded: Iterable[tuple[Route, Endpoint]]) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(MetricsError, problems.on_expected)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(Exception, problems.on_unexpected)
    for route, endpoint in guarded:
        for path in _paths(route):
            made = Path(path, endpoint, methods=list(_methods(route)))
            made.methods = _methods(route)  # Starlette adds HEAD to every GET
            app.router.routes.append(made)
    return app


def _methods(route: Route) -> set[str]:
    return {*route.methods, *(["HEAD"] if route.safe and "GET" in route.methods else [])}


def _paths(route: Route) -> set[str]:
    """With and without a slash at the end."""
    return {route.path.rstrip("/") or "/", route.path.rstrip("/") + "/"}


def answer(content: object) -> Response:
    """JSON; a missing value (NaN) is null."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _guarded(gate: Gate, route: Route) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            proof = route.proof(request)
            caller = await gate.admit(proof, route.needs, request.method, request.scope["path"])
            if more := route.also(request):
                await gate.admit(proof, more[0], request.method, more[1])
            return await route.handler(request, caller)
        except MetricsError as error:
            if route.refuse is None:
                raise
            return route.refuse(error)

    return endpoint
