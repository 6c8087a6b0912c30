"""The samples in memory: which grid and row each series has, and the grids. Series are known by their numbers here."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.memory.grid import NEVER, Floats, Grid, Ints
from metricstore.memory.metrics import MetricTable
from metricwire.errors import TooLarge

SERIES_POINTS = 64  # what looking at one series costs, in values: part of a request's points


class Rows(NamedTuple):
    """Samples of some series of one metric, aligned by slot: values[i, k] is that of series i at start + k * frequency."""

    frequency: int
    start: int
    values: NDArray[np.float64]

    @property
    def end(self) -> int:
        """Where the next slot would begin."""
        return self.start + int(self.values.shape[1]) * self.frequency

    @property
    def points(self) -> int:
        """What reading it has cost."""
        return self.values.size + SERIES_POINTS * len(self.values)


class Head:
    """All samples in memory. All series of a metric are on the grid of the metric's frequency."""

    def __init__(self, metrics: MetricTable, metric_of: Callable[[int], str]) -> None:
        self.metrics = metrics
        self._metric_of = metric_of
        self._grids: dict[int, Grid] = {}
        self._number_of: dict[int, list[int]] = {}  # by frequency and row
        self._grid_of: Ints = np.zeros(1024, np.int64)  # frequency by number; 0: on no grid
        self._row_of: Ints = np.zeros(1024, np.int64)
        self._seen: dict[str, dict[int, int]] = {}  # of metrics that nobody declared: the latest timestamp by number

    def write(self, numbers: Ints, timestamps: Ints, values: Floats) -> None:
        """Samples in order."""
        self._grow(int(numbers.max()) + 1)
        for at in np.flatnonzero(self._grid_of[numbers] == 0):
            metric = self._metric_of(int(numbers[at]))
            if not self.metrics.declared(metric):
                self._seen.setdefault(metric, {}).setdefault(int(numbers[at]), int(timestamps[at]))
        if self._seen:
            self._observe(numbers, timestamps)
        for at in np.flatnonzero(self._grid_of[numbers] == 0):
            if not self._grid_of[numbers[at]]:
                self._place(int(numbers[at]), int(timestamps[at]))
        frequencies = self._grid_of[numbers]
        for frequency in np.unique(frequencies):
            here = frequencies == frequency
            self._grids[int(frequency)].write(self._row_of[numbers[here]], timestamps[here], values[here])

    def _grow(self, count: int) -> None:
        missing = count - len(self._grid_of)
        if missing > 0:
            more = np.zeros(max(missing, len(self._grid_of)), np.int64)
            self._grid_of, self._row_of = np.concatenate([self._grid_of, more]), np.concatenate([self._row_of, more])

    def _observe(self, numbers: Ints, timestamps: Ints) -> None:
        """Learn the frequencies of metrics that nobody declared, and move what is on another grid."""
        changed = set()
        for number, timestamp in zip(numbers.tolist(), timestamps.tolist(), strict=True):
            metric = self._metric_of(number)
            seen = self._seen.get(metric)
            if seen is None:
                continue
            before = seen.setdefault(number, timestamp)
            if self.metrics.observe(metric, abs(timestamp - before)):
                changed.add(metric)
            seen[number] = max(before, timestamp)
        for metric in changed:
            self._move(metric)

    def _move(self, metric: str) -> None:
        """Put the metric's series onto the grid of its new frequency."""
        numbers = np.array([number for number in self._seen[metric] if self._grid_of[number]], np.int64)
        if not len(numbers):
            return
        grid, rows = self._grids[int(self._grid_of[numbers[0]])], self._row_of[numbers]
        which, timestamps, values = grid.samples(rows)
        grid.remove(rows)
        self._grid_of[numbers] = 0
        first = np.full(len(numbers), NEVER)
        np.minimum.at(first, which, timestamps)
        for number, timestamp in zip(numbers.tolist(), first.tolist(), strict=True):
            if timestamp != NEVER:
                self._place(number, timestamp)
        if len(which):
            self._grids[self.metrics.frequency(metric)].write(self._row_of[numbers[which]], timestamps, values)

    def _place(self, number: int, timestamp: int) -> None:
        frequency = self.metrics.frequency(self._metric_of(number))
        grid = self._grids.get(frequency)
        if grid is None:
            grid = self._grids[frequency] = Grid(frequency)
        row = grid.add(timestamp)
        owners = self._number_of.setdefault(frequency, [])
        owners += [-1] * (row + 1 - len(owners))
        owners[row] = number
        self._grid_of[number], self._row_of[number] = frequency, row

    def knows(self, metric: str) -> bool:
        """Whether the metric was declared or has been seen."""
        return self.metrics.declared(metric) or metric in self._seen

    def holding(self, numbers: Iterable[int]) -> list[int]:
        """Those of the series that hold samples."""
        return [number for number in numbers if self._holds(number)]

    def _holds(self, number: int) -> bool:
        frequency = int(self._grid_of[number]) if number < len(self._grid_of) else 0
        return bool(frequency) and self._grids[frequency].first[self._row_of[number]] != NEVER

    def read(self, numbers: list[int], start: int, end: int, points_max: int) -> Rows:
        """Samples of series that hold some, from `start` up to, not including, `end` (seconds).

        The answer begins no earlier than the first sample of them all, ends no later than after the last, and may be empty.
        TooLarge when it would cost more than `points_max`.
        """
        rows = self._row_of[numbers]
        grid = self._grids[int(self._grid_of[numbers[0]])]
        begins = np.maximum(start, grid.times(rows, grid.first[rows]))
        slots = grid.slots(rows, begins)
        counts = np.clip(-((begins - end) // grid.frequency), 0, np.maximum(grid.last[rows] + 1 - slots, 0))
        earliest = int(slots.argmin())
        count = int((slots + counts).max() - slots[earliest])
        if (count + SERIES_POINTS) * len(rows) > points_max:
            raise TooLarge(
                f"cannot read {count} values of {len(rows)} series: more than {points_max} are left of what one request may "
                f"read (limits.points; a series counts as {SERIES_POINTS} besides)"
            )
        return Rows(grid.frequency, int(begins[earliest]), grid.read(rows, int(slots[earliest]), count))

    def latest(self, numbers: Iterable[int] | None, until: int, intervals: int) -> Iterator[tuple[int, int, float]]:
        """Number, timestamp and value of the last sample up to `until` that is at most so many intervals older, by series.

        `numbers` None: of all series.
        """
        if numbers is None:
            groups = [(grid, np.flatnonzero(grid.first[: grid.rows] != NEVER)) for grid in self._grids.values()]
        else:
            chosen = np.array(self.holding(numbers), np.int64)
            groups = [(grid, self._row_of[chosen[self._grid_of[chosen] == grid.frequency]]) for grid in self._grids.values()]
        for grid, rows in groups:
            if len(rows):
                owners = self._number_of[grid.frequency]
                columns = (column.tolist() for column in grid.latest(rows, until, intervals))
                for row, timestamp, value in zip(*columns, strict=True):
                    yield owners[row], timestamp, value

    def drop(self, before: int) -> int:
        """Forget the windows that end before that time; how many there were."""
        return sum(grid.drop(before) for grid in self._grids.values())

    def forget_empty(self, numbers: Iterable[int]) -> set[int]:
        """Those of the series that hold nothing; their rows are free again."""
        gone = {number for number in numbers if not self._holds(number)}
        for number in gone:
            frequency = int(self._grid_of[number]) if number < len(self._grid_of) else 0
            if frequency:
                self._grids[frequency].remove(self._row_of[number : number + 1])
                self._grid_of[number] = 0
            metric = self._metric_of(number)
            seen = self._seen.get(metric)
            if seen is not None:
                seen.pop(number, None)
                if not seen:
                    del self._seen[metric]
                    self.metrics.forget(metric)
        return gone

    @property
    def bytes(self) -> int:
        """Memory that samples take."""
        return sum(grid.bytes for grid in self._grids.values())
