"""Sealing: what windows in memory hold goes to blocks on disk, and what blocks no longer should hold is taken out of them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import rows as row_form
from metricstore.disk.blocks import Blocks, Stretch
from metricstore.disk.formats import CHUNK_SERIES, Block
from metricstore.memory.series import SeriesTable
from metricstore.memory.window import NAN_BITS, SLOTS, Window

ROWS_AT_ONCE = 8192  # series that are looked at together; a multiple of CHUNK_SERIES

Ints = NDArray[np.int64]


class Picture(NamedTuple):
    """A window as it is when sealing begins: what is written to it afterwards may or may not be sealed.

    `shrunk`: what was taken out of it is in another window, and in a block perhaps only here.
    """

    block: Block
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
        block, shrunk = Block(window.frequency, window.index), window.shrunk
        window.dirty = window.shrunk = False
        found.append(Picture(block, window, window.array, window.complete, shrunk, step, phase))
    return found


def seal(one: Picture, blocks: Blocks) -> None:
    """Write the block of a window; OSError leaves the earlier one.

    What an earlier block of it holds besides stays, when the window has not all of it, or something was taken out of it: where
    that went may not be on disk yet. The next sealing leaves it out.
    """
    whole = one.complete and not one.shrunk
    chunks = _chunks(one, {} if whole else blocks.raw(one.block))
    if whole and one.window.shrunk:  # by now
        chunks = _chunks(one, blocks.raw(one.block))
    blocks.write(one.block, chunks)


def _chunks(one: Picture, before: dict[int, bytes]) -> dict[int, bytes]:
    """The window's chunks by key, put over those of an earlier block."""
    chunks = dict(before)
    for low in range(0, len(one.array), ROWS_AT_ONCE):
        part = one.array[low : low + ROWS_AT_ONCE]
        numbers = low + np.flatnonzero(part.any(axis=1))
        numbers = numbers[one.step[numbers] == one.block.frequency]
        values = (one.array[numbers] ^ NAN_BITS).view(np.float64)
        rows = row_form.of_window(one.block.window, numbers, one.phase[numbers], values)
        shared = sorted(before.keys() & set((numbers // CHUNK_SERIES).tolist()))
        if shared:
            rows = row_form.merged([*(row_form.decode(one.block, key, before[key]) for key in shared), rows])
        chunks |= row_form.encode(one.block, rows)
    return chunks


def free(numbers: Ints, before: int, blocks: Blocks) -> int:
    """Take the series out of the windows of blocks that end before that time; out of how many, summed over the series. OSError.

    Repeating it does no harm.
    """
    count = 0
    for stretch in blocks.stretches():
        last = (before - stretch.frequency) // (SLOTS * stretch.frequency)  # the first window that stays
        if stretch.window < last:
            count += int((blocks.read(stretch, numbers).windows < last).sum())
            for block in blocks.blocks(stretch):
                _free(block, numbers, last, blocks)
    return count


def _free(block: Block, numbers: Ints, last: int, blocks: Blocks) -> None:
    """Take the series out of the block's windows before that one."""
    found = blocks.rows(block, numbers)
    keys = np.unique(found.numbers[found.windows < last] // block.chunk_series).tolist()
    if not keys:
        return
    chunks = blocks.raw(block)
    for key in keys:
        rows = row_form.decode(block, key, chunks.pop(key))
        chunks |= row_form.encode(block, rows.at(~np.isin(rows.numbers, numbers) | (rows.windows >= last)))
    blocks.write(block, chunks)


def ended(blocks: Blocks, before: int) -> list[Stretch]:
    """What ended before that time (seconds)."""
    return [stretch for stretch in blocks.stretches() if stretch.end <= before]


def load(window: Window, blocks: Blocks) -> None:
    """Put what the window's block holds into the window, which is new."""
    for rows in blocks.all(Stretch(window.frequency, window.index)):
        inside = rows.numbers < window.capacity
        window.array[rows.numbers[inside]] = rows.values[inside].view(np.uint64) ^ NAN_BITS
    window.complete = True
