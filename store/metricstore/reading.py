"""Reading samples: windows in memory, blocks on disk, and the archive behind them, put together by slot."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk.blocks import Blocks, Stretch
from metricstore.memory.head import Head
from metricstore.memory.registry import NO_NUMBERS
from metricstore.memory.window import NAN_BITS, SHIFT, SLOTS, Bits, begin
from metricstore.numeric import kernels
from metricwire.errors import TooLarge

SERIES_POINTS = 64  # what looking at one series costs, in values
FIRSTS_FOUND = 256  # series of a request whose first sample is looked for; with more, data may begin with nulls after an expiry
TURN_POINTS = 2_000_000  # values that are read between two turns of others

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Places = NDArray[np.int32]


class Span(NamedTuple):
    """Which slots of each group are read: `slots` of them from `slot`, which is at `start` (seconds).

    `mixed`: its series have other phases, and in some of them the slot at `start` is the one behind `slot`.
    """

    frequency: Ints
    start: Ints
    slot: Ints
    slots: Ints
    mixed: NDArray[np.bool_]


class Groups(NamedTuple):
    """Series in groups: the k-th is numbers[begins[k] : begins[k] + sizes[k]]. None is empty."""

    numbers: Ints
    begins: Ints
    sizes: Ints

    @staticmethod
    def of(parts: Sequence[Ints]) -> "Groups":
        """One of each part."""
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        return Groups(np.concatenate([NO_NUMBERS, *parts]), np.cumsum(sizes) - sizes, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def group(self, place: int) -> Ints:
        """The series of one."""
        return self.numbers[self.begins[place] : self.begins[place] + self.sizes[place]]

    def some(self, places: Ints) -> Ints:
        """The series of some groups, in ascending order of these, one after another."""
        if len(places) and places[-1] - places[0] + 1 == len(places):
            return self.numbers[self.begins[places[0]] : self.begins[places[-1]] + self.sizes[places[-1]]]
        return np.concatenate([NO_NUMBERS, *(self.group(place) for place in places.tolist())])


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

    def span(self, groups: Groups, start: int, end: int) -> Span:
        """What reading groups from `start` up to, not including, `end` (seconds) means, for series that have samples.

        A group begins no earlier than its first sample, ends no later than after its last one, and may be empty.
        """
        numbers, series = groups.numbers, self._head.series
        vague = numbers[(series.vague[numbers] > 0) & (series.first[numbers] > start)]
        for number in vague[:FIRSTS_FOUND].tolist():
            self._find_first(number)
        columns = (series.step, series.phase, series.first, series.last)
        starts, slot, slots, mixed = kernels.spans(numbers, groups.begins, *columns, start, end)
        return Span(series.step[numbers[groups.begins]].astype(np.int64), starts, slot, slots, mixed)

    def _find_first(self, number: int) -> None:
        """Let the table know when the first sample of a series is."""
        series, one = self._head.series, np.array([number])
        frequency, phase = int(series.step[number]), int(series.phase[number])
        slot, last = (int(series.slots(one, edge[one])[0]) for edge in (series.first, series.last))
        for stretch, array, (row, *_) in self._arrays(frequency, slot >> SHIFT, last >> SHIFT, one):
            from_here = max(0, slot - stretch.window * SLOTS)  # what was before is past the retention
            if row >= 0 and array[row, from_here:].any():
                first = stretch.window * SLOTS + from_here + int(np.flatnonzero(array[row, from_here:])[0])
                series.first[number] = first * frequency + phase
                break
        series.vague[number] = 0

    def totals(self, groups: Groups, start: int, end: int, points_max: int) -> Iterator[Totals]:
        """The sums of each group, some at a time. TooLarge when they would cost more than `points_max`."""
        if not len(groups):
            return
        span = self.span(groups, start, end)
        points = (span.slots + SERIES_POINTS) * groups.sizes
        if points.sum() > points_max:
            raise TooLarge(
                f"cannot read {(span.slots * groups.sizes).sum()} values of {len(groups.numbers)} series: more than "
                f"{points_max} are left of what one request may read (limits.points; a series counts as {SERIES_POINTS} "
                "besides)"
            )
        # Blocks may hold these on other grids.
        moved = np.maximum.reduceat(self._head.series.moved[groups.numbers], groups.begins).astype(bool)
        for place in np.flatnonzero(moved | span.mixed).tolist():
            one = Span(*(column[place] for column in span))
            yield (self._from_samples if moved[place] else self._by_phase)(place, groups.group(place), one)
        keys = np.stack([span.frequency, span.slot, span.slots])
        turn = np.where(moved | span.mixed, -1, np.cumsum(points) // TURN_POINTS)
        for number in range(int(turn.max()) + 1):
            places = np.flatnonzero(turn == number)
            alike = bool(len(places)) and bool((keys[:, places] == keys[:, places[:1]]).all())
            for key in keys[:, places[:1]].T if alike else np.unique(keys[:, places], axis=1).T:
                here = places if alike else places[(keys[:, places] == key[:, None]).all(axis=0)]
                frequency, slot, slots = key.tolist()
                values = self._sums(frequency, slot, slots, groups.some(here), groups.sizes[here])
                yield Totals(here, frequency, span.start[here], values)

    def _sums(self, frequency: int, slot: int, slots: int, numbers: Ints, sizes: Ints) -> Floats:
        """(groups, slots) from that slot on; `sizes`: how many of the numbers are each group."""
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        out = np.full((len(sizes), slots), np.nan)
        for stretch, array, rows in self._arrays(frequency, slot >> SHIFT, slot + slots - 1 >> SHIFT, numbers):
            begins, ends = stretch.window * SLOTS, (stretch.window + stretch.windows) * SLOTS
            low, high = max(slot, begins), min(slot + slots, ends)
            kernels.sums(array, rows, offsets, low - begins, high - begins, out[:, low - slot : high - slot])
        return out

    def _arrays(self, frequency: int, index: int, last: int, numbers: Ints) -> Iterator[tuple[Stretch, Bits, Places]]:
        """Where there is something from that window to the last one, stretch by stretch: an array (rows, slots of the stretch)
        that holds the series' values, and the row of each in it. Of the same slot the later one counts."""
        windows = {
            at: window
            for (one, at), window in self._head.windows.items()
            if one == frequency and index <= at <= last and (window.complete or (one, at) not in self._blocks)
        }
        sealed = [one for one in self._blocks.between(frequency, index, last) if one.windows > 1 or one.window not in windows]
        for stretch in sorted([*sealed, *(Stretch(frequency, at) for at in windows)]):
            window = windows.get(stretch.window) if stretch.windows == 1 else None
            if window is None:
                array, rows = self._sealed(stretch, numbers)
                if array is not None:
                    yield stretch, array, rows
            else:
                yield stretch, window.array, np.where(numbers < window.capacity, numbers, kernels.NO_ROW).astype(np.int32)

    def _sealed(self, stretch: Stretch, numbers: Ints) -> tuple[Bits | None, Places]:
        """What blocks have of the stretch, and late samples over it; see `_arrays`."""
        rows = self._blocks.read(stretch, numbers)
        keys = ((stretch.frequency, stretch.window + at) for at in range(stretch.windows))
        late = [self._head.windows[key] for key in keys if key in self._head.windows]
        kept = np.unique(numbers if late else rows.numbers)
        if not len(kept):
            return None, _NO_ROWS
        if len(rows.numbers) == len(kept) * stretch.windows and not late:
            values = rows.values
        else:
            values = np.full((len(kept), stretch.windows, SLOTS), np.nan)
            values[np.searchsorted(kept, rows.numbers), rows.windows - stretch.window] = rows.values
            for window in late:
                over = window.values(kept[kept < window.capacity], slice(None))
                under = values[: len(over), window.index - stretch.window]
                under[:] = np.where(np.isnan(over), under, over)
        at = np.minimum(np.searchsorted(kept, numbers), len(kept) - 1)
        places = np.where(kept[at] == numbers, at, kernels.NO_ROW).astype(np.int32)
        return values.reshape(len(kept), -1).view(np.uint64) ^ NAN_BITS, places

    # Series of several phases, and those that changed their grid

    def _by_phase(self, place: int, numbers: Ints, span: Span) -> Totals:
        """The sums of one group, in some of whose series the slot at its begin is the next one."""
        frequency, slots = int(span.frequency), int(span.slots)
        total = np.full((1, slots), -0.0)  # which keeps the sign of what is added
        begins = self._head.series.slots(numbers, int(span.start))
        for slot in np.unique(begins).tolist():
            here = numbers[begins == slot]
            total += self._sums(frequency, slot, slots, here, np.array([len(here)]))
        return Totals(np.array([place]), frequency, np.array([int(span.start)]), total)

    def _from_samples(self, place: int, numbers: Ints, span: Span) -> Totals:
        """The sums of one group, whose samples are found one by one."""
        frequency, slots, start = int(span.frequency), int(span.slots), int(span.start)
        total = np.full(slots, -0.0)
        begins = self._head.series.slots(numbers, start)
        for number, slot in zip(numbers.tolist(), begins.tolist(), strict=True):
            values = np.full(slots, np.nan)
            for stamps, found in self.samples(number, start - 2 * frequency, start + (slots + 2) * frequency):
                at = self._head.series.slots(np.full(len(stamps), number), stamps) - slot
                inside = (at >= 0) & (at < slots)
                values[at[inside]] = found[inside]
            total += values
        return Totals(np.array([place]), frequency, np.array([int(span.start)]), total[None, :])

    def samples(self, number: int, start: int, end: int) -> Iterator[tuple[Ints, Floats]]:
        """Timestamps and values of one series about that time (seconds), from wherever they are; later ones count."""
        one = np.array([number])
        for stretch in reversed(self._blocks.stretches()):  # coarse grids first: the series moved to a finer one
            if begin(stretch.frequency, stretch.window) < end and stretch.end > start + stretch.frequency:
                rows = self._blocks.read(stretch, one)
                at, columns = np.nonzero(~np.isnan(rows.values))
                if len(at):
                    slots = rows.windows[at] * SLOTS + columns
                    yield slots * stretch.frequency + rows.phases[at], rows.values[at, columns]
        yield from self._head.samples(number)

    def piece(self, number: int, start: int, end: int) -> tuple[Ints, Floats]:
        """Timestamps and values of one series from `start` to before `end` (seconds), ascending."""
        parts = [(NO_NUMBERS, np.zeros(0)), *self.samples(number, start, end)]
        stamps, values = (np.concatenate(column)[::-1] for column in zip(*parts, strict=True))
        times, at = np.unique(stamps, return_index=True)  # the first of each: later ones count
        inside = (times >= start) & (times < end)
        return times[inside], values[at[inside]]


_NO_ROWS = np.full(1, kernels.NO_ROW, np.int32)
