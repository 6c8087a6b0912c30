"""The spool: batches that the store has not acknowledged yet, on disk, bounded.

Every batch goes here first and leaves once the store has it, so that neither an outage of the store nor the end of the agent
loses one. What survives what is in spoolfile.py. Removing a batch is not synced: after a power cut a delivered one may be sent
again, which changes nothing, since the store keeps one value per series and slot.

When the limit is reached the oldest batches go, but never those that are just being sent. What the disk does not take stays in
memory, a little of it, is delivered from there, and is written as soon as the disk takes something again. Three threads may use
a spool at a time: one that appends, one that delivers the newest batch, one that delivers the others.
"""

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metricagent import spoolfile
from metricagent.books import Books
from metricagent.encoding import Encoding
from metricagent.spoolfile import BATCH, DAMAGED, LOCK, TMP, Damaged, Packed
from metricwire.errors import MetricsError

DAMAGED_KEPT = 4  # damaged files kept for whoever wants to look; older ones are deleted
FOREIGN_NAMED = 3  # foreign things that the log names
MEMORY = 4 * 1024 * 1024  # bytes of batches that are kept while the disk takes none: minutes of a large host
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # a disk that is merely full may have room again

logger = logging.getLogger(__name__)


class SpoolUnusable(MetricsError):
    """The folder cannot be a spool; the text says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that waits: how many samples, bytes that it takes on a disk, bytes of its text."""

    sequence: int
    samples: int
    size: int
    text: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was read."""

    stored: Stored
    packed: Packed


class Spool:
    """The batches in `directory`, at most `limit` bytes. SpoolUnusable: it cannot be written, or another agent has it.

    New ones are compressed as `encoding` says; PLAIN is for those who send, and here as good as ZSTD.
    """

    def __init__(self, directory: Path, limit: int, books: Books, encoding: Encoding = Encoding.ZSTD) -> None:
        self._directory = directory
        self._limit = limit
        self._books = books
        self._encoding = Encoding.ZSTD if encoding is Encoding.PLAIN else encoding
        self._mutex = threading.Lock()
        self._stored: dict[int, Stored] = {}  # oldest first
        self._size = 0  # bytes of all batches of _stored
        self._held: dict[int, bytes] = {}  # those of them that are in memory alone
        self._newest: int | None = None  # the one that has a lane of its own, for as long as it waits
        self._handed_out: set[int] = set()
        self._failing = False
        self._lock = _locked(directory)
        self._next = 1
        self._occupied: frozenset[int] = frozenset()  # numbers that the start found: of batches, and of what is not ours
        try:
            self._scan()
        except OSError as error:
            self.close()
            raise SpoolUnusable(f"cannot use spool {directory}: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def behind(self) -> bool:
        """Whether others than the newest wait."""
        return len(self._stored) > (self._newest is not None)

    def append(self, text: bytes, samples: int) -> None:
        """Keep a batch of `samples` lines; what cannot be kept, or has to go for it, is counted as dropped."""
        data = spoolfile.pack(text, samples, self._encoding)
        with self._mutex:
            size = spoolfile.footprint(len(data))
            if size <= self._limit:  # room is of no use to what never fits
                self._make_room(size)
            if self._size + size > self._limit:
                self._books.drop(samples, "spool-full")
            else:
                stored = Stored(self._next, samples, size, len(text))
                self._next = self._free(self._next + 1)
                self._newest = stored.sequence
                self._enter(stored)
                self._held[stored.sequence] = data
                self._write_held()
            self._count()

    def newest(self) -> list[Batch]:
        """The newest batch, if it waits: alone, so that no earlier one is in its way. It stays until it is removed."""
        with self._mutex:
            if self._newest is None or self._newest in self._handed_out:
                return []
            return self._hand_out([self._stored[self._newest]], 0)

    def oldest(self, text: int) -> list[Batch]:
        """The oldest batches but the newest, as many as have `text` bytes of text, and at least one.

        They stay, safe from the limit, until they are removed or released; a damaged one is set aside.
        """
        with self._mutex:
            return self._hand_out(
                (
                    stored
                    for stored in list(self._stored.values())
                    if stored.sequence != self._newest and stored.sequence not in self._handed_out
                ),
                text,
            )

    def release(self, batches: Iterable[Batch]) -> None:
        """Whoever had these does not send them any more."""
        with self._mutex:
            self._handed_out.difference_update(batch.stored.sequence for batch in batches)

    def settle(self, batches: list[Batch], *, rejected: int, too_large: int) -> None:
        """The store has answered for these: forget and count them."""
        with self._mutex:
            there = [batch.stored for batch in batches if batch.stored.sequence in self._stored]
            samples = sum(stored.samples for stored in there)  # those given up meanwhile are counted already
            on_disk = sum(stored.samples for stored in there if stored.sequence not in self._held)
            for stored in there:
                self._delete(stored)
            rejected = min(rejected, samples)
            too_large = min(too_large, samples - rejected)
            self._books.settle(samples, rejected=rejected, too_large=too_large, on_disk=on_disk)
            self._count()

    def close(self) -> None:
        """Let another agent have the folder."""
        os.close(self._lock)

    def _scan(self) -> None:
        """Find what an earlier run has left. The folder is written to, so that a read-only one is noticed now."""
        paths = sorted(self._directory.iterdir())
        self._occupied = frozenset(sequence for path in paths if (sequence := spoolfile.sequence(path)) is not None)
        self._next = self._free(1 + max((number for number in self._occupied if number < spoolfile.HALF), default=0))
        foreign = [path.name for path in paths if path.name != LOCK and not spoolfile.is_ours(path)]
        if foreign:
            logger.warning(
                "spool %s holds %d things that are not this agent's; they are left alone: %s",
                self._directory,
                len(foreign),
                ", ".join(map(repr, foreign[:FOREIGN_NAMED])) + (" ..." if len(foreign) > FOREIGN_NAMED else ""),
            )
        for path in paths:
            if path.suffix == BATCH and spoolfile.is_ours(path):
                self._restore(int(path.stem, 16), path)
            elif path.suffix == TMP and spoolfile.is_ours(path):
                path.unlink()
        self._newest = max((number for number in self._stored if number < self._next), default=None)
        try:
            spoolfile.probe(self._directory, self._next)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        self._books.restored(sum(stored.samples for stored in self._stored.values()))
        self._count()

    def _free(self, sequence: int) -> int:
        """The next number, from this one on, that nothing in the folder has."""
        while sequence in self._occupied:
            sequence += 1
        return sequence

    def _restore(self, sequence: int, path: Path) -> None:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                _, samples, text = spoolfile.measure(file.read(spoolfile.HEADER.size), size)
        except (OSError, Damaged) as error:
            self._set_aside(sequence, str(error))
        else:
            self._enter(Stored(sequence, samples, spoolfile.footprint(size), text))

    def _enter(self, stored: Stored) -> None:
        self._stored[stored.sequence] = stored
        self._size += stored.size

    def _leave(self, stored: Stored) -> None:
        del self._stored[stored.sequence]
        self._size -= stored.size
        self._handed_out.discard(stored.sequence)
        if stored.sequence == self._newest:
            self._newest = None

    def _make_room(self, size: int) -> None:
        for stored in list(self._stored.values()):
            if self._size + size <= self._limit:
                break
            self._give_up(stored, "spool-full")

    def _give_up(self, stored: Stored, reason: str) -> None:
        """Forget a batch, unless it is being sent."""
        if stored.sequence not in self._handed_out:
            self._books.drop(stored.samples, reason, on_disk=stored.sequence not in self._held)
            self._delete(stored)

    def _write_held(self) -> None:
        """Bring what is in memory onto the disk, oldest first, up to the first that it does not take."""
        for sequence, data in list(self._held.items()):
            try:
                spoolfile.write(self._directory, sequence, data)
            except OSError as error:
                self._hold(error)
                return
            del self._held[sequence]
            self._books.spooled(self._stored[sequence].samples)
        if self._failing:
            logger.info("spool %s can be written again", self._directory)
        self._failing = False

    def _hold(self, error: OSError) -> None:
        """The disk takes nothing: what is in memory stays there, the newest of it."""
        if not self._failing:
            logger.warning(
                "cannot write spool %s: %s; keeping up to %d bytes of samples in memory",
                self._directory,
                error.strerror,
                MEMORY,
            )
        self._failing = True
        for sequence in list(self._held):
            if sum(map(len, self._held.values())) <= MEMORY:
                break
            self._give_up(self._stored[sequence], "disk")

    def _hand_out(self, waiting: Iterable[Stored], text: int) -> list[Batch]:
        """The first of these, at least one and at most `text` bytes of text, that can be read."""
        batches: list[Batch] = []
        for stored in waiting:
            if batches and stored.text > text:
                break
            packed = self._read(stored)
            if packed is not None:
                batches.append(Batch(stored, packed))
                text -= stored.text
        self._handed_out.update(batch.stored.sequence for batch in batches)
        self._count()
        return batches

    def _read(self, stored: Stored) -> Packed | None:
        """A batch; None when it is damaged, which it then is no more."""
        try:
            held = self._held.get(stored.sequence)
            return spoolfile.unpack(held or (self._directory / spoolfile.name(stored.sequence, BATCH)).read_bytes())
        except (OSError, Damaged) as error:
            self._leave(stored)
            self._books.drop(stored.samples, "damaged", on_disk=True)
            self._set_aside(stored.sequence, str(error))
            return None

    def _set_aside(self, sequence: int, why: str) -> None:
        """Rename a damaged batch, and keep only the newest few of these."""
        self._books.damaged()
        logger.warning("spooled batch %016x is damaged: %s; it is set aside", sequence, why)
        with suppress(OSError):
            (self._directory / spoolfile.name(sequence, BATCH)).rename(self._directory / spoolfile.name(sequence, DAMAGED))
            ours = [path for path in self._directory.glob("*" + DAMAGED) if spoolfile.is_ours(path)]
            for path in sorted(ours)[:-DAMAGED_KEPT]:
                path.unlink()

    def _delete(self, stored: Stored) -> None:
        self._leave(stored)
        if self._held.pop(stored.sequence, None) is None:
            with suppress(OSError):  # what stays there is sent again after a restart, to no harm
                (self._directory / spoolfile.name(stored.sequence, BATCH)).unlink()

    def _count(self) -> None:
        self._books.size(self._size)


def _locked(directory: Path) -> int:
    """The open lock file of the folder, which is made if need be."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / spoolfile.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolUnusable(f"cannot write spool {directory}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SpoolUnusable(f"cannot use spool {directory}: another agent uses it") from None
    return lock
