"""The embedded engine: memory made durable by the log. Memory meets disk here and nowhere else.

Writing: numbers for series, then the log, then the head. Reading: the head. At start: the log is played into the head.
All methods but `recover` belong to the event loop's thread.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metricstore.disk import formats
from metricstore.disk.commits import Commits, State
from metricstore.disk.directory import Directory
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns, Damaged, Kind
from metricstore.disk.log import Log, Record
from metricstore.memory.head import Head, Rows
from metricstore.memory.metrics import MetricTable
from metricstore.memory.registry import Registry
from metricstore.settings import Limits, Metric
from metricwire.samples import Labels, Place, Sample, SeriesKey

logger = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """What the log held at start."""

    samples: int
    damaged: int
    seconds: float


class Engine:
    """All samples of one data folder. SettingsError when the folder cannot be used."""

    def __init__(
        self,
        directory: Path,
        *,
        metrics: Mapping[str, Metric],
        retention: int,
        limits: Limits,
        cluster: str = "",
        clock: Callable[[], float] = time.time,
        on_broken: Callable[[Exception], None] = lambda error: None,
        files: Files | None = None,
    ) -> None:
        self.retention = retention
        self.metrics = MetricTable(metrics)
        self.registry = Registry(limits.series, limits.label_bytes)
        self.head = Head(self.metrics, lambda number: self.registry.keys[number].metric)
        self.samples = 0  # stored since the start
        self._clock = clock
        self._newest = 0  # latest timestamp stored
        self._playing, self._played = 0, dict[int, int]()  # segment being replayed, its series numbers to ours
        files = files or Files()
        self._directory = Directory(directory, cluster, files)
        self.log = Log(self._directory.log, files)
        self.commits = Commits(self.log, self.key, self._apply, self._state, on_broken, limits.waiting)

    # Writing

    def number(self, key: SeriesKey) -> int:
        """The number to write the series under, until the next `write`. TooLarge at the series limit."""
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
            self.registry.set_labels(one)
        if len(columns.numbers):
            self.head.write(columns.numbers.astype(np.int64), columns.timestamps, columns.values)
            self.samples += len(columns.numbers)
            self._newest = max(self._newest, int(columns.timestamps.max()))

    # Reading

    def clusters(self) -> list[str]:
        """Names of the clusters there are series of."""
        return sorted(self.registry.root.children)

    def hosts(self, cluster: str) -> list[str]:
        """The cluster's hosts by name."""
        return self.registry.hosts(cluster)

    def select(self, cluster: str, host: str, groups: Iterable[Sequence[str]], metric: str) -> list[int]:
        """Series of the metric below the host that hold samples: see Registry.select."""
        return self.head.holding(self.registry.select(cluster, host, groups, metric))

    def read(self, numbers: list[int], start: int, end: int, points_max: int) -> Rows:
        """Samples of series that hold some: see Head.read."""
        return self.head.read(numbers, start, end, points_max)

    def fresh(self, intervals: int, cluster: str = "", host: str = "") -> list[Sample]:
        """The last sample of every series that is at most so many of its intervals old; of one host, if it is named."""
        found = self.head.latest(self._of_host(cluster, host) if host else None, int(self._clock()), intervals)
        return [Sample(self.key(number), timestamp, value) for number, timestamp, value in found]

    def _of_host(self, cluster: str, host: str) -> set[int]:
        """All series of the host, in every cluster if none is named."""
        levels = (self.registry.find((name, host)) for name in ([cluster] if cluster else self.clusters()))
        return {number for level in levels if level for number in level.numbers()}

    def labels_of(self, place: Place) -> dict[str, str]:
        """Labels of the place and of those above it."""
        return self.registry.labels_of(place)

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.registry.keys)

    # Keeping

    def recover(self) -> Recovered:
        """Play the log into memory and begin a new segment; on a full disk that comes with the first write it takes."""
        begun = time.monotonic()
        for record in self.log.replay():
            try:
                self._play(record)
            except Damaged as damage:
                self.log.damaged += 1
                logger.warning("cannot read a record of segment %s: %s", record.segment, damage)
        self._forget_empty()
        try:
            self.commits.begin_segment()
        except OSError as error:
            self.commits.report_full(error)
        return Recovered(self.samples, self.log.damaged, time.monotonic() - begun)

    def _play(self, record: Record) -> None:
        if record.segment != self._playing:
            self._playing, self._played = record.segment, {}
        if record.kind is Kind.SERIES:
            for number, key in formats.unpack_series(record.payload):
                self._played[number] = self.registry.number(key, limited=False)
        elif record.kind is Kind.SAMPLES:
            self._play_samples(formats.unpack_samples(record.payload))
        elif record.kind is Kind.LABELS:
            self._apply(_NOTHING, formats.unpack_labels(record.payload))
        else:
            self.metrics.observed |= formats.unpack_frequencies(record.payload)

    def _play_samples(self, columns: Columns) -> None:
        """Samples past the retention are left out."""
        ours = np.array([self._played.get(number, -1) for number in columns.numbers.tolist()], np.int64)
        known = ours >= 0
        if not known.all():
            self.log.damaged += 1
            logger.warning("segment %s does not name %d series: their samples are lost", self._playing, (~known).sum())
        self.log.saw(int(columns.timestamps.max(initial=0)))
        kept = known & (columns.timestamps >= self.oldest)
        self._apply(Columns(ours[kept].astype(np.uint32), columns.timestamps[kept], columns.values[kept]), [])

    def _state(self) -> State:
        """What a new segment repeats."""
        return State(list(self.registry.labels.values()), dict(self.metrics.observed))

    def expire(self) -> int:
        """Forget what is past the retention; how many windows and segments went. OSError when the disk refuses.

        Nothing goes before newer samples have come: a clock that is wrong for a while deletes nothing.
        """
        before = min(self.oldest, self._newest - self.retention)
        windows = self.head.drop(before)
        if windows and not self.commits.waiting:  # what waits may be of series that hold nothing yet
            self._forget_empty()
        return windows + self.log.trim(before)

    def _forget_empty(self) -> None:
        """Series whose samples are all past the retention make room for others."""
        self.registry.forget(self.head.forget_empty(list(self.registry.keys)))

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        await self.commits.close()
        self._directory.close()


_NOTHING = Columns(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.float64))
