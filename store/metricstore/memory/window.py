"""64 slots of all series of one frequency, in memory that costs nothing where nothing was written."""

import mmap

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]

SLOTS = 64
SHIFT = 6  # slot >> SHIFT is the window, slot & (SLOTS - 1) the column
NAN_BITS = np.uint64(0x7FF8000000000000)  # of a missing value; bits are kept XOR these, so that untouched memory is missing
ROW_BYTES = SLOTS * 8
_NEVER_HUGE = getattr(mmap, "MADV_NOHUGEPAGE", None)


class Window:
    """`array[number, column]` (uint64): bits of the value XOR NAN_BITS.

    The system gives a page of memory when something is written to it: a late sample of one series costs 4 KiB. `complete`:
    holds all there is of these slots; otherwise a block on disk has more. `dirty`: has what no block has. `shrunk`: something
    was taken out since it was sealed.
    """

    def __init__(self, frequency: int, index: int, capacity: int, *, complete: bool) -> None:
        self.frequency, self.index, self.complete = frequency, index, complete
        self.dirty = self.shrunk = False
        self._map, self.array = _zeros(capacity, huge=complete)

    @property
    def start(self) -> int:
        """Time before which none of its slots begins (seconds)."""
        return begin(self.frequency, self.index) - self.frequency

    @property
    def end(self) -> int:
        """Time after which none of its slots ends (seconds)."""
        return begin(self.frequency, self.index + 1) + self.frequency

    @property
    def capacity(self) -> int:
        """Series there is room for."""
        return len(self.array)

    def reserve(self, capacity: int) -> None:
        """Make room for numbers below `capacity`."""
        if capacity <= self.capacity:
            return
        held, capacity = self.capacity, max(capacity, 2 * self.capacity)
        self.array = _NO_ROWS  # a map that is looked at cannot grow
        try:
            self._map.resize(capacity * ROW_BYTES)
            self.array = _rows(self._map)
        except BufferError:  # a thread is reading it
            before = _rows(self._map)
            self._map, self.array = _zeros(capacity, huge=self.complete)
            self.array[:held] = before

    def values(self, numbers: NDArray[np.integer], columns: NDArray[np.integer] | slice) -> Floats:
        """Values of series at columns (NaN where missing); numbers without room are missing."""
        return (self.array[numbers, columns] ^ NAN_BITS).view(np.float64)


def begin(frequency: int, index: int) -> int:
    """When the first slot of a window is, for a series with phase 0 (seconds); others are less than a frequency later."""
    return index * SLOTS * frequency


def _zeros(capacity: int, *, huge: bool) -> tuple[mmap.mmap, Bits]:
    """Zeroed rows that take memory when they are written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    made = mmap.mmap(-1, capacity * ROW_BYTES, flags=flags)
    if not huge and _NEVER_HUGE is not None:
        made.madvise(_NEVER_HUGE)
    return made, _rows(made)


def _rows(memory: mmap.mmap) -> Bits:
    return np.frombuffer(memory, np.uint64).reshape(-1, SLOTS)


_NO_ROWS = np.zeros((0, SLOTS), np.uint64)
