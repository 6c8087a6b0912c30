"""The samples of all series of one frequency: dense arrays (series, slots), a window of time each.

    slot   = (timestamp - phase + frequency // 2) // frequency      the one it is nearest to
    phase  = first timestamp of the series mod frequency            so regular samples keep their timestamps
    window = slot // WINDOW

Rules: the last write to a slot wins; a slot nothing was written to is NaN; windows exist where something was written.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WINDOW = 128  # slots: about 21 min at 10 s; a window costs 1 KiB a series
NEVER = np.iinfo(np.int64).max


class Grid:
    """Series are rows, numbered from 0 in the order they are added."""

    def __init__(self, frequency: int) -> None:
        self.frequency = frequency
        self.rows = 0
        self.phase: Ints = np.zeros(64, np.int64)
        self.first: Ints = np.full(64, NEVER)  # slot of the first sample kept; NEVER: none
        self.last: Ints = np.full(64, -NEVER)  # slot of the last one
        self._windows: dict[int, Floats] = {}

    def add(self, timestamp: int) -> int:
        """A row for a series whose first sample is at that time."""
        if self.rows == len(self.phase):
            self.phase, self.first, self.last = (np.concatenate([a, a]) for a in (self.phase, self.first, self.last))
            self.first[self.rows :], self.last[self.rows :] = NEVER, -NEVER
        self.phase[self.rows] = timestamp % self.frequency
        self.rows += 1
        return self.rows - 1

    def slots(self, rows: Ints, timestamps: Ints | int) -> Ints:
        """The slots that the timestamps are nearest to on each row's grid."""
        nearest: Ints = (timestamps - self.phase[rows] + self.frequency // 2) // self.frequency
        return nearest

    def times(self, rows: Ints, slots: Ints) -> Ints:
        """The timestamps of slots."""
        stamps: Ints = slots * self.frequency + self.phase[rows]
        return stamps

    def write(self, rows: Ints, timestamps: Ints, values: Floats) -> None:
        """Samples in order; of two for one slot the later in the arrays stays."""
        slots = self.slots(rows, timestamps)
        numbers = slots // WINDOW
        lowest, highest = int(numbers.min()), int(numbers.max())
        if lowest == highest:
            self._window(lowest)[rows, slots % WINDOW] = values
        else:
            for number in np.unique(numbers):
                here = numbers == number
                self._window(int(number))[rows[here], slots[here] % WINDOW] = values[here]
        np.minimum.at(self.first, rows, slots)
        np.maximum.at(self.last, rows, slots)

    def _window(self, number: int) -> Floats:
        """The window to write to, with room for all rows."""
        window = self._windows.get(number)
        if window is None:
            window = self._windows[number] = np.full((len(self.phase), WINDOW), np.nan)
        elif len(window) < self.rows:
            grown = np.full((len(self.phase), WINDOW), np.nan)
            grown[: len(window)] = window
            window = self._windows[number] = grown
        return window

    def read(self, rows: Ints, start: int, count: int) -> Floats:
        """(rows, count): the values of slots start ... start + count - 1, NaN where there are none."""
        found = np.full((len(rows), count), np.nan)
        for number in range(start // WINDOW, (start + count - 1) // WINDOW + 1):
            window = self._windows.get(number)
            if window is None:
                continue
            low, high = max(start, number * WINDOW), min(start + count, (number + 1) * WINDOW)
            has = rows < len(window)
            cut = window[rows[has], low - number * WINDOW : high - number * WINDOW]
            found[has, low - start : high - start] = cut
        return found

    def latest(self) -> tuple[Ints, Ints, Floats]:
        """Rows that hold a sample, with the time and the value of their last one."""
        rows = np.flatnonzero(self.first[: self.rows] != NEVER)
        slots = self.last[rows]
        values = np.full(len(rows), np.nan)
        numbers = slots // WINDOW
        for number in np.unique(numbers):
            here = numbers == number
            values[here] = self._windows[int(number)][rows[here], slots[here] % WINDOW]
        return rows, self.times(rows, slots), values

    def drop(self, before: int) -> int:
        """Forget the windows that end before that time; how many there were."""
        bound = before // self.frequency // WINDOW
        old = [number for number in self._windows if number < bound]
        for number in old:
            del self._windows[number]
        if old:
            self._move_first(bound * WINDOW)
        return len(old)

    def _move_first(self, slot: int) -> None:
        """Set `first` to the first sample at or after the slot, for rows that began before it."""
        rows = np.flatnonzero(self.first[: self.rows] < slot)
        for number in sorted(self._windows):
            window = self._windows[number]
            inside = rows[rows < len(window)]
            has = ~np.isnan(window[inside])
            begins = has.any(axis=1)
            self.first[inside[begins]] = number * WINDOW + has[begins].argmax(axis=1)
            rows = np.setdiff1d(rows, inside[begins])
        self.first[rows], self.last[rows] = NEVER, -NEVER

    @property
    def bytes(self) -> int:
        """Memory that the windows take."""
        return sum(window.nbytes for window in self._windows.values())
