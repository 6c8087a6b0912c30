"""The embedded engine: memory made durable by the log, windows sealed into blocks. Memory meets disk here.

Writing: numbers for series, then the log, then the head. Reading: the head and the blocks. At start: the checkpoint says what
is in blocks, the log is played into the head. From time to time windows are sealed, and the log that led to them goes.
All methods but `recover` belong to the event loop's thread.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metricstore import archiving
from metricstore.archiving import Past, Wanted
from metricstore.disk.backup import Backup
from metricstore.disk.commits import RETRY_AFTER
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns
from metricstore.holdings import Holdings
from metricstore.memory.registry import NO_NUMBERS
from metricstore.reading import Groups, Reader, Totals
from metricstore.recovery import Recovered, Recovery
from metricstore.settings import Limits, Metric
from metricstore.steadyclock import SteadyClock
from metricstore.upkeep import Upkeep
from metricwire.errors import Unavailable
from metricwire.samples import Labels, Place, SeriesKey

LATE = 7200  # seconds after which a sample is late
LATE_WAIT = 5.0  # seconds that late samples wait for room
PIECE_SLOTS = 8192  # of a series that are read at once where all of it is wanted

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Engine:
    """All samples of one data folder. SettingsError when the folder cannot be used.

    `retention`: seconds that samples are kept; then they are deleted, or `archived`. `clock`: seconds since the epoch.
    `passing`: seconds that nobody sets; without it the clock is believed whatever it says. `on_broken` is told when nothing may
    be acknowledged any more.
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
        passing: Callable[[], float] | None = None,
        on_broken: Callable[[Exception], None] = lambda error: None,
        files: Files | None = None,
    ) -> None:
        self.retention, self._clock = retention, clock
        self.steady = SteadyClock(clock, passing or clock)
        self._it = it = Holdings(
            directory,
            metrics=metrics,
            retention=retention,
            limits=limits,
            archived=archived,
            cluster=cluster,
            clock=self.steady,
            on_broken=on_broken,
            files=files or Files(),
        )
        self.metrics, self.registry, self.head, self.pressed = it.metrics, it.registry, it.head, it.pressed
        self.commits, self.log, self.blocks, self.archive = it.commits, it.log, it.blocks, it.archive
        self._directory, self._catalogue = it.directory, it.catalogue
        self._reader = Reader(it.head, it.blocks)
        self._archive_reader = ThreadPoolExecutor(1, "archive")
        self._upkeep = Upkeep(it, clock)
        self._late = 0  # samples that wait for room
        self._sealer = self._upkeep.sealer

    def recover(self) -> Recovered:
        """Take what an earlier process left, before anything else."""
        return Recovery(self._it).run()

    # What there is

    @property
    def samples(self) -> int:
        """Stored since the start."""
        return self._it.samples

    @property
    def strained(self) -> bool:
        """Whether memory was short even when all was sealed the last time."""
        return self._it.strained

    @property
    def damaged(self) -> int:
        """Places on disk that could not be read."""
        return self._it.damaged

    @property
    def seals(self) -> int:
        """Times that memory was sealed into blocks."""
        return self._upkeep.seals

    @property
    def merges(self) -> int:
        """Times that single blocks were merged."""
        return self._upkeep.merges

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

    # Writing

    def number(self, key: SeriesKey) -> int:
        """The number to write the series under, until the next `write`. TooLarge at the series or the memory limit."""
        return self._it.number(key)

    @property
    def full(self) -> str:
        """Why no further series can be started now; empty while one can."""
        return self._it.full

    def taking(self) -> AbstractContextManager[None]:
        """While series get numbers that are written only later, none is forgotten."""
        return self._it.taking()

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
        """Return when all of it is durable and visible; Unavailable when it cannot be made so now.

        Late samples wait a while where memory is short: those that came before are being sealed.
        """
        if self.pressed.is_set() and len(columns.numbers) and columns.timestamps.min() < self._clock() - LATE:
            await self._wait_for_room(len(columns.numbers))
        await self.commits.write(columns, labels)

    async def _wait_for_room(self, samples: int) -> None:
        wait = LATE_WAIT if self._late + samples <= self._it.limits.waiting else 0
        self._late += samples
        try:
            with self.taking():
                await asyncio.wait_for(self._it.relieved.wait(), wait)
        except TimeoutError:
            text = "cannot store late samples now: those that came before have to be sealed first"
            raise Unavailable(text, RETRY_AFTER) from None
        finally:
            self._late -= samples

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

    def read(self, groups: Groups, start: int, end: int, points_max: int) -> Iterator[Totals]:
        """Sums of groups of series that hold samples: see Reader.totals."""
        return self._reader.totals(groups, start, end, points_max)

    def samples_of(
        self, cluster: str, host: str, start: int, end: int, metrics: Collection[str] = ()
    ) -> Iterator[tuple[SeriesKey, Ints, Floats]]:
        """The host's samples from `start` to before `end` (seconds), of these metrics or all, those of the archive left out.

        Series by series, each in pieces by time.
        """
        level = self.registry.find((cluster, host))
        for number in list(level.numbers()) if level else ():
            if number not in self.registry or (metrics and self.key(number).metric not in metrics):
                continue  # gone since we began
            key, at = self.key(number), start
            while number in self.registry and len(self.holding(one := np.array([number]))):  # they may go between two pieces
                first, last, step = self.extents(one)[0]
                at = max(at, first)  # blocks may have what is before
                if at >= (upto := min(end, last)):
                    break
                yield key, *self._reader.piece(number, at, min(upto, at + PIECE_SLOTS * step))
                at += PIECE_SLOTS * step

    def archived_until(self, cluster: str) -> int | None:
        """The time of the last sample of the cluster in the archive (seconds)."""
        found = self.archive.range(cluster)
        return found[1] if found else None

    def past(self, wanted: Wanted, points_max: int) -> asyncio.Future[Past]:
        """What the archive has, read beside all else, a request at a time: it takes long. See archiving.past."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._archive_reader, archiving.past, self.archive, wanted, points_max)

    def read_archived(self, wanted: Wanted, past: Past, points_max: int) -> Iterator[tuple[Totals, int] | None]:
        """Sums of one group of series, the archive's samples among them, and how many series these are: see archiving.read.

        Others may have a turn meanwhile; it counts only if the past is `current` when all is read.
        """
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
        return archiving.read(past, wanted, live, points_max)

    def current(self, past: Past, wanted: Wanted) -> bool:
        """Whether it is what the archive has of that: if not, what was in blocks then may be in the archive by now."""
        return past.version == self.archive.version and past.wanted == wanted._replace(groups=())

    def extents(self, numbers: Ints) -> list[tuple[int, int, int]]:
        """Of series that hold samples: when the first slot begins and the last one ends, and how long a slot is (seconds)."""
        series = self.head.series
        step = series.step[numbers].astype(np.int64)
        first, last = (series.times(numbers, series.slots(numbers, edge[numbers])) for edge in (series.first, series.last))
        begins = first - step // 2  # samples go to the slot they are nearest to
        return list(zip(begins.tolist(), (begins + last - first + step).tolist(), step.tolist(), strict=True))

    def fresh_columns(
        self, intervals: int, cluster: str = "", host: str = "", *part: str, interval: int = 1
    ) -> tuple[Ints, Ints, Floats]:
        """Number, timestamp and value of the last sample of every series that is at most so many of its intervals old.

        Of one host in every cluster, or in the one named, if it is named; of the part of it with that path (Place.path). One
        whose samples come more often than every `interval` seconds counts as if they came as often.
        """
        numbers = self._of_host(cluster, host, part) if host else np.flatnonzero(self.alive)
        return self.head.latest(numbers, int(self._clock()), intervals, interval)

    def _of_host(self, cluster: str, host: str, part: tuple[str, ...]) -> Ints:
        levels = (self.registry.find((name, host, *part)) for name in ([cluster] if cluster else self.clusters()))
        return np.array([number for level in levels if level for number in level.numbers()], np.int64)

    def labels_of(self, place: Place) -> dict[str, str]:
        """Labels of the place and of those above it."""
        return self.registry.labels_of(place)

    # Keeping: see Upkeep

    async def keep(self) -> None:
        """Seal, expire and merge what is due; called from time to time. OSError when the disk refuses: what was, stays."""
        await self._upkeep.keep()

    async def seal(self) -> None:
        """Put all that memory holds into blocks, and forget the log that led to it. OSError leaves what was."""
        await self._upkeep.seal()

    async def merge(self) -> bool:
        """Merge blocks for a while; whether there was anything to do. OSError leaves what was."""
        return await self._upkeep.merge()

    async def hold(self) -> Backup:
        """The files of the data folder as they are now, for a copy. OSError."""
        return await self._upkeep.hold()

    async def free(self, paths: Iterable[Sequence[str]], before: int) -> int:
        """Forget what series at or below the paths hold in windows that end before that time; how many pieces these were."""
        return await self._upkeep.free(paths, before)

    async def expire(self) -> int:
        """Forget what is past the retention; how many windows and stretches went. OSError when the disk refuses."""
        return await self._upkeep.expire()

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        await self._upkeep.close()
        self._archive_reader.shutdown()
