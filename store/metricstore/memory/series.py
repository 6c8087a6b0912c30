"""What is known of each series by number, as arrays: its grid, and between which times it has samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max


class SeriesTable:
    """Arrays of one length, indexed by series number; `reserve` before using a number.

    step: seconds between slots (int32; 0: no samples yet)     phase: first timestamp mod step (int32)
    row: the number itself (int32)     first, last: timestamps of the first and last sample (int64; NEVER, -NEVER: none)
    alive: the number is given (uint8)
    watched: its metric's frequency is observed (2), or has still to be (1); 0: it is declared (uint8)
    moved: blocks may hold it on another grid than `step` and `phase` say (uint8)
    vague: `first` is the begin of the oldest window that is kept, in which it may have no sample (uint8)
    """

    def __init__(self, size: int = 1024) -> None:
        self.step = np.zeros(size, np.int32)
        self.phase = np.zeros(size, np.int32)
        self.row = np.arange(size, dtype=np.int32)
        self.first = np.full(size, NEVER)
        self.last = np.full(size, -NEVER)
        self.alive = np.zeros(size, np.uint8)
        self.watched = np.zeros(size, np.uint8)
        self.moved = np.zeros(size, np.uint8)
        self.vague = np.zeros(size, np.uint8)

    @property
    def size(self) -> int:
        """Numbers that there is room for."""
        return len(self.step)

    def reserve(self, size: int) -> None:
        """Make room for numbers below `size`."""
        if size <= self.size:
            return
        more = SeriesTable(max(size, 2 * self.size) - self.size)
        more.row += np.int32(self.size)
        for name, column in vars(self).items():
            setattr(self, name, np.concatenate([column, getattr(more, name)]))

    def reset(self, numbers: Ints) -> None:
        """These series have no samples."""
        self.step[numbers] = 0
        self.first[numbers], self.last[numbers] = NEVER, -NEVER
        self.watched[numbers] = self.moved[numbers] = self.vague[numbers] = 0

    def has_samples(self, numbers: Ints) -> NDArray[np.bool_]:
        """Which of the series have samples."""
        found: NDArray[np.bool_] = self.first[numbers] != NEVER
        return found

    def slots(self, numbers: NDArray[Any], timestamps: Ints | int) -> Ints:
        """The slots that the timestamps are nearest to on each series' grid."""
        step = self.step[numbers].astype(np.int64)
        if len(step) and (step == step[0]).all():
            step = step[0]  # NumPy divides many numbers by one faster than by many
        nearest: Ints = (timestamps - self.phase[numbers] + step // 2) // step
        return nearest

    def times(self, numbers: Ints, slots: Ints) -> Ints:
        """The timestamps of slots."""
        stamps: Ints = slots * self.step[numbers] + self.phase[numbers]
        return stamps
