"""cc-metric-store's routes for those who run it: what there is, forgetting some of it (spec/metric-store-api.md "Routes")."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from metricstore.api.auth import Caller, Permission
from metricstore.api.bodies import read_body
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.routes import Route
from metricstore.api.turns import pieces_in_turns
from metricstore.archiving import TIME_MAX
from metricstore.engine import Engine
from metricstore.query.request import selectors
from metricstore.query.tree import dump
from metricstore.settings import Limits
from metricwire.errors import BadInput, Unavailable

FREE = Description(
    (Parameter("to", "What ends before this time (seconds) is forgotten.", int, required=True),),
    Content(kind=list[list[str]], example=[["fritz", "f0201"], ["alex"]]),
    {200: Answer("How many pieces were forgotten: windows of 64 samples of a series.", Content("text/plain"))},
)
DEBUG = Description(
    (Parameter("selector", "Names of a place from the cluster down, with colons between: fritz:f0201:hwthread0."),),
    answers={200: Answer("The series at and below the place, and from when to when they have samples.", Content())},
)


class Keeping:
    """The routes `/api/free` and `/api/debug`."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self.routes = (
            Route("/api/free", ("POST",), Permission.ADMIN, self.free, safe=False, description=FREE),
            Route("/api/debug", ("GET", "POST"), Permission.ADMIN, self.debug, description=DEBUG),
        )

    async def free(self, request: Request, _: Caller) -> Response:
        """Forget what series at and below the selected places hold before a time, on disk too."""
        before = _time(request.query_params.get("to"))
        paths = selectors(await read_body(request, self._limits), self._limits.queries)
        try:
            freed = await self._engine.free(paths, before)
        except OSError as error:
            raise Unavailable(f"cannot free: {error.strerror}; what was not freed yet stays") from error
        return Response(f"buffers freed: {freed}\n", media_type="text/plain")

    async def debug(self, request: Request, _: Caller) -> Response:
        """Which series there are at and below a place, as a tree; without a selector all of them."""
        selector = request.query_params.get("selector", "")
        pieces = dump(self._engine, selector.split(":") if selector else [])
        return StreamingResponse(pieces_in_turns(pieces), media_type="application/json")


def _time(text: str | None) -> int:
    """Seconds. BadInput for what is no integer."""
    if text is None:
        raise BadInput("cannot free: 'to' is a required query parameter")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise BadInput(f"cannot free: to={text[:40]!r} is not a time in seconds")
    return max(-TIME_MAX, min(int(text), TIME_MAX))
