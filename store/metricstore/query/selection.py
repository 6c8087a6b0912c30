"""What requests ask for: the series of each entry. Dashboards ask for the same again and again, at other times."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.engine import Engine
from metricstore.query.request import Query
from metricstore.reading import Groups

Entry = dict[str, Any]

REMEMBERED = 8 * 1024**2  # bytes of all that is remembered, roughly
LARGEST = REMEMBERED // 4  # of one request
ASKED_BYTES, SERIES_BYTES = 400, 8  # of an entry and of a series in it


class Asked(NamedTuple):
    """An entry that is to be read: its place and its query."""

    place: int
    query: Query


class Selection(NamedTuple):
    """What some queries ask for. `entries` are in the order of the queries; `groups` are the series of `asked`."""

    counts: Sequence[int]  # entries of each query
    entries: Sequence[Entry | None]  # what went wrong already; None for what is to be read
    asked: Sequence[Asked]
    groups: Groups
    divisors: NDArray[np.int64]  # what makes the sum of a group's series what the metric's rule wants
    plain: bool  # no query wants another scale or resolution


class Request(NamedTuple):
    """What one request asks for; `echo` are the queries that its `for-all-nodes` made."""

    echo: Sequence[Entry]
    parts: Sequence[Selection]
    generation: int  # of the engine's series when they were found


class Selections:
    """Requests that were found lately and of which nothing went wrong, within a bounded memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[Hashable, tuple[Request, int]] = OrderedDict()  # the one asked for longest ago first
        self._bytes = 0

    def get(self, subject: Hashable) -> Request | None:
        """What was found for it, if the series are the same still; some may have lost their samples."""
        found, _ = self._kept.get(subject, (None, 0))
        if found is None:
            return None
        if found.generation != self._engine.generation:
            self._drop(subject)
            return None
        self._kept.move_to_end(subject)
        return found

    def keep(self, subject: Hashable, request: Request) -> None:
        """Remember it, unless it is large or something went wrong."""
        size = sum(ASKED_BYTES * len(part.asked) + SERIES_BYTES * len(part.groups.numbers) for part in request.parts)
        if size > LARGEST or any(len(part.asked) < len(part.entries) for part in request.parts):
            return
        if subject in self._kept:
            self._drop(subject)
        self._kept[subject] = request, size
        self._bytes += size
        while self._bytes > REMEMBERED:
            self._drop(next(iter(self._kept)))

    def _drop(self, subject: Hashable) -> None:
        self._bytes -= self._kept.pop(subject)[1]
