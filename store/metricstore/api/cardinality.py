"""Where all the series come from."""

import asyncio
from collections import Counter
from collections.abc import Callable
from heapq import nsmallest
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.answers import Cardinality as Report
from metricstore.api.answers import Count
from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.routes import Route, answer
from metricstore.api.turns import in_turns
from metricstore.engine import Engine
from metricstore.query.cardinality import Cardinality as Counts
from metricstore.settings import Limits
from metricwire.errors import BadInput

Name = TypeVar("Name", str, tuple[str, str])

SHOWN, MOST = 20, 1000  # names of each kind, unless asked otherwise, and at most

DESCRIPTION = Description(
    (Parameter("limit", f"Names of each kind; {SHOWN} unless said, {MOST} at most.", int),),
    None,
    {200: Answer("The names with the most series.", Content(kind=Report))},
)


class Cardinality:
    """Where all the series come from."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._one = asyncio.Lock()  # counting takes memory and time: one after another
        self.routes = (Route("/api/cardinality", ("GET",), Permission.READ, self.cardinality, description=DESCRIPTION),)

    async def cardinality(self, request: Request, _: Caller) -> Response:
        """How many series there are, and the metrics, hosts, clusters and further tags that have the most."""
        shown = _shown(request.query_params.get("limit", str(SHOWN)))
        async with self._one:
            counts = Counts()
            await in_turns(counts.count(self._engine.registry.keys()), self._limits.query_seconds)
        report = Report(
            counts.series,
            self._limits.series,
            _most(counts.metrics, shown),
            _most(counts.hosts, shown, ":".join),
            _most(counts.clusters, shown),
            _most(counts.tags, shown),
        )
        return answer(msgspec.to_builtins(report))


def _shown(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(MOST)) or not 1 <= int(text) <= MOST:
        raise BadInput(f"cannot use limit {text[:20]!r}: expected a number from 1 to {MOST}")
    return int(text)


def _most(counts: Counter[Name], shown: int, told: Callable[[Name], str] = str) -> list[Count]:
    """The names with the most series, of as many series by name."""
    found = nsmallest(shown, counts.items(), key=lambda one: (-one[1], one[0]))
    return [Count(told(name), series) for name, series in found]
