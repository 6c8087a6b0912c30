"""The kernels in Python and NumPy: what each must do, and what runs where the extension was not built."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricwire.samples import SeriesKey

SKIP = 2**32 - 1  # the number of a series whose samples are counted and dropped
NAN_BITS = 0x7FF8000000000000  # of the value that means missing; cells are kept XOR this, so that zeroed memory is empty
COLUMNS_BITS = 6  # a window has 64 columns
NO_ROW = -1
NAMED = 100  # refused lines of a body that are named


class Lines(NamedTuple):
    """The samples of a body's usual lines, in order, and where its other lines are."""

    numbers: NDArray[np.uint32]  # of the series
    timestamps: NDArray[np.int64]  # seconds
    values: NDArray[np.float64]
    lines: NDArray[np.uint32]  # of each sample, from 1
    skipped: int  # samples of series whose number is SKIP
    others: list[tuple[int, int, int]]  # runs of lines for the reference decoder: number of the first, start, end without LF
    total: int  # of all lines
    refused: list[tuple[int, int, int]]  # the first NAMED lines that a Closed refuses: number, start, end without LF
    refused_count: int  # of all such lines
    fresh: list[
        tuple[int, int, int]
    ]  # heads that the table lacks, of other lines that are usual but for it: number, start, end


class Fingerprints:
    """Of the series there are (SeriesKey): what tells that a head is of none of them. This one cannot, and keeps nothing."""

    def __len__(self) -> int:
        return 0

    def add(self, key: SeriesKey) -> None:
        """A series that was not there."""

    def remove(self, key: SeriesKey) -> None:
        """A series that was there."""


class Closed(NamedTuple):
    """No series can be started: a line that would start one is refused, if it is good otherwise."""

    fingerprints: object  # of all series: Fingerprints of the module that the table is of
    cluster: bytes  # of lines without that tag; empty: they are bad
    host: bytes  # the one that may be written; empty: any
    only: bytes  # cluster that may be written; empty: any
    tags: int  # that a line may have
    name: int  # bytes that a name may have


class HeadTable:
    """From the bytes of a line before its first space to the number of its series.

    This one knows nothing and leaves every line to the reference decoder, whose dictionary is as fast in Python.
    """

    def __init__(self, line_max: int) -> None:
        """`line_max` is the most bytes of a usual line, its LF not counted."""

    def __len__(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        """What the table takes."""
        return 0

    def add(self, head: bytes, number: int) -> None:
        """Remember, or change, the number of a head."""

    def clear(self) -> None:
        """Forget all heads."""

    def decode(
        self, body: bytes, now: int, oldest: int, latest: int, alive: NDArray[np.uint8], closed: Closed | None = None
    ) -> Lines:
        """All lines as one run of others, whatever the arguments mean to the compiled kernel."""
        none32, none64 = np.empty(0, np.uint32), np.empty(0, np.int64)
        count = body.count(b"\n") + (not body.endswith(b"\n")) if body else 0
        others = [(1, 0, len(body) - body.endswith(b"\n"))] if body.strip(b"\n") else []
        return Lines(none32, none64, np.empty(0, np.float64), none32, 0, others, count, [], 0, [])


def scatter(  # noqa: PLR0917 - columns, in the order of what they are of
    numbers: NDArray[np.uint32],
    timestamps: NDArray[np.int64],
    values: NDArray[np.float64],
    step: NDArray[np.int32],
    phase: NDArray[np.int32],
    row: NDArray[np.int32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    frequencies: NDArray[np.int32],
    windows: NDArray[np.int64],
    arrays: list[NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], list[bool]]:
    """Write samples into the arrays of their windows; the indexes of those that no array takes, in order, and which took any.

    numbers, timestamps, values: (n), a sample each; |timestamp| < 2^62. Later ones win over earlier ones of the same cell.
    step, phase, row, first, last: by series number; step is its seconds per slot, 0 for none; first and last are kept up to
    date with the timestamps written. IndexError for a number beyond them, before anything is written.
    frequencies, windows, arrays: (k), `arrays[j]` of shape (capacity, 64) being window `windows[j]` of all series of
    `frequencies[j]`: cells as bits of a float XOR NAN_BITS.
    """
    f = step[numbers].astype(np.int64)
    slots = (timestamps - phase[numbers] + f // 2) // np.maximum(f, 1)
    window, column, at = slots >> COLUMNS_BITS, slots & (2**COLUMNS_BITS - 1), row[numbers]
    left, touched = np.ones(len(numbers), bool), []
    cells = values.view(np.uint64) ^ np.uint64(NAN_BITS)
    for frequency, number, array in zip(frequencies.tolist(), windows.tolist(), arrays, strict=True):
        mine = left & (f == frequency) & (f > 0) & (window == number) & (at >= 0) & (at < len(array))
        array[at[mine], column[mine]] = cells[mine]  # of a cell given twice, NumPy keeps the last
        left &= ~mine
        touched.append(bool(mine.any()))
    taken = numbers[~left]
    np.minimum.at(first, taken, timestamps[~left])
    np.maximum.at(last, taken, timestamps[~left])
    return np.flatnonzero(left).astype(np.int64), touched


def sums(
    array: NDArray[np.uint64],
    rows: NDArray[np.int32],
    offsets: NDArray[np.int64],
    low: int,
    high: int,
    out: NDArray[np.float64],
) -> None:
    """Sums over groups of rows of a window: `out[k, c]` of the rows `rows[offsets[k]:offsets[k + 1]]` at column `low + c`.

    array: (capacity, 64), cells as `scatter` writes them. out: (groups, high - low), rows of contiguous values. Rows are added
    in order, so that every implementation gives the same bits; a missing value makes the sum missing, as NO_ROW does, and so
    does a group without rows. IndexError for a row beyond the array, ValueError for shapes that do not fit.
    """
    groups = len(offsets) - 1
    width = high - low
    if groups < 0 or not 0 <= low <= high <= array.shape[1] or out.shape != (groups, width):
        raise ValueError(f"cannot sum columns {low} to {high} of {array.shape} into {out.shape} by {len(offsets)} offsets")
    sizes = np.diff(offsets)
    if offsets[0] < 0 or offsets[-1] > len(rows) or (sizes < 0).any():
        raise ValueError("cannot sum: the offsets do not cut the rows into groups")
    if len(rows) and not NO_ROW <= int(rows.min()) <= int(rows.max()) < len(array):
        raise IndexError(f"cannot sum: a row is not one of {len(array)}")
    out[sizes == 0] = np.nan
    for rank in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > rank)
        at = rows[offsets[longer] + rank]
        values = (array[at, low:high] ^ np.uint64(NAN_BITS)).view(np.float64)
        values[at == NO_ROW] = np.nan
        out[longer] = values if rank == 0 else out[longer] + values


def spans(
    numbers: NDArray[np.int64],
    begins: NDArray[np.int64],
    step: NDArray[np.int32],
    phase: NDArray[np.int32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    start: int,
    end: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of groups of series: when reading each from `start` to before `end` begins (seconds), in which slot, how many it has, and
    whether it begins in another slot in some of its series: these have other phases, and their slots are counted from there.

    numbers: (n), series that have samples; begins: where in it each group begins, ascending from 0; none is empty.
    step, phase, first, last: by series number, as `scatter` keeps them; |times| < 2^62. A group begins no earlier than with the
    first of its series and ends with the last of those that do not begin later. The slot is the least of its series'.
    IndexError for a series beyond them, ValueError for groups that do not fit.
    """
    _check_groups(numbers, begins)
    f, offset = step[numbers].astype(np.int64), phase[numbers]

    def slots(times: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (times - offset + f // 2) // f
        return found

    begun = slots(first[numbers])
    starts = np.minimum.reduceat(np.maximum(start, begun * f + offset), begins)
    time = np.repeat(starts, np.diff(begins, append=len(numbers)))
    low = slots(time)
    wanted = np.maximum(-((time - end) // f), 0)
    held = np.where(begun < low + wanted, np.clip(slots(last[numbers]) + 1 - low, 0, wanted), 0)
    least = np.minimum.reduceat(low, begins)
    return starts, least, np.maximum.reduceat(held, begins), np.maximum.reduceat(low, begins) > least


def _check_groups(numbers: NDArray[np.int64], begins: NDArray[np.int64]) -> None:
    if len(begins) == 0 or begins[0] != 0 or (np.diff(begins, append=len(numbers)) <= 0).any():
        raise ValueError("cannot look at series: the groups do not fit")
