"""Group commit: whatever waits for the disk is written and synced together, by one thread, in the order it came.

An entry becomes visible (`apply` is called, on the event loop) after it is durable and before its writer is answered.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import formats
from metricstore.disk.catalogue import Catalogue
from metricstore.disk.formats import Columns, Freed, Kind
from metricstore.disk.log import Log
from metricstore.disk.records import Payload, payloads
from metricwire.errors import Unavailable
from metricwire.samples import Labels, SeriesKey

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds that a writer is told to wait while the disk takes nothing
SAY_TIME = 600  # seconds after which the log is told again what time it is
PAUSE = 0.004  # seconds from one commit to the next, unless all wait who wrote lately: who comes meanwhile shares a sync


class Entry(NamedTuple):
    """What one request writes."""

    columns: Columns
    labels: Sequence[Labels]
    freed: Freed | None
    size: int  # samples and labels
    done: "asyncio.Future[None]"


class Batch(NamedTuple):
    """What is committed together: all that changes the samples, in order, then labels."""

    columns: Columns
    labels: list[Labels]
    freed: list[Freed]


class Repeated(NamedTuple):
    """What a new segment repeats, so that older segments can go. `time`: by which samples age (seconds)."""

    time: int
    labels: list[Labels]
    frequencies: dict[str, int]


class Commits:
    """The queue in front of the log. `full` tells that the disk takes nothing now; it clears by itself."""

    def __init__(
        self,
        log: Log,
        catalogue: Catalogue,
        key_of: Callable[[int], SeriesKey],
        apply: Callable[[Batch], None],
        repeated: Callable[[], Repeated],
        on_broken: Callable[[Exception], None],
        waiting_max: int,
        clock: Callable[[], float],
    ) -> None:
        self.full = False
        self.waiting = 0  # samples and labels in the queue
        self.commits = 0
        self._log, self._catalogue = log, catalogue
        self._key_of, self._apply, self._repeated = key_of, apply, repeated
        self._on_broken, self._waiting_max, self._clock = on_broken, waiting_max, clock
        self._said = 0  # the time that the log was last told
        self._named = np.zeros(1024, bool)  # by number: the catalogue has it
        self._entries: list[Entry] = []
        self._rotations: list[asyncio.Future[int]] = []
        self._thread = ThreadPoolExecutor(1, "log")
        self._task: asyncio.Task[None] | None = None
        self._begun = 0.0  # when the last commit began
        self._writers = 1  # whose entries it had, or that came while it was made
        self._all_wait = asyncio.Event()  # as many wait

    async def write(self, columns: Columns, labels: Sequence[Labels], freed: Freed | None = None) -> None:
        """Return when it is durable and visible. Unavailable when the disk takes nothing, or too much waits already."""
        size = len(columns.numbers) + len(labels)
        if self.waiting and self.waiting + size > self._waiting_max:
            raise Unavailable(f"cannot store now: more than {self._waiting_max} samples wait for the disk (limits.waiting)", 1)
        done = asyncio.get_running_loop().create_future()
        self._entries.append(Entry(columns, labels, freed, size, done))
        self.waiting += size
        if len(self._entries) == self._writers:
            self._all_wait.set()
        self._go()
        await done

    async def rotate(self) -> int:
        """Begin a new segment; its number. All that earlier ones hold is visible then. OSError."""
        done = asyncio.get_running_loop().create_future()
        self._rotations.append(done)
        self._go()
        number: int = await done
        return number

    async def trim(self, first: int) -> None:
        """Remove the log's segments before that one. OSError leaves some."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._log.trim, first)

    async def rewrite(self, named: Sequence[tuple[int, SeriesKey]]) -> None:
        """Let the catalogue name these and no others. OSError leaves what it names."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._catalogue.rewrite, named)

    def _go(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Commit until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._entries or self._rotations:
            if self._rotations:
                await self._rotate(loop)
                continue
            if len(self._entries) < self._writers:
                await self._gather(loop)
            self._begun = loop.time()
            entries, self._entries = self._entries, []
            batch = _together(entries)
            try:
                repeated = self._repeated() if self._log.full else None
                await loop.run_in_executor(self._thread, self._commit, batch, repeated, self._time_due())
                self._publish(batch, entries)
            except OSError as error:
                self._refuse(entries, error)
            except Exception as error:
                # What is durable now may not be visible, or the other way round: only a new start brings them together.
                logger.critical("BUG: cannot commit: %s; stopping", error, exc_info=error)
                self._on_broken(error)
                _fail(entries, f"an error of the store: {error}")
            self.waiting -= sum(entry.size for entry in entries)
            self._writers = len(entries) + len(self._entries)

    def _time_due(self) -> int | None:
        """The time, when the log has not been told for long."""
        now = int(self._clock())
        if abs(now - self._said) <= SAY_TIME:
            return None
        self._said = now
        return now

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for those who wrote lately, but not longer than the rest of the pause."""
        self._all_wait.clear()
        timer = loop.call_at(self._begun + PAUSE, self._all_wait.set)
        await self._all_wait.wait()
        timer.cancel()

    async def _rotate(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._rotations = self._rotations, []
        try:
            number: int = await loop.run_in_executor(self._thread, self._begin, self._repeated())
        except OSError as error:
            for one in waiting:
                if not one.done():  # who asked may have been cancelled
                    one.set_exception(error)
        else:
            for one in waiting:
                if not one.done():
                    one.set_result(number)

    def begin_segment(self) -> None:
        """Begin a new segment with the state as it is; OSError leaves the old one in use, or none."""
        self._begin(self._repeated())

    def _begin(self, repeated: Repeated) -> int:
        frequencies = list(repeated.frequencies.items())
        return self._log.begin(
            [
                Payload(Kind.TIME, formats.pack_time(repeated.time)),
                *payloads(Kind.LABELS, formats.pack_labels, repeated.labels),
                *payloads(Kind.FREQUENCIES, lambda part: formats.pack_frequencies(dict(part)), frequencies),
            ]
        )

    def known(self, numbers: NDArray[np.int64]) -> None:
        """The catalogue has these series."""
        self._reserve(int(numbers.max(initial=0)) + 1)
        self._named[numbers] = True

    def _reserve(self, size: int) -> None:
        if size > len(self._named):
            self._named = np.concatenate([self._named, np.zeros(max(size, 2 * len(self._named)) - len(self._named), bool)])

    def _commit(self, batch: Batch, repeated: Repeated | None, time: int | None) -> None:
        """In the log's thread: one append and one sync for all, the time with them if it is due.

        All or none; names of series may stay without samples.
        """
        if self._catalogue.broken:
            raise self._catalogue.broken
        if repeated is not None:
            self._begin(repeated)
        records = list(payloads(Kind.LABELS, formats.pack_labels, batch.labels))
        numbers = batch.columns.numbers
        if len(numbers):
            self._reserve(int(numbers.max()) + 1)
            named = self._named[numbers]
            if not named.all():
                new = np.unique(numbers[~named])
                self._catalogue.append([(number, self._key_of(number)) for number in new.tolist()])
                self._named[new] = True
            for at in range(0, len(numbers), _RECORD_SAMPLES):
                part = batch.columns.at(slice(at, at + _RECORD_SAMPLES))
                records.append(Payload(Kind.SAMPLES, formats.pack_samples(part)))
        if time is not None:
            records.append(Payload(Kind.TIME, formats.pack_time(time)))
        records += [Payload(Kind.FREED, formats.pack_freed(one)) for one in batch.freed]
        self._log.append(records)

    def _publish(self, batch: Batch, entries: Iterable[Entry]) -> None:
        if self.full:
            self.full = False
            logger.info("the disk takes samples again")
        self.commits += 1
        self._apply(batch)
        for entry in entries:
            if not entry.done.done():  # its client may have gone
                entry.done.set_result(None)

    def _refuse(self, entries: list[Entry], error: OSError) -> None:
        if self._log.broken or self._catalogue.broken:
            logger.critical("cannot write the log: %s; stopping, nothing more is acknowledged", error)
            self._on_broken(error)
        else:
            self.report_full(error)
        _fail(entries, f"the disk refuses: {error.strerror or error}")

    def report_full(self, error: OSError) -> None:
        """The disk takes nothing now."""
        if not self.full:
            logger.error(
                "cannot write the log in %s: %s; samples are refused until the disk takes them", self._log.directory, error
            )
        self.full = True

    async def close(self) -> None:
        """Commit what waits, then end the thread and close the files."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()
        self._log.close()
        self._catalogue.close()


_RECORD_SAMPLES = 2_000_000  # of one record, which has an end (formats.RECORD_LONGEST)


def _together(entries: list[Entry]) -> Batch:
    """All entries as one; what is freed comes after the samples that came with it: an entry has one or the other."""
    columns = [entry.columns for entry in entries if len(entry.columns.numbers)]
    joined = Columns.joined(columns) if columns else NO_SAMPLES
    labels = [one for entry in entries for one in entry.labels]
    return Batch(joined, labels, [entry.freed for entry in entries if entry.freed])


NO_SAMPLES = Columns(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.float64))


def _fail(entries: Iterable[Entry], cause: str) -> None:
    for entry in entries:
        if not entry.done.done():
            entry.done.set_exception(Unavailable(f"cannot store now: {cause}", RETRY_AFTER))
