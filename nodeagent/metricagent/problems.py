"""Errors as answers: one table from what went wrong to a status, one shape for all: `{"status", "error"}`."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from metricwire.errors import Forbidden, InvalidToken, MetricsError, NotFound, Unavailable

STATUS: dict[type[MetricsError], HTTPStatus] = {
    InvalidToken: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: HTTPStatus, error: str) -> web.Response:
    """An answer that says what is wrong."""
    body = msgspec.json.encode({"status": status.phrase, "error": error})
    return web.Response(status=status, body=body, content_type="application/json")


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn expected errors, and those of the router, into answers."""
    try:
        return await handler(request)
    except MetricsError as error:
        answer = problem(STATUS[type(error)], str(error))
        if isinstance(error, InvalidToken):
            answer.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, Unavailable):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    except web.HTTPMethodNotAllowed as error:
        answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"cannot {error.method} {request.path}: only GET and HEAD")
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except web.HTTPException as error:
        return problem(HTTPStatus(error.status), f"cannot {request.method} {request.path}: {error.reason.lower()}")


async def harden(_: web.Request, response: web.StreamResponse) -> None:
    """Headers of all answers: none that names our software, one against guessing of types."""
    response.headers.pop("Server", None)
    response.headers["X-Content-Type-Options"] = "nosniff"
