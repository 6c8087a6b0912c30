"""The route table: each route with its methods and what it needs. What is not in a table does not exist."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from metricstore.api import problems
from metricstore.api.auth import Caller, Gate, Permission
from metricwire.errors import MetricsError

Handler = Callable[[Request, Caller], Awaitable[Response]]


class Route(NamedTuple):
    """One path, with and without a slash at its end; GET brings HEAD along where asking changes nothing (`safe`)."""

    path: str
    methods: tuple[str, ...]
    needs: Permission
    handler: Handler
    safe: bool = True


def application(gate: Gate, routes: Iterable[Route]) -> FastAPI:
    """An application of these routes and no others; all errors answered in the documented shape."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(MetricsError, problems.on_expected)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(Exception, problems.on_unexpected)
    for route in routes:
        methods = {*route.methods, *(["HEAD"] if route.safe and "GET" in route.methods else [])}
        for path in {route.path.rstrip("/") or "/", route.path.rstrip("/") + "/"}:
            made = Path(path, _guarded(gate, route), methods=list(methods))
            made.methods = methods  # Starlette adds HEAD to every GET
            app.router.routes.append(made)
    return app


def answer(content: object) -> Response:
    """JSON; a missing value (NaN) is null."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _guarded(gate: Gate, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        caller = await gate.admit(request.headers.get("authorization"), route.needs)
        return await route.handler(request, caller)

    return endpoint
