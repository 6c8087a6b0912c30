"""The samples of all series of one frequency: dense arrays of BLOCK series by WINDOW slots, made where something is written.

    slot   = (timestamp - phase + frequency // 2) // frequency      the one it is nearest to
    phase  = first timestamp of the series mod frequency            so regular samples keep their timestamps
    window = slot // WINDOW        block = row // BLOCK

Rules: the last write to a slot wins; a slot nothing was written to is NaN. A series is a row; rows are reused.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WINDOW = 128  # slots: about 21 min at 10 s
BLOCK = 128  # rows: a late sample of one series costs an array of 128 KiB, not one of all series
NEVER = np.iinfo(np.int64).max


class Grid:
    """Rows of one frequency (seconds)."""

    def __init__(self, frequency: int) -> None:
        self.frequency = frequency
        self.rows = 0
        self.phase: Ints = np.zeros(64, np.int64)
        self.first: Ints = np.full(64, NEVER)  # slot of the first sample kept; NEVER: none
        self.last: Ints = np.full(64, -NEVER)  # slot of the last one
        self._free: list[int] = []
        self._windows: dict[int, dict[int, Floats]] = {}  # by window, by block

    def add(self, timestamp: int) -> int:
        """A row for a series whose first sample is at that time."""
        if self._free:
            row = self._free.pop()
        else:
            if self.rows == len(self.phase):
                self.phase, self.first, self.last = (np.concatenate([a, a]) for a in (self.phase, self.first, self.last))
                self.first[self.rows :], self.last[self.rows :] = NEVER, -NEVER
            row = self.rows
            self.rows += 1
        self.phase[row] = timestamp % self.frequency
        return row

    def remove(self, rows: Ints) -> None:
        """Forget rows and what they hold."""
        for window in self._windows.values():
            for block, here in _groups(rows // BLOCK):
                if block in window:
                    window[block][rows[here] % BLOCK] = np.nan
        self.first[rows], self.last[rows] = NEVER, -NEVER
        self._free += rows.tolist()

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
        for number, block, here in _places(slots // WINDOW, rows // BLOCK):
            self._array(number, block)[rows[here] % BLOCK, slots[here] % WINDOW] = values[here]
        np.minimum.at(self.first, rows, slots)
        np.maximum.at(self.last, rows, slots)

    def _array(self, number: int, block: int) -> Floats:
        window = self._windows.setdefault(number, {})
        found = window.get(block)
        if found is None:
            found = window[block] = np.full((BLOCK, WINDOW), np.nan)
        return found

    def read(self, rows: Ints, start: int, count: int) -> Floats:
        """(rows, count): the values of slots start ... start + count - 1, NaN where there are none."""
        found = np.full((len(rows), count), np.nan)
        groups = list(_groups(rows // BLOCK))
        for number in range(start // WINDOW, (start + count - 1) // WINDOW + 1):
            window = self._windows.get(number, {})
            low, high = max(start, number * WINDOW), min(start + count, (number + 1) * WINDOW)
            for block, here in groups if window else ():
                if block in window:
                    cut = window[block][rows[here] % BLOCK, low - number * WINDOW : high - number * WINDOW]
                    found[here, low - start : high - start] = cut
        return found

    def samples(self, rows: Ints) -> tuple[Ints, Ints, Floats]:
        """All that the rows hold: index into `rows`, timestamp, value; by time within each row."""
        parts = []
        for number in sorted(self._windows):
            for block, here in _groups(rows // BLOCK):
                if block in self._windows[number]:
                    cut = self._windows[number][block][rows[here] % BLOCK]
                    which, offsets = np.nonzero(~np.isnan(cut))
                    parts.append((here[which], number * WINDOW + offsets, cut[which, offsets]))
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        which, slots, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return which, self.times(rows[which], slots), values

    def latest(self, rows: Ints, until: int, intervals: int) -> tuple[Ints, Ints, Floats]:
        """Of rows whose last sample at or before that time is at most so many intervals older: row, timestamp, value."""
        newest = self.slots(rows, until)
        kept = rows[(self.last[rows] >= newest - intervals) & (self.first[rows] <= newest)]
        newest = self.slots(kept, until)
        slots = np.minimum(self.last[kept], newest)
        values = np.full(len(kept), np.nan)
        for number, block, here in _places(slots // WINDOW, kept // BLOCK):
            array = self._windows.get(number, {}).get(block)
            if array is not None:
                values[here] = array[kept[here] % BLOCK, slots[here] % WINDOW]
        for at in np.flatnonzero(np.isnan(values)):  # a sample that is ahead of time hides the one we look for
            before = self.read(kept[at : at + 1], int(newest[at]) - intervals, intervals + 1)[0]
            present = np.flatnonzero(~np.isnan(before))
            if len(present):
                slots[at], values[at] = newest[at] - intervals + present[-1], before[present[-1]]
        has = ~np.isnan(values) & (slots >= newest - intervals)
        return kept[has], self.times(kept[has], slots[has]), values[has]

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
        which, stamps, _ = self.samples(rows)
        first = np.full(len(rows), NEVER)
        np.minimum.at(first, which, self.slots(rows[which], stamps))
        self.first[rows] = first
        self.last[rows[first == NEVER]] = -NEVER

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(array.nbytes for window in self._windows.values() for array in window.values())


def _groups(keys: Ints) -> Iterator[tuple[int, Ints]]:
    """Each key with the indexes at which it stands, in their order."""
    if not len(keys):
        return
    if keys[0] == keys[-1] and (keys == keys[0]).all():
        yield int(keys[0]), np.arange(len(keys))
        return
    order = np.argsort(keys, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        yield int(keys[part[0]]), part


def _places(windows: Ints, blocks: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Each pair of window and block with the indexes at which it stands, in their order."""
    for key, here in _groups((windows << 32) + blocks):
        yield key >> 32, key & 0xFFFFFFFF, here
