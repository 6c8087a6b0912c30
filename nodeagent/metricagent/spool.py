"""The spool: batches that the store has not acknowledged yet, on disk, bounded.

Every batch goes here first and leaves once the store has it, so that neither an outage of the store nor the end of the agent
loses one. What survives what is in spoolfile.py. Removing a batch is not synced: after a power cut a delivered one may be sent
again, which changes nothing, since the store keeps one value per series and slot.

When the limit is reached the oldest batches go, but never those that are just being sent. Two threads may use it at a time: one
that appends, one that delivers.
"""

import fcntl
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metricagent import spoolfile
from metricagent.books import Books
from metricagent.spoolfile import BATCH, DAMAGED, LOCK, TMP, Damaged
from metricwire.errors import MetricsError

DAMAGED_KEPT = 4  # damaged files kept for whoever wants to look; older ones are deleted
FOREIGN_NAMED = 3  # foreign things that the log names

logger = logging.getLogger(__name__)


class SpoolUnusable(MetricsError):
    """The folder cannot be a spool; the text says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch in the folder: how many samples, bytes of its file, bytes of its text."""

    sequence: int
    samples: int
    size: int
    text: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was read: `text` is line protocol, a line per sample."""

    stored: Stored
    text: bytes


class Spool:
    """The batches in `directory`, at most `limit` bytes. SpoolUnusable: it cannot be written, or another agent has it."""

    def __init__(self, directory: Path, limit: int, books: Books) -> None:
        self._directory = directory
        self._limit = limit
        self._books = books
        self._mutex = threading.Lock()
        self._stored: dict[int, Stored] = {}  # oldest first
        self._size = 0  # bytes of all files of _stored
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

    def append(self, text: bytes, samples: int) -> None:
        """Keep a batch of `samples` lines; what cannot be kept, or has to go for it, is counted as dropped."""
        data = spoolfile.pack(text, samples)
        with self._mutex:
            self._make_room(len(data))
            if self._size + len(data) > self._limit:
                self._books.drop(samples, "spool-full")
            elif self._write(data):
                self._enter(Stored(self._next, samples, len(data), len(text)))
                self._next = self._free(self._next + 1)
            else:
                self._books.drop(samples, "disk")
            self._count()

    def oldest(self, text: int) -> list[Batch]:
        """The oldest batch and those next to it, as long as all have at most `text` bytes of text; a damaged one is set aside.

        They stay, safe from the limit, until they are removed or this is called again.
        """
        with self._mutex:
            batches: list[Batch] = []
            for stored in list(self._stored.values()):
                if batches and stored.text > text:
                    break
                found = self._read(stored)
                if found is not None:
                    batches.append(Batch(stored, found))
                    text -= stored.text
            self._handed_out = {batch.stored.sequence for batch in batches}
            self._count()
            return batches

    def remove(self, batches: list[Batch]) -> None:
        """Forget what `oldest` gave: the store has it."""
        with self._mutex:
            for batch in batches:
                self._delete(batch.stored)
            self._handed_out.clear()
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
        spoolfile.probe(self._directory, self._next)
        self._books.restored.inc(sum(stored.samples for stored in self._stored.values()))
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
                samples, text = spoolfile.measure(file.read(spoolfile.HEADER.size), size)
        except (OSError, Damaged) as error:
            self._set_aside(sequence, str(error))
        else:
            self._enter(Stored(sequence, samples, size, text))

    def _enter(self, stored: Stored) -> None:
        self._stored[stored.sequence] = stored
        self._size += stored.size

    def _leave(self, stored: Stored) -> None:
        del self._stored[stored.sequence]
        self._size -= stored.size

    def _make_room(self, size: int) -> None:
        for stored in list(self._stored.values()):
            if self._size + size <= self._limit:
                break
            if stored.sequence not in self._handed_out:
                self._delete(stored)
                self._books.drop(stored.samples, "spool-full")

    def _write(self, data: bytes) -> bool:
        try:
            spoolfile.write(self._directory, self._next, data)
        except OSError as error:
            if not self._failing:
                logger.warning("cannot write spool %s: %s; samples are lost until it can be", self._directory, error.strerror)
            self._failing = True
            return False
        if self._failing:
            logger.info("spool %s can be written again", self._directory)
        self._failing = False
        return True

    def _read(self, stored: Stored) -> bytes | None:
        """The text of a batch; None when it is damaged, which it then is no more."""
        try:
            text = spoolfile.unpack((self._directory / spoolfile.name(stored.sequence, BATCH)).read_bytes())
            if text.count(b"\n") != stored.samples:
                raise Damaged(f"it has not {stored.samples} lines")
        except (OSError, Damaged) as error:
            self._leave(stored)
            self._books.drop(stored.samples, "damaged")
            self._set_aside(stored.sequence, str(error))
            return None
        return text

    def _set_aside(self, sequence: int, why: str) -> None:
        """Rename a damaged batch, and keep only the newest few of these."""
        self._books.damaged_files.inc()
        logger.warning("spooled batch %016x is damaged: %s; it is set aside", sequence, why)
        with suppress(OSError):
            (self._directory / spoolfile.name(sequence, BATCH)).rename(self._directory / spoolfile.name(sequence, DAMAGED))
            ours = [path for path in self._directory.glob("*" + DAMAGED) if spoolfile.is_ours(path)]
            for path in sorted(ours)[:-DAMAGED_KEPT]:
                path.unlink()

    def _delete(self, stored: Stored) -> None:
        self._leave(stored)
        with suppress(OSError):  # what stays there is sent again after a restart, to no harm
            (self._directory / spoolfile.name(stored.sequence, BATCH)).unlink()

    def _count(self) -> None:
        self._books.spooled.set(sum(stored.samples for stored in self._stored.values()))
        self._books.spool_bytes.set(self._size)


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
