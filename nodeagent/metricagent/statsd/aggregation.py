"""Values to readings: one thread adds, another one collects at the end of every interval.

What an interval brings is added to cells of its own; `collect` puts new ones in their place and joins the old ones to those of
all intervals, so that who adds never waits for who collects.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from metricagent.attribution import Owner
from metricagent.collector import Reading
from metricagent.statsd.cells import SPREAD_SERIES, Cell, Chance, make
from metricwire.dcos import APPLICATION, CONTAINER

# What a series of a kind counts in the limits: as many as the store gets of it; a set as much memory as ten.
COSTS = {"counter": 1, "gauge": 1, "timer": SPREAD_SERIES, "histogram": SPREAD_SERIES, "distribution": SPREAD_SERIES, "set": 10}
ALL, OF_POD, BYTES_OF_POD = "series", "series-of-pod", "bytes-of-pod"  # the limits, as refusals name them


class Limits(NamedTuple):
    """Most series in all and of one pod (of all that are unknown together), and bytes of the names and tags of a pod's lines;
    seconds without a value until one is forgotten."""

    series: int
    series_of_pod: int
    bytes_of_pod: int
    idle: float


class Series(NamedTuple):
    """What is told apart; `kind` is one of COSTS, `tags` sorted."""

    owner: Owner
    metric: str
    kind: str
    tags: tuple[tuple[str, str], ...]

    @property
    def cost(self) -> int:
        """What it counts in the limits on series."""
        return COSTS[self.kind]

    @property
    def bytes(self) -> int:
        """Of its name and tags, in all the lines that it makes."""
        texts = [self.metric, *(text for tag in self.tags for text in tag)]
        return (1 if self.kind == "set" else self.cost) * sum(len(text.encode()) for text in texts)


class Arrival(NamedTuple):
    """A value, and what it is of. `relative`: a gauge's change."""

    series: Series
    value: float | bytes
    weight: float
    relative: bool


class Aggregation:
    """The series there are, within limits. Of new ones that are too many no value is taken; the others go on."""

    def __init__(self, limits: Limits, chance: Chance) -> None:
        self._limits, self._chance = limits, chance
        self._lock = threading.Lock()  # around all but _cells, which only who collects changes
        self._window: dict[Series, Cell] = {}
        self._closing: dict[Series, Cell] = {}  # the window before, while it is joined
        self._cells: dict[Series, Cell] = {}
        self._costs: Counter[str] = Counter()  # by pod
        self._bytes: Counter[str] = Counter()  # by pod
        self._cost = 0
        self.refused = Counter({ALL: 0, OF_POD: 0, BYTES_OF_POD: 0})
        self.taken = 0

    @property
    def cost(self) -> int:
        """How much of the limit on all series is in use."""
        return self._cost

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """Take those whose series are known or may be."""
        with self._lock:
            for series, value, weight, relative in arrivals:
                cell = self._window.get(series)
                if cell is None:
                    if not self._admits(series):
                        continue
                    cell = self._window[series] = make(series.kind, self._chance)
                cell.add(value, weight, relative)
                self.taken += 1

    def _admits(self, series: Series) -> bool:
        if series in self._cells or series in self._closing:
            return True
        cost, size, pod = series.cost, series.bytes, series.owner.pod
        for used, limit, reason in (
            (self._costs[pod] + cost, self._limits.series_of_pod, OF_POD),
            (self._bytes[pod] + size, self._limits.bytes_of_pod, BYTES_OF_POD),
            (self._cost + cost, self._limits.series, ALL),
        ):
            if used > limit:
                self.refused[reason] += 1
                return False
        self._cost += cost
        self._costs[pod] += cost
        self._bytes[pod] += size
        return True

    def collect(self, now: float) -> list[Reading]:
        """What is shown of all series at the end of an interval; `now` in seconds of a clock that never jumps."""
        with self._lock:
            self._closing, self._window = self._window, {}
        for series, cell in self._closing.items():
            known = self._cells.setdefault(series, cell)
            if known is not cell:
                known.join(cell)
            known.seen = now
        idle = [series for series, cell in self._cells.items() if now - cell.seen > self._limits.idle]
        with self._lock:
            self._closing = {}
            for series in idle:
                if series not in self._window:
                    self._forget(series)
        return [
            Reading(series.metric + suffix, value, CONTAINER, series.owner.container, APPLICATION, series.kind, series.tags)
            for series, cell in self._cells.items()
            for suffix, value in cell.take()
        ]

    def _forget(self, series: Series) -> None:
        del self._cells[series]
        pod = series.owner.pod
        self._cost -= series.cost
        self._costs[pod] -= series.cost
        self._bytes[pod] -= series.bytes
        if not self._costs[pod]:
            del self._costs[pod], self._bytes[pod]
