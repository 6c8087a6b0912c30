"""What one data folder holds, in memory and on disk, and what both are told together."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from metricstore import archiving, sealing
from metricstore.disk.archive import Archive
from metricstore.disk.blocks import Blocks, Stretch
from metricstore.disk.catalogue import Catalogue
from metricstore.disk.checkpoint import Checkpoint
from metricstore.disk.commits import Batch, Commits, Repeated
from metricstore.disk.directory import Directory
from metricstore.disk.files import Files
from metricstore.disk.formats import State
from metricstore.disk.log import Log
from metricstore.disk.quarantine import Quarantine
from metricstore.memory.head import Head
from metricstore.memory.metrics import MetricTable
from metricstore.memory.registry import Registry
from metricstore.settings import Limits, Metric
from metricstore.steadyclock import SteadyClock
from metricwire.errors import TooLarge
from metricwire.samples import SeriesKey

logger = logging.getLogger(__name__)

PAGE = os.sysconf("SC_PAGE_SIZE")
WINDOWS_HELD = 64  # that no longer last; with more, late samples have to wait until they are sealed: each may take 4 KiB
COMMITS_BETWEEN_LOOKS = 32  # at the memory that the process takes
SERIES_BETWEEN_LOOKS = 64  # at the memory that the process takes, while series are added


class Holdings:
    """Registry, head, log, blocks and archive of one data folder, opened. SettingsError when it cannot be used.

    What changes them together is here; when it happens is for others to say.
    """

    def __init__(
        self,
        directory: Path,
        *,
        metrics: Mapping[str, Metric],
        retention: int,
        limits: Limits,
        archived: bool,
        cluster: str,
        clock: SteadyClock,
        on_broken: Callable[[Exception], None],
        files: Files,
    ) -> None:
        self.limits, self.retention, self.archived, self.files, self.clock = limits, retention, archived, files, clock
        self.samples = 0  # stored since the start
        self.damaged = 0  # places on disk that could not be read
        self.newest = 0  # latest timestamp stored
        self.pressed = asyncio.Event()  # memory is short, or about to be: sealing cannot wait
        self.relieved = asyncio.Event()  # it is not
        self.relieved.set()
        self.strained = False  # memory was short even when all was sealed the last time
        self._crowded = False  # memory has no room for another series
        self._lasting = 0  # windows that could not go the last time that we looked: each frequency has some
        self._started = 0  # series, by this process
        self._takers = 0
        self.metrics = MetricTable(metrics)
        self.registry = Registry(limits.series, limits.label_bytes)
        self.directory = Directory(directory, cluster, files)
        quarantine = Quarantine(self.directory.quarantine, files, limits.quarantine_bytes)
        self.checkpoint = Checkpoint(self.directory.path, files, self.on_damage)
        self.log = Log(self.directory.log, files, on_damage=self.on_damage)
        self.catalogue = Catalogue(self.directory.names, files, self.on_damage)
        self.blocks = Blocks(self.directory.blocks, quarantine, files, self.on_damage)
        self.archive = Archive(self.directory.archive, quarantine, files, self.on_damage)
        self.head = Head(self.metrics, self.metric_of, lambda *key: key in self.blocks)
        self.commits = Commits(
            self.log, self.catalogue, self.registry.key, self.apply, self.repeated, on_broken, limits.waiting, clock.now
        )

    def on_damage(self, text: str) -> None:
        """Something on disk cannot be read."""
        self.damaged += 1
        logger.warning("%s", text)

    def metric_of(self, number: int) -> str:
        """The metric of a series."""
        return self.registry.key(number).metric

    # What comes

    def number(self, key: SeriesKey) -> int:
        """The number to write the series under, until the next write. TooLarge at the series or the memory limit."""
        number = self.registry.find_number(key)
        if number is None:
            if not self._started % SERIES_BETWEEN_LOOKS:
                self.look()
            if self._crowded:
                raise TooLarge(self.full)
            number = self.registry.number(key)
            series = self.head.series
            if number >= len(series.alive):
                series.reserve(number + 1)
            series.alive[number] = 1
            self._started += 1
        return number

    @property
    def full(self) -> str:
        """Why no further series can be started now; empty while one can."""
        if not self._crowded:
            return self.registry.full
        return (
            f"cannot start another series: the store takes more than {self.limits.memory} bytes of memory already "
            "(setting limits.memory)"
        )

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """While series get numbers that are written only later, none is forgotten."""
        self._takers += 1
        try:
            yield
        finally:
            self._takers -= 1

    def apply(self, batch: Batch) -> None:
        """What is durable becomes visible."""
        for one in batch.labels:
            self.registry.set_labels(one)
        columns = batch.columns
        if len(columns.numbers):
            self.head.write(*columns)
            self.samples += len(columns.numbers)
            self.newest = max(self.newest, int(columns.timestamps.max()))
            look = self.commits.commits % COMMITS_BETWEEN_LOOKS == 0
            if self._laden or (look and self.too_large):
                self.pressed.set()
                self.relieved.clear()
        for freed in batch.freed:
            self.head.cut(freed.numbers, freed.before)

    def repeated(self) -> Repeated:
        """What a new segment of the log repeats."""
        return Repeated(int(self.clock.now()), list(self.registry.labels.values()), self.metrics.undeclared())

    # Memory

    @property
    def resident(self) -> int:
        """Memory that this process takes (bytes)."""
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read at every turn
            return int(file.read().split()[1]) * PAGE

    @property
    def too_large(self) -> bool:
        """Whether this process takes more memory than it may."""
        return self.resident > self.limits.memory

    @property
    def _laden(self) -> bool:
        """Whether there are more windows that sealing could make go than may be."""
        return len(self.head.windows) > WINDOWS_HELD + self._lasting

    def look(self) -> None:
        """See whether memory has room for further series."""
        self._crowded = self.too_large

    def relax(self, now: int) -> None:
        """Sealing is done: see whether it has to go on."""
        self.look()
        self._lasting = len(self.head.windows) - len(self.head.ended(now))
        self.strained = self._crowded or self._laden
        if not self.strained:
            self.pressed.clear()
            self.relieved.set()

    def pictures(self) -> list[sealing.Picture]:
        """Of the windows that have what no block has."""
        return sealing.pictures([window for window in self.head.windows.values() if window.dirty], self.head.series)

    def evict(self, now: int) -> None:
        """Forget windows that blocks have, or that were emptied, but those that are still written at that time."""
        for window in self.head.ended(now):
            if not window.dirty and ((window.frequency, window.index) in self.blocks or not window.array.any()):
                self.head.drop(window)

    def state(self, segment: int) -> State:
        """The series as the blocks have them, for a checkpoint."""
        series, numbers = self.head.series, self.registry.numbers()
        numbers = numbers[series.has_samples(numbers)]
        step, phase, first, last = series.step[numbers], series.phase[numbers], series.first[numbers], series.last[numbers]
        return State(segment, self.registry.given, numbers, step, phase, first, last, series.moved[numbers])

    # What goes

    @property
    def expired(self) -> int:
        """What ended before that time is past the retention (seconds). Nothing goes before newer samples have come."""
        return min(int(self.clock.now()), self.newest) - self.retention

    def drop_before(self, before: int) -> int:
        """Drop the windows in memory that ended before that time, unless they go to the archive; how many."""
        windows = [] if self.archived else [window for window in self.head.windows.values() if window.end <= before]
        for window in windows:
            self.head.drop(window)
        return len(windows)

    def drop_windows(self, stretch: Stretch) -> None:
        """Drop the windows in memory that are of the stretch."""
        for index in range(stretch.window, stretch.window + stretch.windows):
            window = self.head.windows.get((stretch.frequency, index))
            if window is not None:
                self.head.drop(window)

    def forget_before(self, before: int) -> bool:
        """Nothing that ended before that time is left: series that had nothing else make room for others. Whether that was
        possible: not while samples wait for the disk.

        Of what is archived something may be left that was merged with what ended later.
        """
        if self.commits.waiting or self._takers:  # these may be of series that hold nothing yet
            return False
        numbers = self.registry.numbers()
        steps = self.head.series.step[numbers]
        for step in np.unique(steps[steps > 0]).tolist():
            self.head.cut(numbers[steps == step], archiving.gone(step, before) if self.archived else before)
        self.forget_empty()
        return True

    def forget_empty(self) -> None:
        """Series whose samples are all gone make room for others."""
        numbers = self.registry.numbers()
        gone = numbers[~self.head.series.has_samples(numbers)]
        self.head.forget(gone)
        self.registry.forget(gone.tolist())
