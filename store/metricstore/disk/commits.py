"""Group commit: whatever waits for the disk is written and synced together, by one thread, in the order it came.

An entry becomes visible (`apply` is called, on the event loop) after it is durable and before its writer is answered.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from metricstore.disk import formats
from metricstore.disk.formats import Columns, Kind
from metricstore.disk.log import Log
from metricwire.errors import Unavailable
from metricwire.samples import Labels, SeriesKey

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds that a writer is told to wait while the disk takes nothing


class Entry(NamedTuple):
    """What one request writes."""

    columns: Columns
    labels: list[Labels]
    done: "asyncio.Future[None]"


class Carried(NamedTuple):
    """What a new segment repeats of the state, so that older segments can go."""

    labels: list[Labels]
    frequencies: Mapping[str, int]


class Commits:
    """The queue in front of the log. `full` tells that the disk takes nothing now; it clears by itself."""

    def __init__(
        self,
        log: Log,
        key_of: Callable[[int], SeriesKey],
        apply: Callable[[Columns, list[Labels]], None],
        carried: Callable[[], Carried],
        on_broken: Callable[[OSError], None],
        waiting_max: int,
    ) -> None:
        self.full = False
        self.waiting = 0  # samples in the queue
        self.commits = 0
        self._log, self._key_of, self._apply, self._carried = log, key_of, apply, carried
        self._on_broken, self._waiting_max = on_broken, waiting_max
        self._named: set[int] = set()  # series that the current segment has named
        self._entries: list[Entry] = []
        self._thread = ThreadPoolExecutor(1, "log")
        self._task: asyncio.Task[None] | None = None

    async def write(self, columns: Columns, labels: list[Labels]) -> None:
        """Return when it is durable and visible. Unavailable when the disk takes nothing, or too much waits already."""
        if self.waiting and self.waiting + len(columns.numbers) > self._waiting_max:
            raise Unavailable(f"cannot store now: more than {self._waiting_max} samples wait for the disk (limits.waiting)", 1)
        done = asyncio.get_running_loop().create_future()
        self._entries.append(Entry(columns, labels, done))
        self.waiting += len(columns.numbers)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        """Commit until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._entries:
            entries, self._entries = self._entries, []
            try:
                carried = self._carried() if self._log.full else None
                await loop.run_in_executor(self._thread, self._commit, entries, carried)
            except OSError as error:
                self._refuse(entries, error)
            else:
                self._publish(entries)
            self.waiting -= sum(len(entry.columns.numbers) for entry in entries)

    def begin_segment(self, carried: Carried) -> None:
        """Start a new segment that begins with the state; on OSError the old one goes on."""
        records = []
        if carried.labels:
            records.append(formats.record(Kind.LABELS, formats.pack_labels(carried.labels)))
        if carried.frequencies:
            records.append(formats.record(Kind.FREQUENCIES, formats.pack_frequencies(carried.frequencies)))
        self._log.start()
        self._named = set()
        if records:
            self._log.append(records, 0)

    def _commit(self, entries: list[Entry], carried: Carried | None) -> None:
        """In the log's thread: one append and one sync for all entries. All or none."""
        if carried is not None:
            self.begin_segment(carried)
        named: set[int] = set()
        records, newest = [], 0
        for entry in entries:
            if entry.labels:
                records.append(formats.record(Kind.LABELS, formats.pack_labels(entry.labels)))
            if not len(entry.columns.numbers):
                continue
            new = set(entry.columns.numbers.tolist()) - self._named - named
            named |= new
            definitions = ((number, self._key_of(number)) for number in new)
            records.append(formats.record(Kind.SAMPLES, formats.pack_samples(entry.columns, definitions)))
            newest = max(newest, int(entry.columns.timestamps.max()))
        self._log.append(records, newest)
        self._named |= named

    def _publish(self, entries: list[Entry]) -> None:
        if self.full:
            self.full = False
            logger.info("the disk takes samples again")
        self.commits += 1
        for entry in entries:
            self._apply(entry.columns, entry.labels)
            if not entry.done.done():  # its client may have gone
                entry.done.set_result(None)

    def _refuse(self, entries: list[Entry], error: OSError) -> None:
        if self._log.broken:
            logger.critical("cannot write the log: %s; stopping, nothing more is acknowledged", error)
            self._on_broken(error)
        elif not self.full:
            self.full = True
            logger.error("cannot write the log: %s; samples are refused until the disk takes them", error)
        for entry in entries:
            if not entry.done.done():
                cause = f"cannot store now: the disk refuses: {error.strerror or error}"
                entry.done.set_exception(Unavailable(cause, RETRY_AFTER))

    async def close(self) -> None:
        """Commit what waits, then end the thread and close the log."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()
        self._log.close()
