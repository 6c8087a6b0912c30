"""Sealing: what windows in memory hold goes to blocks on disk, and what blocks no longer should hold is taken out of them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import blocks as block_form
from metricstore.disk.blocks import Blocks, Rows
from metricstore.disk.formats import CHUNK_SERIES
from metricstore.memory.series import SeriesTable
from metricstore.memory.window import NAN_BITS, Window, begin

ROWS_AT_ONCE = 8192  # series that are looked at together; a multiple of CHUNK_SERIES

Ints = NDArray[np.int64]


class Picture(NamedTuple):
    """A window as it is when sealing begins: what is written to it afterwards may or may not be sealed.

    `shrunk`: what was taken out of it is in another window, and in a block perhaps only here.
    """

    key: tuple[int, int]  # frequency, window
    window: Window
    array: NDArray[np.uint64]
    complete: bool
    shrunk: bool
    step: NDArray[np.int32]  # by series number
    phase: NDArray[np.int32]

    def withdraw(self) -> None:
        """It was not sealed."""
        self.window.dirty, self.window.shrunk = True, self.window.shrunk or self.shrunk


def pictures(windows: Iterable[Window], series: SeriesTable) -> list[Picture]:
    """Take pictures of the windows; they count as sealed from then on."""
    step, phase, found = series.step.copy(), series.phase.copy(), []
    for window in windows:
        key, shrunk = (window.frequency, window.index), window.shrunk
        window.dirty = window.shrunk = False
        found.append(Picture(key, window, window.array, window.complete, shrunk, step, phase))
    return found


def seal(one: Picture, blocks: Blocks) -> None:
    """Write the block of a window; OSError leaves the earlier one.

    What an earlier block of it holds besides stays, when the window has not all of it, or something was taken out of it: where
    that went may not be on disk yet. The next sealing leaves it out.
    """
    whole = one.complete and not one.shrunk
    chunks = _chunks(one, {} if whole else blocks.raw(one.key))
    if whole and one.window.shrunk:  # by now
        chunks = _chunks(one, blocks.raw(one.key))
    blocks.write(one.key, chunks)


def _chunks(one: Picture, before: dict[int, bytes]) -> dict[int, bytes]:
    """The window's chunks by key, put over those of an earlier block."""
    chunks = dict(before)
    for low in range(0, len(one.array), ROWS_AT_ONCE):
        part = one.array[low : low + ROWS_AT_ONCE]
        numbers = low + np.flatnonzero(part.any(axis=1))
        numbers = numbers[one.step[numbers] == one.key[0]]
        rows = Rows(numbers, one.phase[numbers], (one.array[numbers] ^ NAN_BITS).view(np.float64))
        shared = sorted(before.keys() & set((numbers // CHUNK_SERIES).tolist()))
        if shared:
            old = [block_form.decode(key, before[key]) for key in shared]
            rows = merged(block_form.joined(old), rows)
        chunks |= block_form.encode(*rows)
    return chunks


def merged(old: Rows, new: Rows) -> Rows:
    """Both, ascending; where both have a value the new one counts."""
    numbers = np.union1d(old.numbers, new.numbers)
    values = np.full((len(numbers), old.values.shape[1]), np.nan)
    phases = np.zeros(len(numbers), np.int32)
    for rows in (old, new):
        at = np.searchsorted(numbers, rows.numbers)
        values[at] = np.where(np.isnan(rows.values), values[at], rows.values)
        phases[at] = rows.phases
    return Rows(numbers, phases, values)


def free(numbers: Ints, before: int, blocks: Blocks) -> int:
    """Take the series out of the blocks that end before that time; out of how many, summed over the series. OSError.

    Repeating it does no harm.
    """
    count = 0
    for frequency, index in ended(blocks, before):
        found = blocks.read((frequency, index), numbers).numbers
        if not len(found):
            continue
        chunks = blocks.raw((frequency, index))
        for key in set((found // CHUNK_SERIES).tolist()):
            rows = block_form.decode(key, chunks.pop(key))
            kept = ~np.isin(rows.numbers, found)
            chunks |= block_form.encode(rows.numbers[kept], rows.phases[kept], rows.values[kept])
        blocks.write((frequency, index), chunks)
        count += len(found)
    return count


def ended(blocks: Blocks, before: int) -> list[tuple[int, int]]:
    """The windows that ended before that time (seconds)."""
    return [(frequency, index) for frequency, index in blocks.windows() if begin(frequency, index + 1) + frequency <= before]


def load(window: Window, blocks: Blocks) -> None:
    """Put what the window's block holds into the window, which is new."""
    for rows in blocks.all((window.frequency, window.index)):
        inside = rows.numbers < window.capacity
        window.array[rows.numbers[inside]] = rows.values[inside].view(np.uint64) ^ NAN_BITS
    window.complete = True
