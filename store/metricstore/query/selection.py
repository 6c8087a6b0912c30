"""What requests ask for: the series of each entry. Dashboards ask for the same again and again, at other times."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.engine import Engine
from metricstore.query.request import Query, Subject
from metricstore.reading import Groups

Entry = dict[str, Any]

REMEMBERED = 8 * 1024**2  # bytes of all that is remembered, roughly
LARGEST = REMEMBERED // 4  # of one request
REQUEST_BYTES, QUERY_BYTES, ASKED_BYTES, SERIES_BYTES = 1500, 8, 400, 8  # of a request, and of what it has; all measured


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
        self._kept: OrderedDict[Subject, tuple[Request, int]] = OrderedDict()  # the one asked for longest ago first
        self._bytes = 0
        self._generation = engine.generation  # of all that is kept

    def get(self, subject: Subject) -> Request | None:
        """What was found for it, if the series are the same still; some may have lost their samples."""
        self._forget_older()
        found, _ = self._kept.get(subject, (None, 0))
        if found is not None:
            self._kept.move_to_end(subject)
        return found

    def keep(self, subject: Subject, request: Request) -> None:
        """Remember it, unless it is large or something went wrong."""
        self._forget_older()
        size = _size(subject, request)
        wrong = any(len(part.asked) < len(part.entries) for part in request.parts)
        if size > LARGEST or wrong or request.generation != self._generation:
            return
        _, before = self._kept.pop(subject, (None, 0))
        self._kept[subject] = request, size
        self._bytes += size - before
        while self._bytes > REMEMBERED:
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def _forget_older(self) -> None:
        """What was found among other series than there are now."""
        if self._generation != self._engine.generation:
            self._kept.clear()
            self._bytes, self._generation = 0, self._engine.generation


def _size(subject: Subject, request: Request) -> int:
    """Bytes that remembering it takes, roughly."""
    found = (
        QUERY_BYTES * len(part.counts) + ASKED_BYTES * len(part.asked) + SERIES_BYTES * len(part.groups.numbers)
        for part in request.parts
    )
    return REQUEST_BYTES + subject.size + ASKED_BYTES * len(request.echo) + sum(found)
