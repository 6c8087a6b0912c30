"""The embedded engine: memory made durable by the log. Memory meets disk here and nowhere else.

Writing: numbers for series, then the log, then the grids. Reading: the grids. At start: the log is played into the grids.
All methods but `recover` belong to the event loop's thread.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import formats
from metricstore.disk.commits import Carried, Commits
from metricstore.disk.directory import Directory
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns, Damaged, Kind
from metricstore.disk.log import Log, Record
from metricstore.memory.grid import NEVER, Grid
from metricstore.memory.metrics import MetricTable
from metricstore.memory.registry import Registry
from metricstore.settings import Metric
from metricwire.catalog import FREQUENCY
from metricwire.errors import TooLarge
from metricwire.samples import Labels, Place, Sample, SeriesKey

logger = logging.getLogger(__name__)

_NOTHING = Columns(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.float64))
FREQUENCY_MAX = 86400  # seconds; an observed distance between samples beyond it is taken for a pause


class Recovered(NamedTuple):
    """What the log held at start."""

    samples: int
    damaged: int
    seconds: float


class Rows(NamedTuple):
    """Samples of some series of one metric, aligned by slot: values[i, k] is that of series i at start + k * frequency."""

    frequency: int
    start: int
    values: NDArray[np.float64]

    @property
    def end(self) -> int:
        """Where the next slot would begin."""
        return self.start + int(self.values.shape[1]) * self.frequency


class Engine:
    """All samples of one data folder. SettingsError when the folder cannot be used."""

    def __init__(
        self,
        directory: Path,
        *,
        metrics: Mapping[str, Metric],
        retention: int,
        series_limit: int,
        waiting_limit: int,
        cluster: str = "",
        clock: Callable[[], float] = time.time,
        on_broken: Callable[[OSError], None] = lambda error: None,
        files: Files | None = None,
    ) -> None:
        self.retention = retention
        self.registry = Registry(series_limit)
        self.samples = 0  # stored since the start
        self._clock = clock
        self.metrics = MetricTable(metrics)
        self._waiting: dict[int, tuple[int, float]] = {}  # the one sample of series whose frequency is not known yet
        self._grids: dict[int, Grid] = {}
        self._rows: dict[int, list[int]] = {}  # series number by frequency and row
        self._grid_of = np.zeros(0, np.int64)  # frequency by series number; 0: on no grid yet
        self._row_of = np.zeros(0, np.int64)
        files = files or Files()
        self._playing, self._played = 0, dict[int, int]()  # segment being replayed, its series numbers to ours
        self._directory = Directory(directory, cluster, files)
        self.log = Log(self._directory.log, files)
        self.commits = Commits(self.log, self.key, self._apply, self._carried, on_broken, waiting_limit)

    # Writing

    def number(self, key: SeriesKey) -> int:
        """The number to write the series under. TooLarge at the series limit."""
        return self.registry.number(key)

    def key(self, number: int) -> SeriesKey:
        """The series of that number."""
        return self.registry.keys[number]

    @property
    def oldest(self) -> int:
        """Samples before this time are kept nowhere (seconds)."""
        return int(self._clock()) - self.retention

    async def write(self, columns: Columns, labels: list[Labels]) -> None:
        """Return when all of it is durable and visible; Unavailable when it cannot be made so now."""
        await self.commits.write(columns, labels)

    def _apply(self, columns: Columns, labels: Iterable[Labels]) -> None:
        for one in labels:
            self.registry.labels[one.place.path] = one
        numbers, timestamps, values = columns
        if not len(numbers):
            return
        self._grow()
        for at in np.flatnonzero(self._grid_of[numbers] == 0):
            self._settle(int(numbers[at]), int(timestamps[at]), float(values[at]))
        frequencies = self._grid_of[numbers]
        for frequency in np.unique(frequencies):
            if frequency:
                here = frequencies == frequency
                self._grids[int(frequency)].write(self._row_of[numbers[here]], timestamps[here], values[here])
        self.samples += len(numbers)

    def _grow(self) -> None:
        """Room in the arrays for every series there is."""
        missing = len(self.registry.keys) - len(self._grid_of)
        if missing > 0:
            more = np.zeros(max(missing, len(self._grid_of), 1024), np.int64)
            self._grid_of, self._row_of = np.concatenate([self._grid_of, more]), np.concatenate([self._row_of, more])

    def _settle(self, number: int, timestamp: int, value: float) -> None:
        """Give a series its grid; while its frequency is not known, keep its one sample aside."""
        metric = self.key(number).metric
        if self._grid_of[number]:
            return
        if not self.metrics.knows(metric):
            before = self._waiting.setdefault(number, (timestamp, value))
            distance = abs(timestamp - before[0])
            if not 0 < distance <= FREQUENCY_MAX:
                self._waiting[number] = (timestamp, value)
                return
            self.metrics.observed[metric] = distance
            self._settle_waiting(metric)
            return
        self._place(number, timestamp)

    def _settle_waiting(self, metric: str) -> None:
        """The metric's frequency is known now: move the samples kept aside to its grid."""
        numbers = [number for number in self._waiting if self.key(number).metric == metric]
        for number in numbers:
            timestamp, value = self._waiting.pop(number)
            grid = self._place(number, timestamp)
            grid.write(self._row_of[number : number + 1], np.array([timestamp]), np.array([value]))

    def _place(self, number: int, timestamp: int) -> Grid:
        frequency = self.metrics.frequency(self.key(number).metric)
        grid = self._grids.get(frequency)
        if grid is None:
            grid = self._grids[frequency] = Grid(frequency)
        self._grid_of[number], self._row_of[number] = frequency, grid.add(timestamp)
        self._rows.setdefault(frequency, []).append(number)
        return grid

    # Reading

    def clusters(self) -> list[str]:
        """Names of the clusters there are series of."""
        return sorted(self.registry.root.children)

    def hosts(self, cluster: str) -> list[str]:
        """The cluster's hosts by name."""
        return self.registry.hosts(cluster)

    def select(self, cluster: str, host: str, groups: Iterable[Sequence[str]], metric: str) -> list[int]:
        """Series of the metric below the host that hold samples: see Registry.select."""
        return self.holding(self.registry.select(cluster, host, groups, metric))

    def holding(self, numbers: Iterable[int]) -> list[int]:
        """Those of the series that hold samples."""
        return [number for number in numbers if number in self._waiting or self._holds(number)]

    def _holds(self, number: int) -> bool:
        frequency = self._grid_of[number] if number < len(self._grid_of) else 0
        return bool(frequency) and self._grids[int(frequency)].first[self._row_of[number]] != NEVER

    def read(self, numbers: list[int], start: int, end: int, points_max: int) -> Rows:
        """Samples of the series from `start` up to, not including, `end` (seconds).

        The answer begins no earlier than the first sample of them all, ends no later than after the last, and may be empty.
        TooLarge when it would hold more than `points_max` values.
        """
        waiting = [number for number in numbers if number in self._waiting]
        if waiting:
            return self._read_waiting(waiting, start, end)
        rows = self._row_of[numbers]
        grid = self._grids[int(self._grid_of[numbers[0]])]
        begins = np.maximum(start, grid.times(rows, grid.first[rows]))
        slots = grid.slots(rows, begins)
        counts = np.clip(-((begins - end) // grid.frequency), 0, np.maximum(grid.last[rows] + 1 - slots, 0))
        earliest = int(slots.argmin())
        count = int((slots + counts).max() - slots[earliest])
        if count * len(rows) > points_max:
            raise TooLarge(f"cannot read {count * len(rows)} values: more than {points_max} in one request (limits.points)")
        return Rows(grid.frequency, int(begins[earliest]), grid.read(rows, int(slots[earliest]), count))

    def _read_waiting(self, numbers: list[int], start: int, end: int) -> Rows:
        """Series that have one sample each, and no frequency yet."""
        timestamp = min(self._waiting[number][0] for number in numbers)
        begins = max(start, timestamp)
        inside = begins < min(end, timestamp + FREQUENCY)
        values = [[self._waiting[number][1]][:inside] for number in numbers]
        return Rows(FREQUENCY, begins, np.array(values, np.float64).reshape(len(numbers), int(inside)))

    def newest(self, number: int) -> int:
        """Time of the last sample of a series that holds one (seconds)."""
        if number in self._waiting:
            return self._waiting[number][0]
        grid, row = self._grids[int(self._grid_of[number])], self._row_of[number : number + 1]
        return int(grid.times(row, grid.last[row])[0])

    def fresh(self, intervals: int, cluster: str = "", host: str = "") -> list[Sample]:
        """The last sample of every series that is at most so many of its intervals old; of one host, if it is named."""
        now = self._clock()
        wanted = self._of_host(cluster, host) if host else None
        found = []
        for frequency, grid in self._grids.items():
            rows, timestamps, values = grid.latest()
            young = timestamps >= now - intervals * frequency
            columns = (column[young].tolist() for column in (rows, timestamps, values))
            for row, timestamp, value in zip(*columns, strict=True):
                number = self._rows[frequency][row]
                if wanted is None or number in wanted:
                    found.append(Sample(self.key(number), timestamp, value))
        return found

    def _of_host(self, cluster: str, host: str) -> set[int]:
        """All series of the host, in every cluster if none is named."""
        levels = (self.registry.find((name, host)) for name in ([cluster] if cluster else self.clusters()))
        return {n for level in levels if level for part in level.walk() for group in part.series.values() for n in group}

    def labels_of(self, place: Place) -> dict[str, str]:
        """Labels of the place and of those above it."""
        return self.registry.labels_of(place)

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.registry.keys)

    @property
    def memory(self) -> int:
        """Bytes of the sample windows in memory."""
        return sum(grid.bytes for grid in self._grids.values())

    # Keeping

    def recover(self) -> Recovered:
        """Play the log into memory, then begin a new segment. OSError when the disk refuses even that."""
        begun = time.monotonic()
        for record in self.log.replay():
            self._play(record)
        self.commits.begin_segment(self._carried())
        return Recovered(self.samples, self.log.damaged, time.monotonic() - begun)

    def _play(self, record: Record) -> None:
        try:
            if record.kind is Kind.SAMPLES:
                self._play_samples(record)
            elif record.kind is Kind.LABELS:
                self._apply(_NOTHING, formats.unpack_labels(record.payload))
            else:
                self.metrics.observed |= formats.unpack_frequencies(record.payload)
        except Damaged as damage:
            self.log.damaged += 1
            logger.warning("cannot read a record of segment %s: %s", record.segment, damage)

    def _play_samples(self, record: Record) -> None:
        """Samples of one record: series numbers are those of its segment, and samples past the retention are left out."""
        columns, definitions = formats.unpack_samples(record.payload)
        if record.segment != self._playing:
            self._playing, self._played = record.segment, {}
        for number, key in definitions:
            self._played[number] = self.registry.number(key, limited=False)
        ours = np.array([self._played.get(number, -1) for number in columns.numbers.tolist()], np.int64)
        known = ours >= 0
        if not known.all():
            self.log.damaged += 1
            logger.warning("segment %s does not name %d series: their samples are lost", record.segment, (~known).sum())
        self.log.saw(int(columns.timestamps.max(initial=0)))
        kept = known & (columns.timestamps >= self.oldest)
        self._apply(Columns(ours[kept].astype(np.uint32), columns.timestamps[kept], columns.values[kept]), [])

    def _carried(self) -> Carried:
        """The state that a new segment repeats."""
        return Carried(list(self.registry.labels.values()), dict(self.metrics.observed))

    def expire(self) -> int:
        """Forget what is older than the retention; how many windows and segments went."""
        windows = sum(grid.drop(self.oldest) for grid in self._grids.values())
        return windows + self.log.trim(self.oldest)

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        await self.commits.close()
        self._directory.close()
