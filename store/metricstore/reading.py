"""Reading samples: windows in memory, blocks on disk, and the archive behind them, put together by slot."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk.blocks import Blocks
from metricstore.memory.head import Head
from metricstore.memory.window import NAN_BITS, SHIFT, SLOTS, begin
from metricstore.numeric import kernels
from metricwire.errors import TooLarge

SERIES_POINTS = 64  # what looking at one series costs, in values
FIRSTS_FOUND = 256  # series of a request whose first sample is looked for; with more, data may begin with nulls after an expiry
TURN_POINTS = 2_000_000  # values that are read between two turns of others

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Span(NamedTuple):
    """Which slots of each group are read: `slots` of them from `slot`, which is at `start` (seconds)."""

    frequency: Ints
    start: Ints
    slot: Ints
    slots: Ints
    series: Ints


class Totals(NamedTuple):
    """Sums of groups of series, of one length: values[k, i] is that of the group at places[k], at starts[k] + i * frequency.

    NaN where one of its series has none.
    """

    places: Ints  # among the groups asked for
    frequency: int
    starts: Ints  # seconds
    values: Floats


class Reader:
    """Reads what `head` and `blocks` hold."""

    def __init__(self, head: Head, blocks: Blocks) -> None:
        self._head, self._blocks = head, blocks

    def span(self, numbers: Ints, at: Ints, start: int, end: int) -> Span:
        """What reading groups from `start` up to, not including, `end` (seconds) means, for series that have samples.

        `at`: where in `numbers` each group begins. A group begins no earlier than its first sample, ends no later than after
        its last one, and may be empty.
        """
        series, sizes = self._head.series, np.diff(at, append=len(numbers))
        vague = numbers[(series.vague[numbers] > 0) & (series.first[numbers] > start)]
        for number in vague[:FIRSTS_FOUND].tolist():
            self._find_first(number)
        first = series.times(numbers, series.slots(numbers, series.first[numbers]))
        begins = np.maximum(start, first)
        slots = series.slots(numbers, begins)
        step = series.step[numbers].astype(np.int64)
        last = series.slots(numbers, series.last[numbers])
        ends = slots + np.clip(-((begins - end) // step), 0, np.maximum(last + 1 - slots, 0))
        slot = np.minimum.reduceat(slots, at)
        earliest = np.where(slots == np.repeat(slot, sizes), begins, np.iinfo(np.int64).max)
        return Span(step[at], np.minimum.reduceat(earliest, at), slot, np.maximum.reduceat(ends, at) - slot, sizes)

    def _find_first(self, number: int) -> None:
        """Let the table know when the first sample of a series is."""
        series, one = self._head.series, np.array([number])
        frequency, phase = int(series.step[number]), int(series.phase[number])
        slot, last = (int(series.slots(one, edge[one])[0]) for edge in (series.first, series.last))
        for index in range(slot >> SHIFT, (last >> SHIFT) + 1):
            array, (row, *_) = self._rows(frequency, index, one)
            if array is not None and row >= 0 and array[row].any():
                series.first[number] = (index * SLOTS + int(np.flatnonzero(array[row])[0])) * frequency + phase
                break
        series.vague[number] = 0

    def totals(self, groups: Sequence[Ints], start: int, end: int, points_max: int) -> Iterator[Totals]:
        """The sums of each group, some at a time. TooLarge when they would cost more than `points_max`."""
        if not groups:
            return
        numbers = np.concatenate(groups)
        at = np.zeros(len(groups), np.int64)
        np.cumsum([len(one) for one in groups[:-1]], out=at[1:])
        span = self.span(numbers, at, start, end)
        points = (span.slots + SERIES_POINTS) * span.series
        if points.sum() > points_max:
            raise TooLarge(
                f"cannot read {(span.slots * span.series).sum()} values of {span.series.sum()} series: more than {points_max} "
                f"are left of what one request may read (limits.points; a series counts as {SERIES_POINTS} besides)"
            )
        moved = np.maximum.reduceat(self._head.series.moved[numbers], at).astype(bool)  # blocks may hold these on other grids
        for place in np.flatnonzero(moved).tolist():
            yield self._from_samples(place, groups[place], Span(*(column[place] for column in span)))
        turn = np.cumsum(points) // TURN_POINTS
        keys = np.stack([turn, span.frequency, span.slot, span.slots])[:, ~moved]
        places = np.flatnonzero(~moved)
        alike = bool(len(places)) and (keys == keys[:, :1]).all()
        for key in keys[:, :1].T if alike else np.unique(keys, axis=1).T:
            here = places if alike else places[(keys == key[:, None]).all(axis=0)]
            _, frequency, slot, slots = key.tolist()
            chosen = numbers if len(here) == len(groups) else np.concatenate([groups[place] for place in here.tolist()])
            values = self._sums(frequency, slot, slots, chosen, span.series[here])
            yield Totals(here, frequency, span.start[here], values)

    def _sums(self, frequency: int, slot: int, slots: int, numbers: Ints, sizes: Ints) -> Floats:
        """(groups, slots) from that slot on; `sizes`: how many of the numbers are each group."""
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        out = np.empty((len(sizes), slots))
        for index in range(slot >> SHIFT, (slot + slots - 1 >> SHIFT) + 1):
            array, rows = self._rows(frequency, index, numbers)
            low, high = max(slot, index * SLOTS), min(slot + slots, (index + 1) * SLOTS)
            part = out[:, low - slot : high - slot]
            if array is None:
                part[:] = np.nan
            else:
                kernels.sums(array, rows, offsets, low - index * SLOTS, high - index * SLOTS, part)
        return out

    def _rows(self, frequency: int, index: int, numbers: Ints) -> tuple[NDArray[np.uint64] | None, NDArray[np.int32]]:
        """An array that holds the series' values in that window, and the row of each in it; no array: nothing there."""
        window = self._head.windows.get((frequency, index))
        sealed = (frequency, index) in self._blocks
        if window is not None and (window.complete or not sealed):
            return window.array, np.where(numbers < window.capacity, numbers, kernels.NO_ROW).astype(np.int32)
        if not sealed:
            return None, _NO_ROWS
        kept = self._blocks.read((frequency, index), numbers)
        values = kept.values
        if window is not None:
            kept_numbers = np.union1d(kept.numbers, numbers)
            values = np.full((len(kept_numbers), SLOTS), np.nan)
            values[np.searchsorted(kept_numbers, kept.numbers)] = kept.values
            over = window.values(kept_numbers[kept_numbers < window.capacity], slice(None))
            values[: len(over)] = np.where(np.isnan(over), values[: len(over)], over)
            kept = kept._replace(numbers=kept_numbers)
        if not len(kept.numbers):
            return None, _NO_ROWS
        rows = np.minimum(np.searchsorted(kept.numbers, numbers), len(kept.numbers) - 1)
        return values.view(np.uint64) ^ NAN_BITS, np.where(kept.numbers[rows] == numbers, rows, kernels.NO_ROW).astype(np.int32)

    # Series that changed their grid

    def _from_samples(self, place: int, numbers: Ints, span: Span) -> Totals:
        """The sums of one group, whose samples are found one by one."""
        frequency, slots, slot = int(span.frequency), int(span.slots), int(span.slot)
        total = np.full(slots, -0.0)  # which keeps the sign of what is added
        for number in numbers.tolist():
            values = np.full(slots, np.nan)
            for stamps, found in self.samples(number, (slot - 2) * frequency, (slot + slots + 2) * frequency):
                at = self._head.series.slots(np.full(len(stamps), number), stamps) - slot
                inside = (at >= 0) & (at < slots)
                values[at[inside]] = found[inside]
            total += values
        return Totals(np.array([place]), frequency, np.array([int(span.start)]), total[None, :])

    def samples(self, number: int, start: int, end: int) -> Iterator[tuple[Ints, Floats]]:
        """Timestamps and values of one series about that time (seconds), from wherever they are; later ones count."""
        one = np.array([number])
        for frequency, index in reversed(self._blocks.windows()):  # coarse grids first: the series moved to a finer one
            if begin(frequency, index) < end and begin(frequency, index + 1) > start:
                rows = self._blocks.read((frequency, index), one)
                if len(rows.numbers):
                    columns = np.flatnonzero(~np.isnan(rows.values[0]))
                    yield (index * SLOTS + columns) * frequency + int(rows.phases[0]), rows.values[0][columns]
        yield from self._head.samples(number)


_NO_ROWS = np.full(1, kernels.NO_ROW, np.int32)
