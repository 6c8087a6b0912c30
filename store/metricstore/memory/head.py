"""The samples in memory: windows of 64 slots by frequency, each with a row for every series. Series are numbers here.

    slot   = (timestamp - phase + frequency // 2) // frequency      the one it is nearest to
    phase  = first timestamp of the series mod frequency            so regular samples keep their timestamps
    window = slot // 64

Rules: the last write to a slot wins; a slot nothing was written to is missing. All series of a metric have its frequency.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from metricstore.memory.metrics import MetricTable
from metricstore.memory.series import NEVER, Ints, SeriesTable
from metricstore.memory.window import SHIFT, SLOTS, Floats, Window
from metricstore.numeric import kernels

HOT = 8  # windows that a batch is matched with at once: the newest ones
Numbers = NDArray[np.uint32]


class Head:
    """All windows in memory. `sealed` tells whether a block on disk has samples of that frequency and window."""

    def __init__(
        self, metrics: MetricTable, metric_of: Callable[[int], str], sealed: Callable[[int, int], bool] = lambda *_: False
    ) -> None:
        self.metrics, self.series = metrics, SeriesTable()
        self.windows: dict[tuple[int, int], Window] = {}  # by frequency and window
        self._metric_of, self._sealed = metric_of, sealed
        self._hot: list[Window] = []
        self._undeclared: dict[str, list[int]] = {}  # series by metric, of those that nobody declared

    # Writing

    def write(self, numbers: Numbers, timestamps: Ints, values: Floats) -> None:
        """Samples in order."""
        self.series.reserve(int(numbers.max()) + 1)
        prepared = bool(self._undeclared)  # else no series can move, and only new ones have to be looked at
        if prepared:
            self._prepare(numbers, timestamps)
        left = self._scatter(numbers, timestamps, values, self._hot)
        if len(left):
            numbers, timestamps, values = numbers[left], timestamps[left], values[left]
            if not prepared:
                self._prepare(numbers, timestamps)
            self._write_elsewhere(numbers, timestamps, values)

    def _prepare(self, numbers: Numbers, timestamps: Ints) -> None:
        """Give series their grids before they are written to."""
        new = np.flatnonzero(self.series.step[numbers] == 0)
        if len(new):
            self._place(numbers[new], timestamps[new])
        if self._undeclared:
            watched = np.flatnonzero(self.series.watched[numbers])
            if len(watched):
                self._observe(numbers[watched], timestamps[watched])

    def _scatter(self, numbers: Numbers, timestamps: Ints, values: Floats, windows: list[Window]) -> Ints:
        """Put samples into these windows; which of them belong elsewhere."""
        series = self.series
        left, touched = kernels.scatter(
            numbers,
            timestamps,
            values,
            series.step,
            series.phase,
            series.row,
            series.first,
            series.last,
            np.array([window.frequency for window in windows], np.int32),
            np.array([window.index for window in windows], np.int64),
            [window.array for window in windows],
        )
        for window, dirty in zip(windows, touched, strict=True):
            window.dirty = window.dirty or dirty
        return left

    def _write_elsewhere(self, numbers: Numbers, timestamps: Ints, values: Floats) -> None:
        """Samples of windows that are not at hand, or have no room for the series yet."""
        frequencies, indexes = self.series.step[numbers].astype(np.int64), self.series.slots(numbers, timestamps) >> SHIFT
        order = np.lexsort((indexes, frequencies))  # stable: of one window they stay in order
        cuts = np.flatnonzero((np.diff(frequencies[order]) != 0) | (np.diff(indexes[order]) != 0)) + 1
        for here in np.split(order, cuts):
            window = self._open(int(frequencies[here[0]]), int(indexes[here[0]]))
            window.reserve(self.series.size)
            left = self._scatter(numbers[here], timestamps[here], values[here], [window])
            assert not len(left)
        self._choose_hot()

    def open(self, frequency: int, index: int) -> Window:
        """The window, made where there is none."""
        window = self._open(frequency, index)
        self._choose_hot()
        return window

    def _open(self, frequency: int, index: int) -> Window:
        window = self.windows.get((frequency, index))
        if window is None:
            complete = not self._sealed(frequency, index)
            window = self.windows[frequency, index] = Window(frequency, index, self.series.size, complete=complete)
        return window

    def _choose_hot(self) -> None:
        self._hot = sorted(self.windows.values(), key=lambda window: window.end, reverse=True)[:HOT]

    def _place(self, numbers: Numbers, timestamps: Ints) -> None:
        """Give series without samples their grids."""
        numbers, firsts = np.unique(numbers, return_index=True)
        metrics = [self._metric_of(number) for number in numbers.tolist()]
        frequencies = {metric: self.metrics.frequency(metric) for metric in set(metrics)}
        steps = np.array([frequencies[metric] for metric in metrics], np.int32)
        self.series.step[numbers], self.series.phase[numbers] = steps, timestamps[firsts] % steps
        undeclared = {metric for metric in frequencies if not self.metrics.declared(metric)}
        for number, metric in zip(numbers.tolist(), metrics, strict=True) if undeclared else ():
            if metric in undeclared:
                self.watch(number, metric)

    def watch(self, number: int, metric: str) -> None:
        """The frequency of the series is what is observed."""
        self.series.watched[number] = 2 if metric in self.metrics.observed else 1
        self._undeclared.setdefault(metric, []).append(number)

    def _observe(self, numbers: Numbers, timestamps: Ints) -> None:
        """Learn the frequencies of metrics that nobody declared, and move what is on another grid."""
        order = np.lexsort((timestamps, numbers))
        sorted_numbers, stamps = numbers[order], timestamps[order]
        before = self.series.last[sorted_numbers]
        before = np.where(before == -NEVER, stamps, before)
        same = np.flatnonzero(sorted_numbers[1:] == sorted_numbers[:-1]) + 1
        before[same] = stamps[same - 1]
        distances = np.abs(stamps - before)
        news = (distances < self.series.step[sorted_numbers]) | (self.series.watched[sorted_numbers] == 1)
        changed: dict[str, bool] = {}
        for at in np.flatnonzero((distances > 0) & news).tolist():
            metric = self._metric_of(int(sorted_numbers[at]))
            changed[metric] = self.metrics.observe(metric, int(distances[at])) or changed.get(metric, False)
        for metric, moves in changed.items():
            if metric in self.metrics.observed:
                self.series.watched[self._undeclared[metric]] = 2
            if moves:
                self._move(metric)

    def _move(self, metric: str) -> None:
        """Put the metric's series onto the grid of its new frequency."""
        series, numbers = self.series, np.array(self._undeclared[metric], np.int64)
        frequency = self.metrics.frequency(metric)
        parts = [
            self._taken_from(window, numbers) for _, window in sorted(self.windows.items()) if window.frequency != frequency
        ]
        held = series.has_samples(numbers)
        series.moved[numbers[held]] = 1
        series.step[numbers] = frequency
        series.phase[numbers] %= frequency
        series.phase[numbers[held]] = series.first[numbers[held]] % frequency
        if parts:
            which, stamps, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            if len(which):
                self._write_elsewhere(which.astype(np.uint32), stamps, values)

    def _taken_from(self, window: Window, numbers: Ints) -> tuple[Ints, Ints, Floats]:
        """Samples of series that leave the window: number, timestamp, value."""
        numbers = numbers[(self.series.step[numbers] == window.frequency) & (numbers < window.capacity)]
        values = window.values(numbers, slice(None))
        rows, columns = np.nonzero(~np.isnan(values))
        if len(rows):
            window.dirty = window.shrunk = True  # before it is: a thread may be sealing the window
            window.array[numbers] = 0
        return numbers[rows], self.series.times(numbers[rows], window.index * SLOTS + columns), values[rows, columns]

    def settle(self) -> None:
        """Let all series of an observed metric have its frequency: the settings may have named the metric for a while."""
        for metric, numbers in list(self._undeclared.items()):
            steps = self.series.step[numbers]
            if (steps[steps > 0] != self.metrics.frequency(metric)).any():
                self._move(metric)

    # Reading

    def knows(self, metric: str) -> bool:
        """Whether the metric was declared or has been seen."""
        return self.metrics.declared(metric) or metric in self._undeclared

    def latest(self, numbers: Ints, until: int, intervals: int, interval: int = 1) -> tuple[Ints, Ints, Floats]:
        """Number, timestamp, value of the last sample at or before that time, of series where it is at most so many intervals
        older; each of them takes so many seconds at least."""
        series = self.series
        numbers = numbers[series.has_samples(numbers)]
        newest = series.slots(numbers, until)
        last = series.slots(numbers, series.last[numbers])
        oldest = newest - np.maximum(intervals, intervals * interval // series.step[numbers])
        kept = (last >= oldest) & (series.slots(numbers, series.first[numbers]) <= newest)
        numbers, newest, oldest = numbers[kept], newest[kept], oldest[kept]
        slots = np.minimum(last[kept], newest)
        values = self._at(numbers, slots)
        while len(missing := np.flatnonzero(np.isnan(values) & (slots > oldest))):
            slots[missing] -= 1  # a sample that is ahead of time hides the one we look for
            values[missing] = self._at(numbers[missing], slots[missing])
        has = ~np.isnan(values)
        return numbers[has], series.times(numbers[has], slots[has]), values[has]

    def _at(self, numbers: Ints, slots: Ints) -> Floats:
        """The value of each series at its slot."""
        found = np.full(len(numbers), np.nan)
        keys = (self.series.step[numbers].astype(np.int64) << 44) + (slots >> SHIFT)
        for key in np.unique(keys).tolist():
            frequency = (key + (1 << 43)) >> 44  # the window may be negative
            window = self.windows.get((frequency, key - (frequency << 44)))
            here = np.flatnonzero(keys == key)
            if window is not None:
                here = here[numbers[here] < window.capacity]
                found[here] = window.values(numbers[here], slots[here] & (SLOTS - 1))
        return found

    def samples(self, number: int) -> Iterator[tuple[Ints, Floats]]:
        """Timestamps and values of one series, window by window."""
        for (frequency, index), window in sorted(self.windows.items()):
            if frequency == self.series.step[number] and number < window.capacity:
                values = window.values(np.array([number]), slice(None))[0]
                columns = np.flatnonzero(~np.isnan(values))
                yield (index * SLOTS + columns) * frequency + int(self.series.phase[number]), values[columns]

    # Forgetting

    def drop(self, window: Window) -> None:
        """Forget what the window holds."""
        del self.windows[window.frequency, window.index]
        self._choose_hot()

    @property
    def size(self) -> int:
        """Memory that the windows take when all their rows are written to, in bytes."""
        return sum(window.array.nbytes for window in self.windows.values())

    def held(self, numbers: Ints, before: int) -> int:
        """In how many windows that end before that time, and are in no block, the series hold something; summed over them."""
        windows = [window for key, window in self.windows.items() if window.end <= before and not self._sealed(*key)]
        return sum(len(self._touched(window, numbers)) for window in windows)

    def ended(self, now: int) -> list[Window]:
        """The windows that ended at least as long ago as they last."""
        return [window for window in self.windows.values() if window.end + SLOTS * window.frequency < now]

    def free(self, numbers: Ints, before: int) -> None:
        """Forget what the series hold in windows that end before that time."""
        for window in self.windows.values():
            if window.end <= before:
                window.array[self._touched(window, numbers)] = 0

    def cut(self, numbers: Ints, before: int) -> None:
        """The same, and blocks will have nothing of it either: the series begin later, or hold nothing."""
        self.free(numbers, before)
        series = self.series
        numbers = numbers[series.has_samples(numbers)]
        step = series.step[numbers].astype(np.int64)
        kept = (before - step) // step >> SHIFT  # the first window that stays
        start = kept * SLOTS * step + series.phase[numbers]
        series.vague[numbers] |= series.first[numbers] < start
        series.first[numbers] = np.maximum(series.first[numbers], start)
        gone = numbers[series.last[numbers] < series.first[numbers]]
        series.first[gone], series.last[gone] = NEVER, -NEVER

    @staticmethod
    def _touched(window: Window, numbers: Ints) -> Ints:
        """Those of the series that hold something in the window: reading a page costs no memory, writing it does."""
        here = numbers[numbers < window.capacity]
        return here[window.array[here].any(axis=1)]

    def forget(self, numbers: Ints) -> None:
        """These series hold nothing any more."""
        for window in self.windows.values():
            window.array[self._touched(window, numbers)] = 0
        gone = set(numbers.tolist())
        for metric in {self._metric_of(number) for number in numbers[self.series.watched[numbers] > 0].tolist()}:
            left = [number for number in self._undeclared[metric] if number not in gone]
            if left:
                self._undeclared[metric] = left
            else:
                del self._undeclared[metric]
                self.metrics.forget(metric)
        self.series.reset(numbers)
        self.series.alive[numbers] = 0
