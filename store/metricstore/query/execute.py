"""Queries to entries: select, read, aggregate, resample, state, scale, pad, in that order, as cc-metric-store does."""

import itertools
import math
from collections.abc import Awaitable, Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from metricstore.archiving import TIME_MAX, Past, Wanted
from metricstore.engine import Engine
from metricstore.memory.registry import NO_NUMBERS
from metricstore.numeric.aggregate import Values, statistics
from metricstore.numeric.resample import resample
from metricstore.query.request import Query, SkimmedRequest, read, read_queries, too_many
from metricstore.query.selection import Asked, Entry, Request, Selection, Selections
from metricstore.reading import Groups, Totals
from metricstore.settings import Limits
from metricwire.errors import BadInput, TooLarge

QUERIES_AT_ONCE = 1000  # whose series are found, and read together

Starts = NDArray[np.int64]  # seconds
Rows = list[list[Entry]]


class Execution:
    """One request against one engine. TooLarge when it asks for more than the limits allow, before anything is read.

    `echo` are the queries that `for-all-nodes` made; `rows` gives the results. BadInput for a body that is no request.
    """

    def __init__(self, engine: Engine, body: bytes, limits: Limits, selections: Selections) -> None:
        self._engine, self._limits, self._selections = engine, limits, selections
        self._frame = frame = read(body, SkimmedRequest)
        self._points = limits.points  # values that may still be read or padded
        self._cluster = frame.cluster or ""
        self._start = max(-TIME_MAX, min(frame.from_ or 0, TIME_MAX))
        self._end = max(-TIME_MAX, min(frame.to or 0, TIME_MAX))
        archived = engine.archived_until(self._cluster)
        self._archived = archived is not None and self._start <= archived
        self._past: Past | None = None  # of the last selector that was read
        self._known = None if self._archived or self._start > self._end else selections.get(frame.subject)
        if self._known is not None:
            self.echo = self._known.echo
            return
        self._queries = read_queries(body, limits.queries)
        made = self._for_all_nodes(sum(map(width, self._queries)))
        self.echo = [{"metric": query.metric, "host": query.host, "resolution": 0, "aggreg": False} for query in made]
        self._queries += made

    def _for_all_nodes(self, asked: int) -> list[Query]:
        metrics = self._frame.for_all_nodes or []
        hosts = self._engine.hosts(self._cluster, archived=self._archived) if metrics else []
        count = asked + len(metrics) * len(hosts)
        if count > self._limits.queries:
            raise too_many(count, self._limits.queries)
        return [Query(metric, host) for host in hosts for metric in metrics]

    def rows(self) -> Iterator[Rows | Awaitable[object]]:
        """A row per query, given ones first: an entry per selector that has data, or went wrong. Some at a time, or none, or
        something that has to be awaited before the next."""
        if self._archived:
            yield from self._rows_with_archive()
            return
        for part in map(self._held, self._known.parts) if self._known else self._find():
            entries = list(part.entries)
            for totals in self._engine.read(part.groups, self._start, self._end, self._points):
                self._points -= totals.values.shape[1] * int(part.groups.sizes[totals.places].sum())
                self._fill(entries, part, totals)
                yield []
            left = iter(entries)
            yield [[entry for entry in itertools.islice(left, count) if entry] for count in part.counts]

    def _find(self) -> Iterator[Selection]:
        """What the queries ask for, some at a time; all together is remembered."""
        generation, parts = self._engine.generation, list[Selection]()
        all_held = self._start <= self._end
        for at in range(0, len(self._queries), QUERIES_AT_ONCE):
            part, held = self._select(self._queries[at : at + QUERIES_AT_ONCE])
            parts.append(part)
            all_held &= held
            yield part
        if all_held:
            self._selections.keep(self._frame.subject, Request(self.echo, parts, generation))

    def _held(self, part: Selection) -> Selection:
        """What there is of it now: series may lose their samples, even between two parts of one answer."""
        groups = part.groups
        if len(self._engine.holding(groups.numbers)) == len(groups.numbers):
            return part
        left = [self._engine.holding(groups.group(place)) for place in range(len(groups))]
        kept = [place for place, numbers in enumerate(left) if len(numbers)]
        asked, parts = [part.asked[place] for place in kept], [left[place] for place in kept]
        return self._selection(asked, parts, part.counts, part.entries)

    def _rows_with_archive(self) -> Iterator[Rows | Awaitable[object]]:
        """The same one by one, for a time of which the archive has samples."""
        for query in self._queries:
            entries = list[Entry | None]()
            for groups in selectors(query):
                found = None if self._start > self._end else (yield from self._with_archive(query, groups))
                error = self._error(query, found[1] if found else 0)
                if error:
                    entries.append(_failure(error))
                elif found:
                    entries.append(None)
                    self._points -= found[0].values.shape[1] * found[1]
                    series = np.zeros(found[1], np.int64)
                    self._fill(entries, self._selection([Asked(len(entries) - 1, query)], [series]), found[0])
                yield []
            yield [[entry for entry in entries if entry]]

    def _with_archive(
        self, query: Query, groups: list[list[str]]
    ) -> Generator[Rows | Awaitable[object], None, tuple[Totals, int] | None]:
        """Sums of one selector's series, and how many these are. What the archive has serves all selectors of the query."""
        while True:
            frequency = self._engine.metrics.frequency(query.metric)
            wanted = Wanted(self._cluster, query.host, groups, query.metric, self._start, self._end, frequency)
            if self._past is None or not self._engine.current(self._past, wanted):
                self._past = None  # it may be large
                reading = self._engine.past(wanted, self._points)
                yield reading
                self._past = reading.result()
            found = None
            for some in self._engine.read_archived(wanted, self._past, self._points):
                found = some
                yield []
            if self._engine.current(self._past, wanted):
                return found

    def _select(self, queries: Sequence[Query]) -> tuple[Selection, bool]:
        """What is to be read for queries, and whether all series that were found hold samples."""
        select, cluster = self._engine.select, self._cluster
        chosen = [(query, select(cluster, query.host, selectors(query), query.metric)) for query in queries]
        every = np.concatenate([NO_NUMBERS, *(numbers for _, found in chosen for numbers in found)])
        all_held = len(self._engine.holding(every)) == len(every)
        counts, entries, asked, parts = list[int](), list[Entry | None](), list[Asked](), list[NDArray[np.int64]]()
        for query, found in chosen:
            before = len(entries)
            for selected in found:
                numbers = selected if all_held else self._engine.holding(selected)
                count = len(numbers)
                error = self._error(query, count) if count != 1 or self._start > self._end else None
                if error:
                    entries.append(_failure(error))
                elif count:
                    asked.append(Asked(len(entries), query))
                    entries.append(None)
                    parts.append(numbers)
            counts.append(len(entries) - before)
        return self._selection(asked, parts, counts, entries), all_held

    def _selection(
        self,
        asked: Sequence[Asked],
        parts: Sequence[NDArray[np.int64]],
        counts: Sequence[int] = (),
        entries: Sequence[Entry | None] = (),
    ) -> Selection:
        groups = Groups.of(parts)
        averaged = [self._engine.metrics.aggregation(query.metric) == "avg" for _, query in asked]
        plain = not any(query.resolution or query.scale_by for _, query in asked)
        return Selection(counts, entries, asked, groups, np.where(averaged, groups.sizes, 1), plain)

    def _error(self, query: Query, count: int) -> str | None:
        """Why nothing can be said of so many series."""
        if self._start > self._end:
            return "cannot read: invalid time range, from is after to"
        if not count and not self._engine.head.knows(query.metric):
            return f"cannot read: unknown metric: {query.metric}"
        if count > 1 and self._engine.metrics.aggregation(query.metric) is None:
            return f"cannot aggregate {count} series: invalid aggregation: metric {query.metric} has no rule"
        return None

    def _fill(self, entries: list[Entry | None], part: Selection, totals: Totals) -> None:
        """Make the entries of what was read: averaged, thinned where that is asked for, stated, scaled, padded."""
        places, values, frequency = totals.places.tolist(), totals.values, totals.frequency
        asked = part.asked if len(places) == len(part.asked) else [part.asked[place] for place in places]
        divisors = part.divisors[totals.places]
        if divisors.max() > 1:
            values = values / divisors[:, None]
        wanted = [] if part.plain else [query.resolution or 0 for _, query in asked]
        thinned = [at for at, resolution in enumerate(wanted) if resolution > frequency]
        for at in thinned:
            try:
                row, resolution = resample(values[at], frequency, wanted[at])
            except BadInput as error:
                entries[asked[at].place] = _failure(str(error))
            else:
                some = totals._replace(starts=totals.starts[at : at + 1])
                self._finish(entries, asked[at : at + 1], row[None, :], some, resolution)
        if not thinned:
            self._finish(entries, asked, values, totals, frequency, plain=part.plain)
        elif len(thinned) < len(asked):
            left = np.setdiff1d(np.arange(len(asked)), thinned)
            rest = [asked[at] for at in left.tolist()]
            self._finish(entries, rest, values[left], totals._replace(starts=totals.starts[left]), frequency)

    def _finish(
        self,
        entries: list[Entry | None],
        asked: Sequence[Asked],
        values: Values,
        totals: Totals,
        resolution: int,
        *,
        plain: bool = False,
    ) -> None:
        """Entries of rows of values, which begin at the starts of the totals and may have been thinned since."""
        stats = np.stack(statistics(values)) if self._frame.with_stats is not False else np.zeros((3, len(values)))
        if not plain:
            factors = np.array([query.scale_by or 1.0 for _, query in asked])
            values, stats = values * factors[:, None], stats * factors
        ends = totals.starts + totals.values.shape[1] * totals.frequency
        missing = self._missing(totals.starts, totals.frequency)
        with_data = self._frame.with_data is not False
        columns = (totals.starts.tolist(), ends.tolist(), missing, values, *stats.tolist())
        for (place, _), start, end, nulls, data, avg, low, high in zip(asked, *columns, strict=True):
            entry: Entry = {"from": start, "to": end, "resolution": resolution, "avg": avg, "min": low, "max": high}
            if with_data and nulls + len(data):
                entry["data"] = _padded(data, nulls) if nulls else data
            entries[place] = entry

    def _missing(self, starts: Starts, frequency: int) -> list[int]:
        """Nulls in front of data that begin at these times, if they are wanted. TooLarge before any of them is made."""
        if self._frame.with_padding is False:
            return [0] * len(starts)
        missing = np.maximum(0, np.trunc(starts / frequency) - math.trunc(self._start / frequency)).astype(np.int64)
        nulls = int(missing.sum())
        if nulls > self._points:
            raise TooLarge(f"cannot pad with {nulls} nulls: more values than one request may have (limits.points)")
        self._points -= nulls
        found: list[int] = missing.tolist()
        return found


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
