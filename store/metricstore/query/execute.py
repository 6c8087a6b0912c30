"""Queries to entries: select, read, aggregate, resample, state, scale, pad, in that order, as cc-metric-store does."""

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


class Execution:
    """One request against one engine. TooLarge when it asks for more than the limits allow, before anything is read."""

    def __init__(self, engine: Engine, request: QueryRequest, limits: Limits) -> None:
        self._engine, self._request, self._limits = engine, request, limits
        self._points = limits.points  # values that may still be read or padded
        self._start = max(-TIME_MAX, min(request.from_, TIME_MAX))
        self._end = max(-TIME_MAX, min(request.to, TIME_MAX))

    def answer(self) -> dict[str, Any]:
        """The response: `results`, a row per query, and the queries that `for-all-nodes` made, where it was used."""
        given = self._request.queries or []
        made = list(self._for_all_nodes(len(given)))
        if len(given) > self._limits.queries:
            raise self._too_many(len(given))
        results = [list(self._row(query)) for query in (*given, *made)]
        echo = [{"metric": query.metric, "host": query.host, "resolution": 0, "aggreg": False} for query in made]
        return {"queries": echo, "results": results} if made else {"results": results}

    def _for_all_nodes(self, given: int) -> Iterator[Query]:
        metrics = self._request.for_all_nodes or []
        hosts = self._engine.hosts(self._request.cluster) if metrics else []
        if given + len(metrics) * len(hosts) > self._limits.queries:
            raise self._too_many(given + len(metrics) * len(hosts))
        for host in hosts:
            for metric in metrics:
                yield Query(metric, host)

    def _too_many(self, count: int) -> TooLarge:
        return TooLarge(f"cannot answer {count} queries: more than {self._limits.queries} in one request (limits.queries)")

    def _row(self, query: Query) -> Iterator[dict[str, Any]]:
        """An entry per selector that has data, or that went wrong."""
        for groups in selectors(query):
            try:
                entry = self._entry(query, groups)
            except BadInput as error:
                entry = {"error": str(error), "from": 0, "to": 0, "resolution": 0, "avg": 0.0, "min": 0.0, "max": 0.0}
            if entry:
                yield entry

    def _entry(self, query: Query, groups: Sequence[Sequence[str]]) -> dict[str, Any] | None:
        """One selector's data; None where there are none."""
        if self._start > self._end:
            raise BadInput("cannot read: invalid time range, from is after to")
        numbers = self._engine.select(self._request.cluster, query.host, groups, query.metric)
        if not numbers:
            if not self._engine.metrics.knows(query.metric):
                raise BadInput(f"cannot read: unknown metric: {query.metric}")
            return None
        rule = self._engine.metrics.aggregation(query.metric)
        if len(numbers) > 1 and rule is None:
            raise BadInput(f"cannot aggregate {len(numbers)} series: invalid aggregation: metric {query.metric} has no rule")
        rows = self._engine.read(numbers, self._start, self._end, self._points)
        self._points -= rows.values.size
        values = combine(rows.values, rule) if rule and len(numbers) > 1 else rows.values[0]
        values, resolution = resample(values, rows.frequency, query.resolution or 0)
        entry: dict[str, Any] = {"from": rows.start, "to": rows.end, "resolution": resolution}
        entry |= self._statistics(values, query.scale_by or 1.0)
        data = self._padded(values * (query.scale_by or 1.0), rows.start, rows.frequency)
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
        missing = int(start / frequency) - int(self._start / frequency) if self._request.with_padding else 0
        if missing <= 0:
            return values
        if missing > self._points:
            raise TooLarge(f"cannot pad with {missing} nulls: more values than one request may have (limits.points)")
        self._points -= missing
        return np.concatenate([np.full(missing, np.nan), values])


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
