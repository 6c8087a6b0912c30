"""The log: records appended to segments, made durable by a sync, read back in order at the next start.

Theory of operation
- Every start begins a new segment, so nothing is ever written behind a torn tail.
- Records are appended all or none: what a full disk took of them is cut off again.
- After a failed sync nothing more is written: what the disk holds is unknown, and only a new start can find out.
- Reading skips what is damaged: it looks for the next record whose checksum holds, counts the damage, and goes on.
- What names the series goes to a second file first, so that damage in one of the two loses no other record's samples.
"""

import errno
import mmap
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Damaged, Kind

SEGMENT_BYTES = 64 * 1024**2  # a segment with more is followed by a new one
_PARTS = 512  # records given to one writev; the kernel takes 1024
_MAGIC = re.compile(re.escape(formats.RECORD_MAGIC))


class Payload(NamedTuple):
    """A record's content."""

    kind: Kind
    payload: bytes


class Record(NamedTuple):
    """A record as it was appended, and the number of its segment."""

    segment: int
    kind: Kind
    payload: bytes


@dataclass(slots=True)
class Segment:
    """One segment: `newest` is the latest timestamp in it (seconds)."""

    path: Path
    number: int
    newest: int = 0


class Appendable:
    """A file that grows by whole groups of records. `size` is what is durable."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path, self.size = path, 0
        self._files = files
        self._file = files.create(path)

    def append(self, parts: Sequence[bytes]) -> None:
        """All of the parts, or OSError and none."""
        try:
            for at in range(0, len(parts), _PARTS):
                self._write(parts[at : at + _PARTS])
        except OSError:
            self._files.truncate(self._file, self.size)
            raise
        self.size += sum(map(len, parts))

    def _write(self, parts: Sequence[bytes]) -> None:
        rest = memoryview(b"".join(parts))
        while rest:
            taken = self._files.append(self._file, [rest])
            if taken == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[taken:]

    def sync(self) -> None:
        """What was appended survives a power cut."""
        self._files.sync(self._file)

    def close(self) -> None:
        """Give the descriptor back."""
        self._files.close(self._file)

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        self._files.remove(self.path)


class Log:
    """One data folder's log. `damaged` counts the places at which reading had to skip bytes."""

    def __init__(self, directory: Path, files: Files, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self.damaged = 0
        self.broken: OSError | None = None
        self._files, self._segment_bytes = files, segment_bytes
        self._closed: list[Segment] = []
        self._current: Segment | None = None
        self._records: Appendable | None = None
        self._names: Appendable | None = None
        self._marker = b""
        self._begun_with = 0  # bytes of state that the current segment repeats

    def replay(self) -> Iterator[Record]:
        """All records, segment by segment, oldest first; the series records in the file beside a segment before its own."""
        found = [(int(name[1]), bytes.fromhex(name[2]), path) for path in self.directory.iterdir() if (name := _segment(path))]
        for number, marker, path in sorted(found):
            self._closed.append(Segment(path, number))
            for part in (path.with_name(formats.names_name(path.name)), path):
                yield from (Record(number, kind, payload) for kind, payload in self._read(part, marker))

    def saw(self, newest: int) -> None:
        """Tell the log the latest timestamp of the record that `replay` has just given."""
        self._closed[-1].newest = max(self._closed[-1].newest, newest)

    def _read(self, path: Path, marker: bytes) -> Iterator[Payload]:
        if not path.is_file() or path.stat().st_size == 0:
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            at = 0
            while at < len(content):
                try:
                    found = _record_at(content, at, marker)
                except Damaged:
                    self.damaged += 1
                    at = _next_record(content, at + 1, marker)
                    continue
                yield found
                at += formats.RECORD_HEAD.size + len(found.payload)

    def begin(self, state: Sequence[Payload]) -> None:
        """Begin a new segment that holds the state first. OSError leaves the log as it was."""
        if self.broken:
            raise self.broken
        number = 1 + max((segment.number for segment in (*self._closed, *self._open())), default=0)
        marker = secrets.token_bytes(8)
        path = self.directory / formats.segment_name(number, marker)
        made: list[Appendable] = []
        try:
            made += [Appendable(path, self._files)]
            made += [Appendable(path.with_name(formats.names_name(path.name)), self._files)]
            made[0].append([formats.record(marker, *one) for one in state])
            made[0].sync()
            self._files.sync_directory(self.directory)
        except OSError:
            for file in made:
                file.discard()
            raise
        self.close()
        self._records, self._names, self._marker = made[0], made[1], marker
        self._current = Segment(path, number)
        self._begun_with = made[0].size

    @property
    def full(self) -> bool:
        """Whether the next records belong into a new segment."""
        return self._records is None or self._records.size - self._begun_with >= self._segment_bytes

    def append(self, series: Sequence[Payload], records: Sequence[Payload], newest: int) -> None:
        """Append the series records and then the others, and make them durable, or none: then OSError.

        `newest` is the latest timestamp in them. After a failed sync `broken` is set, and everything further fails.
        """
        if self.broken or self._records is None or self._names is None or self._current is None:
            raise self.broken or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        named = [formats.record(self._marker, *one) for one in series]
        if named:
            self._names.append(named)
            self._sync(self._names)
        self._records.append([*named, *(formats.record(self._marker, *one) for one in records)])
        self._sync(self._records)
        self._current.newest = max(self._current.newest, newest)

    def _sync(self, file: Appendable) -> None:
        try:
            file.sync()
        except OSError as error:
            self.broken = error
            raise

    def trim(self, before: int) -> int:
        """Remove the closed segments whose samples are all older; how many these were."""
        old = [segment for segment in self._closed if segment.newest < before]
        for segment in old:
            for path in (segment.path, segment.path.with_name(formats.names_name(segment.path.name))):
                if path.exists():
                    self._files.remove(path)
            self._closed.remove(segment)
        if old:
            self._files.sync_directory(self.directory)
        return len(old)

    def close(self) -> None:
        """Close the current segment; what was appended is durable already."""
        for file in (self._records, self._names):
            if file is not None:
                file.close()
        self._closed += self._open()
        self._records = self._names = self._current = None

    def _open(self) -> list[Segment]:
        return [self._current] if self._current else []

    @property
    def bytes(self) -> int:
        """Bytes of the log on disk."""
        return sum(path.stat().st_size for path in self.directory.iterdir() if path.is_file())


def _segment(path: Path) -> re.Match[str] | None:
    """Number and marker in the name of a segment; None for what is not ours, which is left alone."""
    return formats.SEGMENT_NAME.fullmatch(path.name) if path.is_file() else None


def _record_at(content: mmap.mmap, at: int, marker: bytes) -> Payload:
    """The record that begins there; Damaged when none does."""
    body = at + formats.RECORD_HEAD.size
    if body > len(content):
        raise Damaged("the file ends inside a record")
    magic, kind, length, crc = formats.RECORD_HEAD.unpack(content[at:body])
    if magic != formats.RECORD_MAGIC or length > min(formats.RECORD_LONGEST, len(content) - body):
        raise Damaged("no record begins here")
    payload = content[body : body + length]
    if formats.checksum(marker, kind, payload) != crc:
        raise Damaged("the checksum does not match")
    if kind not in Kind.__members__.values():
        raise Damaged(f"unknown kind {kind}")
    return Payload(Kind(kind), payload)


def _next_record(content: mmap.mmap, at: int, marker: bytes) -> int:
    """Where the next record begins at or after `at`; the end of the file where none does."""
    for found in _MAGIC.finditer(content, at):
        try:
            _record_at(content, found.start(), marker)
        except Damaged:
            continue
        return found.start()
    return len(content)
