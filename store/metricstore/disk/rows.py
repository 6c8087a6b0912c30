"""Rows of blocks: 64 values of one series in one window each. What chunks are decoded to and made of."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import codec
from metricstore.disk.codec import SLOTS
from metricstore.disk.formats import MERGED_MOST, Block, Damaged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Rows(NamedTuple):
    """Series, window, phase of the series in it, values (rows, 64) with NaN where missing. Ascending by series, then window."""

    numbers: Ints
    windows: Ints
    phases: NDArray[np.int32]
    values: Floats

    def at(self, which: NDArray[np.generic]) -> "Rows":
        """Those rows."""
        return Rows(self.numbers[which], self.windows[which], self.phases[which], self.values[which])


def of_window(window: int, numbers: Ints, phases: NDArray[np.int32], values: Floats) -> Rows:
    """Rows of one window."""
    return Rows(numbers, np.full(len(numbers), window), phases, values)


def encode(block: Block, rows: Rows) -> dict[int, bytes]:
    """Chunks of that block, by key."""
    keys, places = np.divmod(rows.numbers, block.chunk_series)
    members = (places * block.windows + rows.windows % block.windows).astype(np.uint8)
    cuts = np.flatnonzero(np.diff(keys, prepend=-1, append=-1))
    found = {}
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        here = slice(low, high)
        found[int(keys[low])] = codec.encode(codec.Rows(members[here], rows.phases[here], rows.values[here]))
    return found


def decode(block: Block, key: int, chunk: bytes, numbers: Ints | None = None) -> Rows:
    """The rows of a chunk; of these series alone, if they are named. Damaged."""
    wanted = None
    if numbers is not None and len(numbers) < block.chunk_series:
        wanted = (numbers[:, None] % block.chunk_series * block.windows + np.arange(block.windows)).ravel().tolist()
    try:
        rows = codec.decode(chunk, wanted)
    except codec.Malformed as error:
        raise Damaged(str(error)) from error
    places, windows = np.divmod(rows.member.astype(np.int64), block.windows)
    return Rows(key * block.chunk_series + places, block.window + windows, rows.phase, rows.values)


def joined(parts: Sequence[Rows]) -> Rows:
    """All parts, one after another."""
    if not parts:
        return NO_ROWS
    if len(parts) == 1:
        return parts[0]
    numbers, windows, phases, values = zip(*parts, strict=True)
    return Rows(np.concatenate(numbers), np.concatenate(windows), np.concatenate(phases), np.concatenate(values))


def merged(parts: Sequence[Rows]) -> Rows:
    """All of it, ascending; of two values for the same slot the later part's counts. All windows are of one merged block."""
    rows = joined(parts)
    if not len(rows.numbers):
        return rows
    base = int(rows.windows[0]) // MERGED_MOST * MERGED_MOST
    keys, at = np.unique(rows.numbers * MERGED_MOST + rows.windows - base, return_inverse=True)
    values, phases, start = np.full((len(keys), SLOTS), np.nan), np.zeros(len(keys), np.int32), 0
    for part in parts:
        here = at[start : start + len(part.numbers)]
        start += len(here)
        values[here] = np.where(np.isnan(part.values), values[here], part.values)
        phases[here] = part.phases
    return Rows(keys // MERGED_MOST, base + keys % MERGED_MOST, phases, values)


NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, SLOTS)))
