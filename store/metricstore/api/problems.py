"""Errors to answers: one table from kind to status, one shape (spec/metric-store-api.md "Routes")."""

import http
import logging
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.encodings import SPOKEN
from metricwire.errors import (
    BadInput,
    Forbidden,
    InvalidToken,
    MetricsError,
    NotFound,
    TooLarge,
    TooMany,
    Unavailable,
    Unsupported,
)

logger = logging.getLogger(__name__)

STATUS: dict[type[MetricsError], int] = {
    BadInput: 400,
    InvalidToken: 401,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    Unsupported: 415,
    TooMany: 429,
    Unavailable: 503,
}


def problem(status: int, text: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """`{"status": <reason phrase>, "error": <text>, ...}`."""
    body = {"status": http.HTTPStatus(status).phrase, "error": text, **more}
    return Response(orjson.dumps(body), status, headers, "application/json")


def status_of(error: Exception) -> int:
    """The status that an error of ours is answered with."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def headers_of(error: Exception) -> dict[str, str]:
    """What its answer says besides."""
    headers = {}
    if isinstance(error, InvalidToken):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unsupported):
        headers["Accept-Encoding"] = SPOKEN
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    return headers


async def on_expected(_: Request, error: Exception) -> Response:
    """The answer to an error of ours."""
    return problem(status_of(error), str(error), headers_of(error))


async def on_http(_: Request, error: Exception) -> Response:
    """The answer to what the framework found: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return problem(error.status_code, error.detail, headers)


async def on_unexpected(_: Request, error: Exception) -> Response:
    """The answer to a bug of ours: its trace goes to the log, not to the client."""
    logger.error("BUG: %s", error, exc_info=error)
    return problem(500, "an error of the store; its log says more")
