"""The embedded engine: memory made durable by the log, windows sealed into blocks. Memory meets disk here and nowhere else.

Writing: numbers for series, then the log, then the head. Reading: the head and the blocks. At start: the checkpoint says what
is in blocks, the log is played into the head. From time to time windows are sealed, and the log that led to them goes.
All methods but `recover` belong to the event loop's thread.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore import archiving, sealing
from metricstore.archiving import Wanted
from metricstore.disk import formats
from metricstore.disk.archive import Archive
from metricstore.disk.backup import Backup
from metricstore.disk.blocks import Blocks
from metricstore.disk.catalogue import Catalogue
from metricstore.disk.checkpoint import Checkpoint
from metricstore.disk.commits import NO_SAMPLES, Batch, Commits, Repeated
from metricstore.disk.directory import Directory
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns, Damaged, Freed, Kind, State
from metricstore.disk.log import Log, Record
from metricstore.memory.head import Head
from metricstore.memory.metrics import MetricTable
from metricstore.memory.registry import NO_NUMBERS, Registry
from metricstore.memory.window import SHIFT, SLOTS, begin
from metricstore.reading import Reader, Totals
from metricstore.settings import Limits, Metric
from metricwire.catalog import FREQUENCY
from metricwire.errors import TooLarge, Unavailable
from metricwire.samples import Labels, Place, SeriesKey

logger = logging.getLogger(__name__)

PAGE = os.sysconf("SC_PAGE_SIZE")
WINDOWS_HELD = 64  # in all; with more, late samples have to wait until they are sealed: each may take 4 KiB
LATE = 7200  # seconds after which a sample is late
COMMITS_BETWEEN_LOOKS = 32  # at the memory that the process takes
SERIES_BETWEEN_LOOKS = 64  # at the memory that the process takes, while series are added
WINDOWS_MAX = 3  # of one frequency that memory holds; with one more it is sealed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Recovered(NamedTuple):
    """What was found at start: samples in the log, series, damages."""

    samples: int
    series: int
    damaged: int
    seconds: float


class Engine:
    """All samples of one data folder. SettingsError when the folder cannot be used.

    `retention`: seconds that samples are kept; then they are deleted, or `archived`. `on_broken` is told when nothing may be
    acknowledged any more.
    """

    def __init__(
        self,
        directory: Path,
        *,
        metrics: Mapping[str, Metric],
        retention: int,
        limits: Limits,
        archived: bool = False,
        cluster: str = "",
        clock: Callable[[], float] = time.time,
        on_broken: Callable[[Exception], None] = lambda error: None,
        files: Files | None = None,
    ) -> None:
        self.retention = retention
        self.metrics = MetricTable(metrics)
        self.registry = Registry(limits.series, limits.label_bytes)
        self.samples = 0  # stored since the start
        self.damaged = 0  # places on disk that could not be read
        self.seals = 0
        self._clock, self._limits = clock, limits
        self._newest = 0  # latest timestamp stored
        self._takers = 0
        self._once_named: set[int] = set()  # numbers of series that went, and came again under another one
        self.pressed = asyncio.Event()  # memory is short, or about to be: sealing cannot wait
        self._crowded = False  # memory has no room for another series
        files = files or Files()
        self._directory = Directory(directory, cluster, files)
        self._checkpoint = Checkpoint(self._directory.path, files, self._on_damage)
        self.log = Log(self._directory.log, files, on_damage=self._on_damage)
        self._catalogue = Catalogue(self._directory.names, files, self._on_damage)
        self.blocks = Blocks(self._directory.blocks, self._directory.quarantine, files, self._on_damage)
        self.head = Head(self.metrics, self._metric_of, lambda *key: key in self.blocks)
        self._archived, self._files = archived, files
        self.archive = Archive(self._directory.archive, self._directory.quarantine, files, self._on_damage)
        self._reader = Reader(self.head, self.blocks)
        self.commits = Commits(self.log, self._catalogue, self.key, self._apply, self._repeated, on_broken, limits.waiting)
        self._keeping = asyncio.Lock()  # held while blocks change
        self._sealer = ThreadPoolExecutor(1, "sealer")

    def _on_damage(self, text: str) -> None:
        self.damaged += 1
        logger.warning("%s", text)

    def _metric_of(self, number: int) -> str:
        return self.registry.key(number).metric

    # Writing

    def number(self, key: SeriesKey) -> int:
        """The number to write the series under, until the next `write`. TooLarge at the series or the memory limit."""
        number = self.registry.find_number(key)
        if number is None:
            self._make_room()
            number = self.registry.number(key)
            series = self.head.series
            if number >= series.size:
                series.reserve(number + 1)
            series.alive[number] = 1
        return number

    def _make_room(self) -> None:
        """TooLarge when memory has no room for another series."""
        if not self.registry.given % SERIES_BETWEEN_LOOKS:
            self._crowded = self._too_large
        if self._crowded:
            raise TooLarge(
                f"cannot start another series: the store takes more than {self._limits.memory} bytes of memory already "
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

    def key(self, number: int) -> SeriesKey:
        """The series of that number."""
        return self.registry.key(number)

    @property
    def alive(self) -> NDArray[np.uint8]:
        """1 for every number that is a series now."""
        return self.head.series.alive

    @property
    def oldest(self) -> int:
        """Samples before this time are kept nowhere (seconds)."""
        return int(self._clock()) - self.retention

    async def write(self, columns: Columns, labels: Sequence[Labels]) -> None:
        """Return when all of it is durable and visible; Unavailable when it cannot be made so now."""
        if self.pressed.is_set() and len(columns.numbers) and columns.timestamps.min() < self._clock() - LATE:
            raise Unavailable("cannot store late samples now: those that came before have to be sealed first", 5)
        await self.commits.write(columns, labels)

    def _apply(self, batch: Batch) -> None:
        for one in batch.labels:
            self.registry.set_labels(one)
        columns = batch.columns
        if len(columns.numbers):
            self.head.write(*columns)
            self.samples += len(columns.numbers)
            self._newest = max(self._newest, int(columns.timestamps.max()))
            if len(self.head.windows) > WINDOWS_HELD or (self.commits.commits % COMMITS_BETWEEN_LOOKS == 0 and self._too_large):
                self.pressed.set()
        for freed in batch.freed:
            self._free_in_memory(freed)

    # Reading

    def clusters(self) -> list[str]:
        """Names of the clusters there are series of."""
        return sorted(self.registry.root.children)

    def hosts(self, cluster: str, *, archived: bool = False) -> list[str]:
        """The cluster's hosts by name; on request with those of which only the archive has samples."""
        found = self.registry.hosts(cluster)
        return sorted({*found, *self.archive.hosts(cluster)}) if archived else found

    def select(self, cluster: str, host: str, selectors: Iterable[Sequence[Sequence[str]]], metric: str) -> list[Ints]:
        """For each selector the series of the metric below the host, whether they hold samples or not: see Level.select."""
        level = self.registry.find((cluster, host))
        return [level.select(groups, metric) if level else NO_NUMBERS for groups in selectors]

    def holding(self, numbers: Ints) -> Ints:
        """Those of the series that hold samples."""
        held = self.head.series.has_samples(numbers)
        return numbers if held.all() else numbers[held]

    def read(self, groups: Sequence[Ints], start: int, end: int, points_max: int) -> Iterator[Totals]:
        """Sums of groups of series that hold samples: see Reader.totals."""
        return self._reader.totals(groups, start, end, points_max)

    def last(self, numbers: Ints) -> Ints:
        """When the last sample of each series is (seconds)."""
        found: Ints = self.head.series.last[numbers]
        return found

    def samples_of(self, cluster: str, host: str, start: int, end: int) -> Iterator[tuple[SeriesKey, Ints, Floats]]:
        """The host's samples from `start` to before `end` (seconds), by series; those of the archive left out."""
        level = self.registry.find((cluster, host))
        for number in list(level.numbers()) if level else ():
            if number not in self.registry:
                continue  # gone since we began
            found: dict[int, float] = {}
            for stamps, values in self._reader.samples(number, start, end):
                found |= {
                    time: value for time, value in zip(stamps.tolist(), values.tolist(), strict=True) if start <= time < end
                }
            times = np.array(sorted(found), np.int64)
            yield self.key(number), times, np.array([found[time] for time in times.tolist()])

    def archived_until(self, cluster: str) -> int | None:
        """The time of the last sample of the cluster in the archive (seconds)."""
        found = self.archive.range(cluster)
        return found[1] if found else None

    def read_archived(self, wanted: Wanted, points_max: int) -> tuple[Totals, int] | None:
        """Sums of one group of series, the archive's samples among them, and how many series these are: see archiving.read."""
        level = self.registry.find((wanted.cluster, wanted.host))
        numbers = [number for part in level.walk() for number in part.own(wanted.metric)] if level else []
        margin = wanted.frequency
        live = {
            self.key(number): archiving.Live(
                partial(self._reader.samples, number, wanted.start - margin, wanted.end + margin),
                int(self.head.series.phase[number]),
                int(self.head.series.first[number]),
                int(self.head.series.last[number]),
            )
            for number in self.holding(np.array(numbers, np.int64)).tolist()
        }
        return archiving.read(self.archive, wanted, live, points_max)

    def extents(self, numbers: Ints) -> list[tuple[int, int, int]]:
        """Of series that hold samples: when the first slot begins and the last one ends, and how long a slot is (seconds)."""
        series = self.head.series
        step = series.step[numbers].astype(np.int64)
        first, last = (series.times(numbers, series.slots(numbers, edge[numbers])) for edge in (series.first, series.last))
        return list(zip(first.tolist(), (last + step).tolist(), step.tolist(), strict=True))

    def fresh_columns(self, intervals: int, cluster: str = "", host: str = "", *part: str) -> tuple[Ints, Ints, Floats]:
        """Number, timestamp and value of the last sample of every series that is at most so many of its intervals old.

        Of one host in every cluster, or in the one named, if it is named; of the part of it with that path (Place.path).
        """
        numbers = self._of_host(cluster, host, part) if host else np.flatnonzero(self.alive)
        return self.head.latest(numbers, int(self._clock()), intervals)

    def _of_host(self, cluster: str, host: str, part: tuple[str, ...]) -> Ints:
        levels = (self.registry.find((name, host, *part)) for name in ([cluster] if cluster else self.clusters()))
        return np.array([number for level in levels if level for number in level.numbers()], np.int64)

    def labels_of(self, place: Place) -> dict[str, str]:
        """Labels of the place and of those above it."""
        return self.registry.labels_of(place)

    @property
    def generation(self) -> int:
        """Another one whenever series or labels have come or gone."""
        return self.registry.generation

    @property
    def series(self) -> int:
        """How many series there are."""
        return self.registry.count

    @property
    def disk_free(self) -> int:
        """Bytes that can still be written to the volume of the data folder."""
        found = os.statvfs(self._directory.path)
        return found.f_bavail * found.f_frsize

    # Starting

    def recover(self) -> Recovered:
        """Read what blocks and names there are, play the log, begin a new segment; on a full disk with the first write."""
        begun = time.monotonic()
        self.blocks.scan()
        state = self._checkpoint.read()
        given = state.given if state else 0
        self._read_names(given)
        if state is None and self.blocks.windows():
            if not self.log.whole:  # else the first sealing was cut short
                self._on_damage("cannot read the checkpoint: what blocks hold is found from the blocks")
            state = self._state_of_blocks()
        if state is not None:
            self._take(state)
        first = state.segment if state else 0
        for record in self.log.replay(first):
            try:
                self._play(record)
            except Damaged as damage:
                self._on_damage(f"cannot read a record of segment {record.segment}: {damage}")
        self._once_named.clear()
        self.head.settle()
        if self._drop_before(self._expired):
            self._forget_before(self._expired)
        self._forget_empty()
        try:
            self._checkpoint.settle()
            self.log.trim(first)
            self.commits.begin_segment()
        except OSError as error:
            self.commits.report_full(error)
        return Recovered(self.samples, self.series, self.damaged, time.monotonic() - begun)

    def _read_names(self, given: int) -> None:
        """What the numbers mean; those below `given` are never given again."""
        for named in self._catalogue.read():
            for number, key in named:
                self.registry.restore(key, number)
                self._once_named.add(number)
        self._once_named.difference_update(self.registry.numbers().tolist())
        self.registry.given = max(self.registry.given, given)
        numbers = self.registry.numbers()
        self.head.series.reserve(self.registry.given)
        self.head.series.alive[numbers] = 1
        self.commits.known(numbers)

    def _take(self, state: State) -> None:
        """Series are as the state says, on the grids that the settings ask for now; windows still written to are loaded."""
        series = self.head.series
        kept = np.array([number in self.registry for number in state.numbers.tolist()], bool)
        numbers = state.numbers[kept]
        for name in ("step", "phase", "first", "last", "moved"):
            getattr(series, name)[numbers] = getattr(state, name)[kept]
        self._newest = int(state.last.max(initial=0))
        for number, step in zip(numbers.tolist(), series.step[numbers].tolist(), strict=True):
            metric = self._metric_of(number)
            if not self.metrics.declared(metric):
                if step != FREQUENCY:
                    self.metrics.observed.setdefault(metric, step)
                self.head.watch(number, metric)
            elif step != (frequency := self.metrics.frequency(metric)):
                series.step[number], series.phase[number] = frequency, int(series.first[number]) % frequency
                series.moved[number] = 1
        if series.moved[numbers].any():
            return  # blocks have rows that belong to no grid in memory: they are read from there
        for frequency, index in self.blocks.windows():
            if begin(frequency, index + 1) > self._newest - SLOTS * frequency:
                sealing.load(self.head.open(frequency, index), self.blocks)

    def _state_of_blocks(self) -> State:
        """What the blocks themselves say of their series."""
        series = self.head.series
        series.first[:], series.last[:] = np.iinfo(np.int64).max, -np.iinfo(np.int64).max
        for frequency, index in self.blocks.windows():
            for rows in self.blocks.all((frequency, index)):
                known = rows.numbers < series.size
                numbers, present = rows.numbers[known], ~np.isnan(rows.values[known])
                start = begin(frequency, index) + rows.phases[known]
                first = start + present.argmax(axis=1) * frequency
                last = start + (SLOTS - 1 - present[:, ::-1].argmax(axis=1)) * frequency
                series.moved[numbers] |= (series.step[numbers] != 0) & (
                    (series.step[numbers] != frequency) | (series.phase[numbers] != rows.phases[known])
                )
                newer = last > series.last[numbers]
                series.step[numbers[newer]], series.phase[numbers[newer]] = frequency, rows.phases[known][newer]
                series.first[numbers] = np.minimum(series.first[numbers], first)
                series.last[numbers] = np.maximum(series.last[numbers], last)
        return self._state(0)

    def _state(self, segment: int) -> State:
        series = self.head.series
        numbers = self.holding(self.registry.numbers())
        return State(
            segment,
            self.registry.given,
            numbers,
            series.step[numbers],
            series.phase[numbers],
            series.first[numbers],
            series.last[numbers],
            series.moved[numbers],
        )

    def _play(self, record: Record) -> None:
        if record.kind is Kind.SAMPLES:
            self._play_samples(formats.unpack_samples(record.payload))
        elif record.kind is Kind.LABELS:
            self._apply(Batch(NO_SAMPLES, formats.unpack_labels(record.payload), []))
        elif record.kind is Kind.FREQUENCIES:
            self.metrics.restore(formats.unpack_frequencies(record.payload))
        elif record.kind is Kind.FREED:
            freed = formats.unpack_freed(record.payload)
            known = freed._replace(numbers=freed.numbers[freed.numbers < self.head.series.size])
            self._free_in_memory(known)
            try:
                sealing.free(known.numbers, known.before, self.blocks)
            except OSError as error:  # a full disk does not prevent the start
                self.commits.report_full(error)

    def _play_samples(self, columns: Columns) -> None:
        """Samples past the retention are left out, unless they have still to go to the archive."""
        known = columns.numbers < len(self.alive)
        known[known] = self.alive[columns.numbers[known]] > 0
        unnamed = sum(number not in self._once_named for number in columns.numbers[~known].tolist())
        if unnamed:
            self._on_damage(f"cannot tell the series of {unnamed} samples in the log: nothing names them")
        self._newest = max(self._newest, int(columns.timestamps.max(initial=0)))
        kept = known & (self._archived | (columns.timestamps >= self._expired))
        self._apply(Batch(columns.at(kept), [], []))
        if self._too_large:
            self._seal_while_starting()

    def _seal_while_starting(self) -> None:
        """Memory must not grow with the log: what is sealed early is played once more if this start is cut short."""
        pictures = self._pictures()
        try:
            for one in pictures:
                sealing.seal(one, self.blocks)
        except OSError as error:
            for one in pictures:
                one.withdraw()
            self.commits.report_full(error)
        self._evict()

    def _repeated(self) -> Repeated:
        """What a new segment repeats."""
        return Repeated(list(self.registry.labels.values()), self.metrics.undeclared())

    # Keeping

    @property
    def _too_large(self) -> bool:
        """Whether this process takes more memory than it may."""
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read at every turn
            return int(file.read().split()[1]) * PAGE > self._limits.memory

    async def keep(self) -> None:
        """Seal and expire what is due; called from time to time. OSError when the disk refuses: what was, stays."""
        if self._archived:
            await self._archive()
        self.expire_now()
        windows: dict[int, int] = {}
        for frequency in (one.frequency for one in self.head.windows.values() if one.start <= self._clock()):
            windows[frequency] = windows.get(frequency, 0) + 1
        if self.log.grown > self._limits.log_bytes or max(windows.values(), default=0) > WINDOWS_MAX or self.pressed.is_set():
            await self.seal()
        self._crowded = self._too_large
        if not self._crowded and len(self.head.windows) <= WINDOWS_HELD:
            self.pressed.clear()

    async def hold(self) -> Backup:
        """The files of the data folder as they are now, for a copy. OSError."""
        async with self._keeping:
            await self.commits.rotate()
            return Backup(self._directory.path, self._files)

    async def _archive(self) -> None:
        """Put into the archive what is past the retention, whole days of it. OSError leaves the blocks."""
        before = self._expired
        if any(window.dirty and window.end <= before for window in self.head.windows.values()):
            await self.seal()
        async with self._keeping:
            loop = asyncio.get_running_loop()
            for windows in archiving.due(self.blocks, before):
                hosts = {cluster: [self._host(cluster, host) for host in self.hosts(cluster)] for cluster in self.clusters()}
                await loop.run_in_executor(self._sealer, archiving.write, self.archive, self.blocks, windows, hosts)
                for key in windows:
                    self.blocks.remove(key)
                    if key in self.head.windows:
                        self.head.drop(self.head.windows[key])
                self.blocks.sync()
                self._forget_before(max(begin(frequency, index + 1) + frequency for frequency, index in windows))

    def _host(self, cluster: str, host: str) -> archiving.Host:
        numbers = np.sort(self._of_host(cluster, host, ()))
        return archiving.Host(numbers, [self.key(number) for number in numbers.tolist()])

    async def seal(self) -> None:
        """Put all that memory holds into blocks, and forget the log that led to it. OSError leaves what was."""
        async with self._keeping:
            loop = asyncio.get_running_loop()
            segment = await self.commits.rotate()
            pictures: list[sealing.Picture] = []
            try:
                moving = True
                while moving:  # what is taken out of a window meanwhile is in another one, and perhaps in no block
                    pictures += (new := self._pictures())
                    for one in new:
                        await loop.run_in_executor(self._sealer, sealing.seal, one, self.blocks)
                    moving = any(window.shrunk for window in self.head.windows.values())
                await loop.run_in_executor(self._sealer, self._checkpoint.write, self._state(segment))
            except BaseException:
                for one in pictures:
                    one.withdraw()
                raise
            await self.commits.trim(segment)
            self._evict()
            if self._catalogue.wasteful(self.series):
                await self.commits.rewrite([(number, self.key(number)) for number in self.registry.numbers().tolist()])
            self.seals += 1

    def _pictures(self) -> list[sealing.Picture]:
        return sealing.pictures([window for window in self.head.windows.values() if window.dirty], self.head.series)

    def _evict(self) -> None:
        """Forget windows that blocks have, but those that are still written."""
        now = int(self._clock())
        for window in list(self.head.windows.values()):
            old = window.end + SLOTS * window.frequency < now
            if old and not window.dirty and (window.frequency, window.index) in self.blocks:
                self.head.drop(window)

    async def free(self, paths: Iterable[Sequence[str]], before: int) -> int:
        """Forget what series at or below the paths hold in windows that end before that time; how many pieces these were.

        A piece is what one series holds in one window, in memory or in a block.
        """
        levels = [level for path in paths if (level := self.registry.find(path)) is not None]
        numbers = np.unique(np.array([number for level in levels for number in level.numbers()], np.int64))
        if not len(numbers):
            return 0
        async with self._keeping:
            freed = Freed(numbers, before)
            held = self.head.held(numbers, before)
            await self.commits.write(NO_SAMPLES, [], freed)
            loop = asyncio.get_running_loop()
            return held + await loop.run_in_executor(self._sealer, sealing.free, numbers, before, self.blocks)

    def _free_in_memory(self, freed: Freed) -> None:
        series, numbers = self.head.series, freed.numbers
        self.head.free(numbers, freed.before)
        numbers = numbers[series.has_samples(numbers)]
        step = series.step[numbers].astype(np.int64)
        kept = (freed.before - step) // step >> SHIFT  # the first window that stays
        start = kept * SLOTS * step + series.phase[numbers]
        series.vague[numbers] |= series.first[numbers] < start
        series.first[numbers] = np.maximum(series.first[numbers], start)
        gone = numbers[series.last[numbers] < series.first[numbers]]
        series.first[gone], series.last[gone] = np.iinfo(np.int64).max, -np.iinfo(np.int64).max

    @property
    def _expired(self) -> int:
        """What ended before that time is past the retention (seconds)."""
        return min(self.oldest, self._newest - self.retention)

    def expire_now(self) -> int:
        """Forget what is past the retention; how many windows and blocks went. OSError when the disk refuses.

        Nothing goes before newer samples have come: a clock that is wrong for a while deletes nothing. What is archived goes by
        whole days, after it is in the archive.
        """
        if self._keeping.locked():
            return 0
        before = self._expired
        windows = self._drop_before(before)
        blocks = [] if self._archived else sealing.ended(self.blocks, before)
        for key in blocks:
            self.blocks.remove(key)
        if blocks:
            self.blocks.sync()
        if windows or blocks:
            self._forget_before(before)
        return windows + len(blocks)

    def _drop_before(self, before: int) -> int:
        """Drop the windows in memory that ended before that time, unless they go to the archive; how many."""
        windows = [] if self._archived else [window for window in self.head.windows.values() if window.end <= before]
        for window in windows:
            self.head.drop(window)
        return len(windows)

    def _forget_before(self, before: int) -> None:
        """Nothing that ended before that time is left: series that had nothing else make room for others."""
        if not (self.commits.waiting or self._takers):  # these may be of series that hold nothing yet
            self._free_in_memory(Freed(self.registry.numbers(), before))
            self._forget_empty()

    def _forget_empty(self) -> None:
        """Series whose samples are all gone make room for others."""
        numbers = self.registry.numbers()
        gone = numbers[~self.head.series.has_samples(numbers)]
        self.head.forget(gone)
        self.registry.forget(gone.tolist())

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        async with self._keeping:
            await self.commits.close()
        self._sealer.shutdown()
        self.blocks.close()
        self._directory.close()
