"""Queries to entries: select, read, aggregate, resample, state, scale, pad, in that order, as cc-metric-store does."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.archiving import TIME_MAX, Wanted
from metricstore.engine import Engine
from metricstore.memory.registry import NO_NUMBERS
from metricstore.numeric.aggregate import Values, statistics
from metricstore.numeric.resample import resample
from metricstore.query.request import Query, QueryRequest, too_many
from metricstore.reading import Totals
from metricstore.settings import Limits
from metricwire.errors import BadInput, TooLarge

QUERIES_AT_ONCE = 1000  # whose series are found, and read together

Entry = dict[str, Any]
Starts = NDArray[np.int64]  # seconds


class Asked(NamedTuple):
    """An entry that is to be read: its place in its row, its query, its series."""

    row: list[Entry | None]
    place: int
    query: Query
    numbers: NDArray[np.int64]


class Execution:
    """One request against one engine. TooLarge when it asks for more than the limits allow, before anything is read.

    `echo` are the queries that `for-all-nodes` made; `rows` gives the results.
    """

    def __init__(self, engine: Engine, request: QueryRequest, limits: Limits) -> None:
        self._engine, self._request, self._limits = engine, request, limits
        self._points = limits.points  # values that may still be read or padded
        self._start = max(-TIME_MAX, min(request.from_, TIME_MAX))
        self._end = max(-TIME_MAX, min(request.to, TIME_MAX))
        archived = engine.archived_until(request.cluster)
        self._archived = archived is not None and self._start <= archived
        self._queries = list(request.queries or [])
        asked = sum(map(width, self._queries))
        made = self._for_all_nodes(asked)
        self.echo = [{"metric": query.metric, "host": query.host, "resolution": 0, "aggreg": False} for query in made]
        self._queries += made

    def _for_all_nodes(self, asked: int) -> list[Query]:
        metrics = self._request.for_all_nodes or []
        hosts = self._engine.hosts(self._request.cluster, archived=self._archived) if metrics else []
        count = asked + len(metrics) * len(hosts)
        if count > self._limits.queries:
            raise too_many(count, self._limits.queries)
        return [Query(metric, host) for host in hosts for metric in metrics]

    def rows(self) -> Iterator[list[list[Entry]]]:
        """A row per query, given ones first: an entry per selector that has data, or went wrong. Some at a time, or none."""
        if self._archived:
            yield from self._rows_with_archive()
            return
        for at in range(0, len(self._queries), QUERIES_AT_ONCE):
            queries = self._queries[at : at + QUERIES_AT_ONCE]
            rows: list[list[Entry | None]] = [[] for _ in queries]
            asked = self._asked(queries, rows)
            for totals in self._engine.read([one.numbers for one in asked], self._start, self._end, self._points):
                filled = [asked[place] for place in totals.places.tolist()]
                self._points -= totals.values.shape[1] * sum([len(one.numbers) for one in filled])
                self._fill(filled, totals)
                yield []
            yield [[entry for entry in row if entry] for row in rows]

    def _rows_with_archive(self) -> Iterator[list[list[Entry]]]:
        """The same one by one, for a time of which the archive has samples."""
        for query in self._queries:
            row: list[Entry | None] = []
            for groups in selectors(query):
                frequency = self._engine.metrics.frequency(query.metric)
                wanted = Wanted(self._request.cluster, query.host, groups, query.metric, self._start, self._end, frequency)
                found = self._engine.read_archived(wanted, self._points) if self._start <= self._end else None
                error = self._error(query, found[1] if found else 0)
                if error:
                    row.append(_failure(error))
                elif found:
                    row.append(None)
                    self._points -= found[0].values.shape[1] * found[1]
                    self._fill([Asked(row, len(row) - 1, query, np.zeros(found[1], np.int64))], found[0])
                yield []
            yield [[entry for entry in row if entry]]

    def _asked(self, queries: Sequence[Query], rows: Sequence[list[Entry | None]]) -> list[Asked]:
        """What is to be read for queries; errors go to their rows at once."""
        select, cluster = self._engine.select, self._request.cluster
        chosen = [
            (row, query, selected)
            for query, row in zip(queries, rows, strict=True)
            for selected in select(cluster, query.host, selectors(query), query.metric)
        ]
        every = np.concatenate([NO_NUMBERS, *(numbers for _, _, numbers in chosen)])
        all_held = len(self._engine.holding(every)) == len(every)
        asked = []
        for row, query, selected in chosen:
            numbers = selected if all_held else self._engine.holding(selected)
            count = len(numbers)
            error = self._error(query, count) if count != 1 or self._start > self._end else None
            if error:
                row.append(_failure(error))
            elif count:
                asked.append(Asked(row, len(row), query, numbers))
                row.append(None)
        return asked

    def _error(self, query: Query, count: int) -> str | None:
        """Why nothing can be said of so many series."""
        if self._start > self._end:
            return "cannot read: invalid time range, from is after to"
        if not count and not self._engine.head.knows(query.metric):
            return f"cannot read: unknown metric: {query.metric}"
        if count > 1 and self._engine.metrics.aggregation(query.metric) is None:
            return f"cannot aggregate {count} series: invalid aggregation: metric {query.metric} has no rule"
        return None

    def _fill(self, asked: Sequence[Asked], totals: Totals) -> None:
        """Make the entries of what was read: averaged, thinned where that is asked for, stated, scaled, padded."""
        values, frequency = totals.values, totals.frequency
        counts = [self._divisor(one) if len(one.numbers) > 1 else 1 for one in asked]
        if max(counts) > 1:
            values = values / np.array(counts)[:, None]
        thinned = [at for at, one in enumerate(asked) if (one.query.resolution or 0) > frequency]
        for at in thinned:
            try:
                row, resolution = resample(values[at], frequency, asked[at].query.resolution or 0)
            except BadInput as error:
                asked[at].row[asked[at].place] = _failure(str(error))
            else:
                self._finish(asked[at : at + 1], row[None, :], totals, totals.starts[at : at + 1], resolution)
        if len(thinned) < len(asked):
            left = np.setdiff1d(np.arange(len(asked)), thinned) if thinned else slice(None)
            rest = [asked[at] for at in left.tolist()] if isinstance(left, np.ndarray) else asked
            self._finish(rest, values[left], totals, totals.starts[left], frequency)

    def _finish(self, asked: Sequence[Asked], values: Values, totals: Totals, starts: Starts, resolution: int) -> None:
        stats = np.stack(statistics(values)) if self._request.with_stats else np.zeros((3, len(values)))
        if any(one.query.scale_by for one in asked):
            factors = np.array([one.query.scale_by or 1.0 for one in asked])
            values, stats = values * factors[:, None], stats * factors
        ends = starts + totals.values.shape[1] * totals.frequency
        missing = self._missing(starts, totals.frequency)
        with_data = self._request.with_data
        columns = (starts.tolist(), ends.tolist(), missing, values, *stats.tolist())
        for one, start, end, nulls, data, avg, low, high in zip(asked, *columns, strict=True):
            entry: Entry = {"from": start, "to": end, "resolution": resolution, "avg": avg, "min": low, "max": high}
            if with_data and nulls + len(data):
                entry["data"] = _padded(data, nulls) if nulls else data
            one.row[one.place] = entry

    def _missing(self, starts: Starts, frequency: int) -> list[int]:
        """Nulls in front of data that begin at these times, if they are wanted. TooLarge before any of them is made."""
        if not self._request.with_padding:
            return [0] * len(starts)
        missing = np.maximum(0, np.trunc(starts / frequency) - math.trunc(self._start / frequency)).astype(np.int64)
        nulls = int(missing.sum())
        if nulls > self._points:
            raise TooLarge(f"cannot pad with {nulls} nulls: more values than one request may have (limits.points)")
        self._points -= nulls
        found: list[int] = missing.tolist()
        return found

    def _divisor(self, asked: Asked) -> int:
        """What makes the sum of its series what the metric's rule asks for."""
        return len(asked.numbers) if self._engine.metrics.aggregation(asked.query.metric) == "avg" else 1


def _padded(data: Values, nulls: int) -> Values:
    """So many missing values in front; there may be so many that one copy of them is enough."""
    found = np.full(nulls + len(data), np.nan)
    found[nulls:] = data
    return found


def _failure(error: str) -> Entry:
    """The entry of a selector that went wrong."""
    return {"error": error, "from": 0, "to": 0, "resolution": 0, "avg": 0.0, "min": 0.0, "max": 0.0}


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
