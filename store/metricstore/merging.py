"""Merging: single blocks next to each other, which nobody writes to any more, become merged ones, so that a query of a long
time reads few files, and of each of them one piece.

A merged block is written whole before the single ones go. Both hold the same then, so that it does no harm when a crash leaves
both. What is written to a single block meanwhile stays in it, and is merged the next time.
"""

import time
from collections.abc import Collection, Iterator

import numpy as np

from metricstore.disk import rows as row_form
from metricstore.disk.blocks import Blocks, Stretch
from metricstore.disk.formats import CHUNK_SERIES, Block, merged_windows, part_series
from metricstore.memory.window import SLOTS

TURN = 1.0  # seconds after which no other part is begun: others want to seal or free


def due(blocks: Blocks, before: int, busy: Collection[tuple[int, int]], put_off: Collection[Stretch] = ()) -> Stretch | None:
    """The windows that are to be merged first: that ended before that time (seconds), and of which none is `busy`.

    A single block alone stays as it is, unless there is a merged one already. What is `put_off` is not merged now.
    """
    singles: dict[Stretch, int] = {}
    for block in blocks.singles():
        windows = merged_windows(block.frequency)
        if windows > 1:
            stretch = Stretch(block.frequency, block.window // windows * windows, windows)
            singles[stretch] = singles.get(stretch, 0) + 1
    taken = {(frequency, window // merged_windows(frequency)) for frequency, window in busy}
    found = [
        (count, stretch)
        for stretch, count in singles.items()
        if stretch not in put_off
        and stretch.end + SLOTS * stretch.frequency <= before
        and (stretch.frequency, stretch.window // stretch.windows) not in taken
        and (count > 1 or blocks.stretch(stretch.frequency, stretch.window) == stretch)
    ]
    return max(found)[1] if found else None


class Merging:
    """The merging of one stretch, turn by turn."""

    def __init__(self, blocks: Blocks, stretch: Stretch) -> None:
        self._blocks, self.stretch = blocks, stretch
        keys = (Block(stretch.frequency, stretch.window + at) for at in range(stretch.windows))
        there = blocks.singles()
        self._singles = {block: there[block] for block in keys if block in there}
        self._parts = self._turns()

    @property
    def size(self) -> int:
        """Bytes of the single blocks."""
        return sum(kept.size for kept in self._singles.values())

    def turn(self) -> bool:
        """Write merged blocks for a while; whether that was all of them. OSError leaves what there was."""
        end = time.monotonic() + TURN
        return all(time.monotonic() < end for _ in self._parts)

    def _turns(self) -> Iterator[None]:
        parts: dict[Block, list[int]] = {}
        for piece in sorted({key for single in self._singles for key in self._blocks.keys(single)}):
            part = piece * CHUNK_SERIES // part_series(self.stretch.windows)
            parts.setdefault(Block(*self.stretch, part), []).append(piece)
        for block, pieces in parts.items():
            chunks = self._blocks.raw(block)
            for piece in pieces:
                chunks |= self._merged(block, piece, chunks)
            self._blocks.write(block, chunks)
            yield
        for single in self._singles:
            self._blocks.spare(single)

    def _merged(self, block: Block, piece: int, before: dict[int, bytes]) -> dict[int, bytes]:
        """The chunks of a piece, the series of a single block's chunk, put over those that the merged block has."""
        numbers = np.arange(piece * CHUNK_SERIES, (piece + 1) * CHUNK_SERIES)
        keys = range(int(numbers[0]) // block.chunk_series, int(numbers[-1]) // block.chunk_series + 1)
        rows = [row_form.decode(block, key, before[key]) for key in keys if key in before]
        rows += [self._blocks.rows(single, numbers) for single in self._singles]
        return row_form.encode(block, row_form.merged(rows))

    def replaced(self) -> list[Block]:
        """The single blocks that can go: all that they hold is in merged ones."""
        there = self._blocks.singles()
        return [block for block, kept in self._singles.items() if there.get(block) == kept]
