"""Group commit: whatever waits for the disk is written and synced together, by one thread, in the order it came.

An entry becomes visible (`apply` is called, on the event loop) after it is durable and before its writer is answered.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from metricstore.disk import formats
from metricstore.disk.formats import Columns, Kind
from metricstore.disk.log import Log, Payload
from metricwire.errors import Unavailable
from metricwire.samples import Labels, SeriesKey

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
RETRY_AFTER = 5  # seconds that a writer is told to wait while the disk takes nothing


class Entry(NamedTuple):
    """What one request writes."""

    columns: Columns
    labels: list[Labels]
    done: "asyncio.Future[None]"


class State(NamedTuple):
    """What a new segment repeats, so that older segments can go."""

    labels: list[Labels]
    frequencies: dict[str, int]


class Commits:
    """The queue in front of the log. `full` tells that the disk takes nothing now; it clears by itself."""

    def __init__(
        self,
        log: Log,
        key_of: Callable[[int], SeriesKey],
        apply: Callable[[Columns, list[Labels]], None],
        state: Callable[[], State],
        on_broken: Callable[[Exception], None],
        waiting_max: int,
    ) -> None:
        self.full = False
        self.waiting = 0  # samples and labels in the queue
        self.commits = 0
        self._log, self._key_of, self._apply, self._state = log, key_of, apply, state
        self._on_broken, self._waiting_max = on_broken, waiting_max
        self._named: set[int] = set()  # series that the current segment has named
        self._entries: list[Entry] = []
        self._thread = ThreadPoolExecutor(1, "log")
        self._task: asyncio.Task[None] | None = None

    async def write(self, columns: Columns, labels: list[Labels]) -> None:
        """Return when it is durable and visible. Unavailable when the disk takes nothing, or too much waits already."""
        count = len(columns.numbers) + len(labels)
        if self.waiting and self.waiting + count > self._waiting_max:
            raise Unavailable(f"cannot store now: more than {self._waiting_max} samples wait for the disk (limits.waiting)", 1)
        done = asyncio.get_running_loop().create_future()
        self._entries.append(Entry(columns, labels, done))
        self.waiting += count
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        """Commit until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._entries:
            entries, self._entries = self._entries, []
            try:
                state = self._state() if self._log.full else None
                await loop.run_in_executor(self._thread, self._commit, entries, state)
                self._publish(entries)
            except OSError as error:
                self._refuse(entries, error)
            except Exception as error:
                # What is durable now may not be visible, or the other way round: only a new start brings them together.
                logger.critical("BUG: cannot commit: %s; stopping", error, exc_info=error)
                self._on_broken(error)
                self._fail(entries, f"an error of the store: {error}")
            self.waiting -= sum(len(entry.columns.numbers) + len(entry.labels) for entry in entries)

    def begin_segment(self) -> None:
        """Begin a new segment with the state as it is; OSError leaves the old one in use, or none."""
        self._begin(self._state())

    def _begin(self, state: State) -> None:
        frequencies = list(state.frequencies.items())
        self._log.begin(
            [Payload(Kind.LABELS, formats.pack_labels(part)) for part in _chunks(state.labels)]
            + [Payload(Kind.FREQUENCIES, formats.pack_frequencies(dict(part))) for part in _chunks(frequencies)]
        )
        self._named = set()

    def _commit(self, entries: list[Entry], state: State | None) -> None:
        """In the log's thread: one append and one sync for all entries. All or none."""
        if state is not None:
            self._begin(state)
        records, newest = [], 0
        new: dict[int, None] = {}
        for entry in entries:
            if entry.labels:
                records.append(Payload(Kind.LABELS, formats.pack_labels(entry.labels)))
            if len(entry.columns.numbers):
                new |= dict.fromkeys(set(entry.columns.numbers.tolist()) - self._named)
                records.append(Payload(Kind.SAMPLES, formats.pack_samples(entry.columns)))
                newest = max(newest, int(entry.columns.timestamps.max()))
        named = ((number, self._key_of(number)) for number in new)
        series = [Payload(Kind.SERIES, formats.pack_series(part)) for part in _chunks(named)]
        self._log.append(series, records, newest)
        self._named |= new.keys()

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
        else:
            self.report_full(error)
        self._fail(entries, f"the disk refuses: {error.strerror or error}")

    def report_full(self, error: OSError) -> None:
        """The disk takes nothing now."""
        if not self.full:
            logger.error(
                "cannot write the log in %s: %s; samples are refused until the disk takes them", self._log.directory, error
            )
        self.full = True

    def _fail(self, entries: Iterable[Entry], cause: str) -> None:
        for entry in entries:
            if not entry.done.done():
                entry.done.set_exception(Unavailable(f"cannot store now: {cause}", RETRY_AFTER))

    async def close(self) -> None:
        """Commit what waits, then end the thread and close the log."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()
        self._log.close()


def _chunks(items: Iterable[Item]) -> Iterable[list[Item]]:
    """The items in lists of a record's size."""
    rest = iter(items)
    while part := list(itertools.islice(rest, formats.STATE_CHUNK)):
        yield part
