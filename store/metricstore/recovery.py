"""The start: what blocks, names and checkpoint say, then the log played into memory, then a new segment."""

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore import sealing
from metricstore.disk import formats
from metricstore.disk.commits import NO_SAMPLES, Batch
from metricstore.disk.formats import CHUNK_SERIES, Columns, Damaged, Freed, Kind, State
from metricstore.disk.log import Record
from metricstore.disk.rows import Rows
from metricstore.holdings import Holdings
from metricstore.memory.registry import NO_NUMBERS
from metricstore.memory.window import SLOTS, begin
from metricwire.catalog import FREQUENCY

SHARE_PLAYED = 16  # of limits.memory, that a start which is above it takes before it seals again


class Recovered(NamedTuple):
    """What was found at start: samples in the log, series, damages."""

    samples: int
    series: int
    damaged: int
    seconds: float


class Recovery:
    """One start of a store on what an earlier one left."""

    def __init__(self, holdings: Holdings) -> None:
        self._it = holdings
        self._once_named: set[int] = set()  # numbers of series that went, and came again under another one
        self._mentioned = np.zeros(0, bool)  # by number: names, checkpoint or log speak of it
        self._enough = holdings.limits.memory  # bytes; when this process takes more, what was played so far is sealed

    def run(self) -> Recovered:
        """Read what blocks and names there are, play the log, begin a new segment; on a full disk with the first write."""
        begun, it = time.monotonic(), self._it
        it.blocks.scan()
        state = it.checkpoint.read()
        self._read_names(state.given if state else 0)
        if state is None and it.blocks.stretches():
            if not it.log.whole:  # else the first sealing was cut short
                it.on_damage("cannot read the checkpoint: what blocks hold is found from the blocks")
            state = self._state_of_blocks()
        if state is not None:
            self._take(state)
        first = state.segment if state else 0
        try:
            it.log.settle(first)
        except OSError as error:
            it.commits.report_full(error)
        for record in it.log.replay(first):
            try:
                self._play(record)
            except Damaged as damage:
                it.on_damage(f"cannot read a record of segment {record.segment}: {damage}")
        it.head.settle()
        if it.drop_before(it.expired):
            it.forget_before(it.expired)
        it.forget_empty()
        try:
            it.checkpoint.settle()
            it.log.trim(first)
            it.commits.begin_segment()
            it.registry.give_again(self._unmentioned())
        except OSError as error:
            it.commits.report_full(error)
        return Recovered(it.samples, it.registry.count, it.damaged, time.monotonic() - begun)

    # What is there

    def _read_names(self, given: int) -> None:
        """What the numbers mean; those below `given` were given once."""
        registry, series = self._it.registry, self._it.head.series
        for named in self._it.catalogue.read():
            for number, key in named:
                registry.restore(key, number)
                self._once_named.add(number)
        numbers = registry.numbers()
        registry.given = max(registry.given, given)
        self._mentioned = np.zeros(registry.given, bool)
        self._mentioned[list(self._once_named)] = True
        self._once_named.difference_update(numbers.tolist())
        series.reserve(registry.given)
        series.alive[numbers] = 1
        self._it.commits.known(numbers)

    def _take(self, state: State) -> None:
        """Series are as the state says, on the grids that the settings ask for now; windows still written to are loaded."""
        it, head, metrics = self._it, self._it.head, self._it.metrics
        series = head.series
        self._mention(state.numbers)
        kept = np.array([number in it.registry for number in state.numbers.tolist()], bool)
        numbers = state.numbers[kept]
        for name in ("step", "phase", "first", "last", "moved"):
            getattr(series, name)[numbers] = getattr(state, name)[kept]
        it.newest = int(state.last.max(initial=0))
        for number, step in zip(numbers.tolist(), series.step[numbers].tolist(), strict=True):
            metric = it.metric_of(number)
            if not metrics.declared(metric):
                if step != FREQUENCY:
                    metrics.observed.setdefault(metric, step)
                head.watch(number, metric)
            elif step != (frequency := metrics.frequency(metric)):
                series.step[number], series.phase[number] = frequency, int(series.first[number]) % frequency
                series.moved[number] = 1
        if series.moved[numbers].any():
            return  # blocks have rows that belong to no grid in memory: they are read from there
        for stretch in it.blocks.stretches():
            frequency, index, windows = stretch
            if windows == 1 and begin(frequency, index + 1) > it.newest - SLOTS * frequency:
                sealing.load(head.open(frequency, index), it.blocks)

    def _state_of_blocks(self) -> State:
        """What the blocks themselves say of their series."""
        series, blocks = self._it.head.series, self._it.blocks
        series.first[:], series.last[:] = np.iinfo(np.int64).max, -np.iinfo(np.int64).max
        for stretch in blocks.stretches():
            for rows in blocks.all(stretch):
                for window in np.unique(rows.windows).tolist():
                    self._state_of_rows(stretch.frequency, rows.at((rows.windows == window) & (rows.numbers < series.size)))
        return self._it.state(0)

    def _state_of_rows(self, frequency: int, rows: Rows) -> None:
        """What rows of one window say."""
        series, numbers, present = self._it.head.series, rows.numbers, ~np.isnan(rows.values)
        start = rows.windows * SLOTS * frequency + rows.phases
        first = start + present.argmax(axis=1) * frequency
        last = start + (SLOTS - 1 - present[:, ::-1].argmax(axis=1)) * frequency
        series.moved[numbers] |= (series.step[numbers] != 0) & (
            (series.step[numbers] != frequency) | (series.phase[numbers] != rows.phases)
        )
        newer = last > series.last[numbers]
        series.step[numbers[newer]], series.phase[numbers[newer]] = frequency, rows.phases[newer]
        series.first[numbers] = np.minimum(series.first[numbers], first)
        series.last[numbers] = np.maximum(series.last[numbers], last)

    def _mention(self, numbers: NDArray[np.integer]) -> None:
        self._mentioned[numbers[numbers < len(self._mentioned)]] = True

    def _unmentioned(self) -> NDArray[np.int64]:
        """Numbers that nothing on disk speaks of: memory and tables do not grow with all series that there ever were.

        While something could not be read it may speak of any.
        """
        if self._it.damaged:
            return NO_NUMBERS
        chunks = np.flatnonzero(self._it.blocks.mentioned)
        self._mention((chunks[:, None] * CHUNK_SERIES + np.arange(CHUNK_SERIES)).ravel())
        return np.flatnonzero(~self._mentioned)

    # What the log says

    def _play(self, record: Record) -> None:
        it = self._it
        if record.kind is Kind.SAMPLES:
            self._play_samples(formats.unpack_samples(record.payload))
        elif record.kind is Kind.LABELS:
            it.apply(Batch(NO_SAMPLES, formats.unpack_labels(record.payload), []))
        elif record.kind is Kind.FREQUENCIES:
            it.metrics.restore(formats.unpack_frequencies(record.payload))
        elif record.kind is Kind.FREED:
            self._play_freed(formats.unpack_freed(record.payload))
        elif record.kind is Kind.TIME:
            it.clock.resume(formats.unpack_time(record.payload))

    def _play_freed(self, freed: Freed) -> None:
        it = self._it
        self._mention(freed.numbers)
        numbers = freed.numbers[freed.numbers < it.head.series.size]
        it.head.cut(numbers, freed.before)
        try:
            sealing.free(numbers, freed.before, it.blocks)
        except OSError as error:  # a full disk does not prevent the start
            it.commits.report_full(error)

    def _play_samples(self, columns: Columns) -> None:
        """Samples past the retention are left out, unless they have still to go to the archive."""
        it, alive = self._it, self._it.head.series.alive
        self._mention(columns.numbers)
        known = columns.numbers < len(alive)
        known[known] = alive[columns.numbers[known]] > 0
        unnamed = sum(number not in self._once_named for number in columns.numbers[~known].tolist())
        if unnamed:
            it.on_damage(f"cannot tell the series of {unnamed} samples in the log: nothing names them")
        it.newest = max(it.newest, int(columns.timestamps.max(initial=0)))
        kept = known & (it.archived | (columns.timestamps >= it.expired))
        it.apply(Batch(columns.at(kept), [], []))
        if it.resident > self._enough:
            self._seal()

    def _seal(self) -> None:
        """Memory must not grow with the log: what is sealed early is played once more if this start is cut short."""
        it = self._it
        pictures = it.pictures()
        try:
            for one in pictures:
                sealing.seal(one, it.blocks)
        except OSError as error:
            for one in pictures:
                one.withdraw()
            it.commits.report_full(error)
        it.evict(int(it.clock.now()))
        self._enough = max(it.limits.memory, it.resident + it.limits.memory // SHARE_PLAYED)
