"""Queries to entries: select, read, aggregate, resample, state, scale, pad, in that order, as cc-metric-store does."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metricstore.engine import Engine
from metricstore.numeric.aggregate import Values, combine, statistics
from metricstore.numeric.resample import resample
from metricstore.query.request import Query, QueryRequest
from metricstore.settings import Limits
from metricwire.errors import BadInput, TooLarge

TIME_MAX = 2**53  # seconds; keeps arithmetic on any asked time within 64 bits

Entry = dict[str, Any]


class Execution:
    """One request against one engine. TooLarge when it asks for more than the limits allow, before anything is read.

    `echo` are the queries that `for-all-nodes` made; `rows` gives the results, one by one.
    """

    def __init__(self, engine: Engine, request: QueryRequest, limits: Limits) -> None:
        self._engine, self._request, self._limits = engine, request, limits
        self._points = limits.points  # values that may still be read or padded
        self._start = max(-TIME_MAX, min(request.from_, TIME_MAX))
        self._end = max(-TIME_MAX, min(request.to, TIME_MAX))
        self._queries = list(request.queries or [])
        asked = sum(map(width, self._queries))
        made = self._for_all_nodes(asked)
        self.echo = [{"metric": query.metric, "host": query.host, "resolution": 0, "aggreg": False} for query in made]
        self._queries += made

    def _for_all_nodes(self, asked: int) -> list[Query]:
        metrics = self._request.for_all_nodes or []
        hosts = self._engine.hosts(self._request.cluster) if metrics else []
        count = asked + len(metrics) * len(hosts)
        if count > self._limits.queries:
            raise TooLarge(
                f"cannot answer {count} queries: more than {self._limits.queries} in one request (limits.queries); "
                "each pair of type-id and subtype-id counts"
            )
        return [Query(metric, host) for host in hosts for metric in metrics]

    def rows(self) -> Iterator[list[Entry]]:
        """A row per query, given ones first: an entry per selector that has data, or that went wrong."""
        for query in self._queries:
            yield [entry for groups in selectors(query) if (entry := self._entry_or_error(query, groups))]

    def _entry_or_error(self, query: Query, groups: Sequence[Sequence[str]]) -> Entry | None:
        try:
            return self._entry(query, groups)
        except BadInput as error:
            return {"error": str(error), "from": 0, "to": 0, "resolution": 0, "avg": 0.0, "min": 0.0, "max": 0.0}

    def _entry(self, query: Query, groups: Sequence[Sequence[str]]) -> Entry | None:
        """One selector's data; None where there are none."""
        if self._start > self._end:
            raise BadInput("cannot read: invalid time range, from is after to")
        numbers = self._engine.select(self._request.cluster, query.host, groups, query.metric)
        if not numbers:
            if not self._engine.head.knows(query.metric):
                raise BadInput(f"cannot read: unknown metric: {query.metric}")
            return None
        rule = self._engine.metrics.aggregation(query.metric)
        if len(numbers) > 1 and rule is None:
            raise BadInput(f"cannot aggregate {len(numbers)} series: invalid aggregation: metric {query.metric} has no rule")
        rows = self._engine.read(numbers, self._start, self._end, self._points)
        self._points -= rows.points
        values = combine(rows.values, rule) if rule and len(numbers) > 1 else rows.values[0]
        values, resolution = resample(values, rows.frequency, query.resolution or 0)
        entry: Entry = {"from": rows.start, "to": rows.end, "resolution": resolution}
        scale = query.scale_by or 1.0
        entry |= self._statistics(values, scale)
        data = self._padded(values * scale, rows.start, rows.frequency)
        if self._request.with_data and len(data):
            entry["data"] = data
        return entry

    def _statistics(self, values: Values, scale: float) -> dict[str, float]:
        if not self._request.with_stats:
            return {"avg": 0.0, "min": 0.0, "max": 0.0}
        found = statistics(values)
        return {"avg": found.avg * scale, "min": found.min * scale, "max": found.max * scale}

    def _padded(self, values: Values, start: int, frequency: int) -> Values:
        """With nulls in front from the asked time on, if that is wanted."""
        missing = math.trunc(start / frequency) - math.trunc(self._start / frequency) if self._request.with_padding else 0
        if missing <= 0:
            return values
        if missing > self._points:
            raise TooLarge(f"cannot pad with {missing} nulls: more values than one request may have (limits.points)")
        self._points -= missing
        return np.concatenate([np.full(missing, np.nan), values])


def width(query: Query) -> int:
    """How many places the query names."""
    if query.type is None:
        return 1
    below = len(query.subtype_ids or []) if query.subtype is not None else 1
    return max(1, len(query.type_ids or [])) * max(1, below)


def selectors(query: Query) -> Iterator[list[list[str]]]:
    """What below the host each entry of the query's row is made of: names of type and id, then of subtype and id."""
    if query.type is None:
        yield []
        return
    types = [query.type + number for number in query.type_ids or []]
    below = [query.subtype + number for number in query.subtype_ids or []] if query.subtype is not None else None
    if query.aggreg:
        yield [types] if below is None else [types, below]
        return
    for kind in types:
        if below is None:
            yield [[kind]]
        for part in below or []:
            yield [[kind], [part]]
