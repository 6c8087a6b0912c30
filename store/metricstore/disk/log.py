"""The log: records appended to segments, made durable by `sync`, read back in order at the next start.

Theory of operation
- Every start begins a new segment, so nothing is ever written behind a torn tail.
- A record is appended whole or not at all: what a full disk took of it is cut off again.
- After a failed sync nothing more is written: what the disk holds is unknown, and only a new start can find out.
- Reading skips what is damaged: it looks for the next record whose checksum holds, counts the damage, and goes on.
"""

import errno
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Damaged, Kind

SEGMENT_BYTES = 64 * 1024**2  # a segment that is longer is followed by a new one
_PARTS = 512  # records given to one writev; the kernel takes 1024


class Record(NamedTuple):
    """A record as it was appended."""

    segment: int
    kind: Kind
    payload: bytes


@dataclass(slots=True)
class Segment:
    """A closed segment: `newest` is the latest timestamp in it (seconds)."""

    number: int
    newest: int


class Log:
    """One data folder's log. `damaged` counts the places at which reading had to skip bytes."""

    def __init__(self, directory: Path, files: Files, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self.damaged = 0
        self.broken: OSError | None = None
        self.size = 0  # bytes of the current segment
        self.newest = 0  # latest timestamp in the current segment
        self.number = 0  # of the current segment
        self._files = files
        self._segment_bytes = segment_bytes
        self._closed: list[Segment] = []
        self._file = -1

    def replay(self) -> Iterator[Record]:
        """All records of all segments, oldest first."""
        for path in sorted(self.directory.glob(f"*{formats.SEGMENT_SUFFIX}")):
            if not path.stem.isdecimal():
                continue  # not ours: left alone
            self.number = int(path.stem)
            self._closed.append(Segment(self.number, 0))
            with path.open("rb") as file:
                if file.seek(0, 2) == 0:
                    continue
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
                    yield from self._records(content)

    def saw(self, newest: int) -> None:
        """Tell the log the latest timestamp of the record that `replay` has just given."""
        self._closed[-1].newest = max(self._closed[-1].newest, newest)

    def _records(self, content: mmap.mmap) -> Iterator[Record]:
        at = len(formats.SEGMENT_HEAD)
        if content[:at] != formats.SEGMENT_HEAD:
            self.damaged += 1
            at = _next_record(content, 0)
        while at < len(content):
            try:
                kind, payload = _record_at(content, at)
            except Damaged:
                self.damaged += 1
                at = _next_record(content, at + 1)
                continue
            yield Record(self.number, kind, payload)
            at += formats.RECORD_HEAD.size + len(payload)

    def start(self) -> None:
        """Begin a new segment; the one before, if any, is closed. OSError leaves the log as it was."""
        path = self.directory / formats.segment_name(self.number + 1)
        file = self._files.create(path)
        try:
            if self._files.append(file, [formats.SEGMENT_HEAD]) != len(formats.SEGMENT_HEAD):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._files.sync_directory(self.directory)
        except OSError:
            self._files.close(file)
            self._files.remove(path)
            raise
        if self._file >= 0:
            self._files.close(self._file)
            self._closed.append(Segment(self.number, self.newest))
        self._file, self.number = file, self.number + 1
        self.size, self.newest = len(formats.SEGMENT_HEAD), 0

    @property
    def full(self) -> bool:
        """Whether the next records belong into a new segment."""
        return self.size >= self._segment_bytes

    def append(self, records: Iterable[bytes], newest: int) -> None:
        """Append all of the records and make them durable, or none: then OSError.

        `newest` is the latest timestamp in them. After a failed sync `broken` is set, and every further append fails.
        """
        if self.broken:
            raise self.broken
        parts = list(records)
        try:
            for at in range(0, len(parts), _PARTS):
                self._write(parts[at : at + _PARTS])
        except OSError:
            self._cut()
            raise
        try:
            self._files.sync(self._file)
        except OSError as error:
            self.broken = error
            raise
        self.size += sum(map(len, parts))
        self.newest = max(self.newest, newest)

    def _write(self, parts: list[bytes]) -> None:
        left = sum(map(len, parts))
        taken = self._files.append(self._file, parts)
        rest = memoryview(b"".join(parts))[taken:] if taken < left else memoryview(b"")
        while rest:
            taken = self._files.append(self._file, [bytes(rest)])
            rest = rest[taken:]

    def _cut(self) -> None:
        """Take back what a failed append left."""
        try:
            self._files.truncate(self._file, self.size)
        except OSError as error:
            self.broken = error

    def trim(self, before: int) -> int:
        """Remove the closed segments whose samples are all older; how many these were."""
        old = [segment for segment in self._closed if segment.newest < before]
        for segment in old:
            self._files.remove(self.directory / formats.segment_name(segment.number))
            self._closed.remove(segment)
        if old:
            self._files.sync_directory(self.directory)
        return len(old)

    def close(self) -> None:
        """Close the current segment; what was appended is durable already."""
        if self._file >= 0:
            self._files.close(self._file)
            self._file = -1

    @property
    def bytes(self) -> int:
        """Bytes of all segments on disk."""
        return sum(path.stat().st_size for path in self.directory.glob(f"*{formats.SEGMENT_SUFFIX}"))


def _record_at(content: mmap.mmap, at: int) -> tuple[Kind, bytes]:
    """The record that begins there; Damaged when none does."""
    body = at + formats.RECORD_HEAD.size
    if body > len(content):
        raise Damaged("the file ends inside a record")
    magic, kind, length, crc = formats.RECORD_HEAD.unpack(content[at:body])
    if magic != formats.RECORD_MAGIC or length > min(formats.RECORD_LONGEST, len(content) - body):
        raise Damaged("no record begins here")
    payload = content[body : body + length]
    formats.check(kind, payload, crc)
    if kind not in Kind.__members__.values():
        raise Damaged(f"unknown kind {kind}")
    return Kind(kind), payload


def _next_record(content: mmap.mmap, at: int) -> int:
    """Where the next record may begin at or after `at`; the end of the file where none does."""
    found = re.compile(re.escape(formats.RECORD_MAGIC)).search(content, at)
    return found.start() if found else len(content)
