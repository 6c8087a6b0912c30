"""What is remembered of a series: of one interval (`add`), and over all of them (`join` the next one, `take` what is shown).

| kind | shown |
|---|---|
| counter | the sum of all since it was first seen |
| gauge | its last value, changes applied |
| timer, histogram, distribution | .count, .sum since first seen; .min .max .p50 .p90 .p95 .p99 of the interval, if any |
| set | how many different ones the interval had |

A cell has a bounded size, whatever is added.
"""

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from metricwire.reserved import QUANTILES, SPREAD_ENDINGS

KEPT_MOST = 512  # values of an interval that quantiles are taken of, at random from all; different members of a set
SPREAD_SERIES = len(SPREAD_ENDINGS)  # that a timer makes

Chance = Callable[[], float]  # a number in [0, 1)
Shown = Iterable[tuple[str, float]]  # what goes behind the metric's name, and the value


class Cell(Protocol):
    """Of one series. `seen` is when it was last added to, on the clock of who joins."""

    seen: float

    def add(self, value: float | bytes, weight: float, relative: bool) -> None:
        """One value more, which stands for `weight` of them; `relative`: a change of the one there is."""

    def join(self, newer: "Cell") -> None:
        """Add what a later interval had."""

    def take(self) -> Shown:
        """What is shown at the end of an interval; what was of that interval alone is forgotten."""


class Count:
    """A counter."""

    __slots__ = ("seen", "total")

    def __init__(self) -> None:
        self.seen = self.total = 0.0

    def add(self, value: float | bytes, weight: float, relative: bool) -> None:
        """See Cell."""
        assert not isinstance(value, bytes)
        self.total += value * weight

    def join(self, newer: Cell) -> None:
        """See Cell."""
        assert isinstance(newer, Count)
        self.total += newer.total

    def take(self) -> Shown:
        """See Cell."""
        return (("", self.total),)


class Level:
    """A gauge. `changes`: only changes came, so that the value is what they come to."""

    __slots__ = ("changes", "seen", "value")

    def __init__(self) -> None:
        self.seen = self.value = 0.0
        self.changes = True

    def add(self, value: float | bytes, weight: float, relative: bool) -> None:
        """See Cell."""
        assert not isinstance(value, bytes)
        if relative:
            self.value += value
        else:
            self.value, self.changes = value, False

    def join(self, newer: Cell) -> None:
        """See Cell."""
        assert isinstance(newer, Level)
        self.value = self.value + newer.value if newer.changes else newer.value

    def take(self) -> Shown:
        """See Cell."""
        return (("", self.value),)


class Spread:
    """A timer, a histogram or a distribution."""

    __slots__ = ("_chance", "count", "kept", "least", "most", "seen", "total", "values")

    def __init__(self, chance: Chance) -> None:
        self.seen = self.count = self.total = 0.0
        self.least, self.most = math.inf, -math.inf
        self.values = 0  # of the interval
        self.kept: list[float] = []
        self._chance = chance

    def add(self, value: float | bytes, weight: float, relative: bool) -> None:
        """See Cell. Which values are kept: reservoir sampling (Vitter's algorithm R)."""
        assert not isinstance(value, bytes)
        self.count += weight
        self.total += value * weight
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.values += 1
        if self.values <= KEPT_MOST:
            self.kept.append(value)
            return
        place = int(self._chance() * self.values)
        if place < KEPT_MOST:
            self.kept[place] = value

    def join(self, newer: Cell) -> None:
        """See Cell."""
        assert isinstance(newer, Spread)
        self.count += newer.count
        self.total += newer.total
        self.least, self.most, self.values, self.kept = newer.least, newer.most, newer.values, newer.kept

    def take(self) -> Shown:
        """See Cell."""
        values = [self.count, self.total]
        if self.values:
            ordered = sorted(self.kept)
            values += [self.least, self.most]
            values += [ordered[math.ceil(share * len(ordered)) - 1] for share in QUANTILES]
        self.least, self.most, self.values, self.kept = math.inf, -math.inf, 0, []
        return zip(SPREAD_ENDINGS, values, strict=False)  # the first two alone when the interval had none


class Distinct:
    """A set: exact up to KEPT_MOST members.

    With more, only members whose hash ends in enough zero bits are kept, which are one in `mask + 1` (Wegman's adaptive
    sampling, https://doi.org/10.1007/BF02241657): off by a twentieth, mostly.
    """

    __slots__ = ("mask", "members", "seen")

    def __init__(self) -> None:
        self.seen = 0.0
        self.mask = 0
        self.members: set[int] = set()

    def add(self, value: float | bytes, weight: float, relative: bool) -> None:
        """See Cell."""
        assert isinstance(value, bytes)
        known = hash(value)  # 64 bits, keyed anew in each process
        if known & self.mask:
            return
        self.members.add(known)
        while len(self.members) > KEPT_MOST:
            self.mask = 2 * self.mask + 1
            self.members = {member for member in self.members if not member & self.mask}

    def join(self, newer: Cell) -> None:
        """See Cell."""
        assert isinstance(newer, Distinct)
        self.mask, self.members = newer.mask, newer.members

    def take(self) -> Shown:
        """See Cell."""
        found = len(self.members) * (self.mask + 1)
        self.mask, self.members = 0, set()
        return (("", float(found)),)


def make(kind: str, chance: Chance) -> Cell:
    """An empty cell of the kind, one of packets.KINDS."""
    if kind == "counter":
        return Count()
    if kind == "gauge":
        return Level()
    return Distinct() if kind == "set" else Spread(chance)
