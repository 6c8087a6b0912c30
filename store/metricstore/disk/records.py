"""Files of checksummed records: appended all or none, read back past any damage.

Theory of operation
- Every start begins new files, so nothing is ever written behind a torn tail.
- What a full disk took of an append is cut off again.
- Reading skips what is damaged: it looks for the next record whose checksum holds, counts the damage, and goes on.
"""

import errno
import logging
import mmap
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Damaged, Kind

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
_MAGIC = re.compile(re.escape(formats.RECORD_MAGIC))
_PIECE = 1024**2  # bytes read at once
_SECTOR = 4096  # bytes that a medium loses at least


class Payload(NamedTuple):
    """A record's content."""

    kind: Kind
    payload: bytes


def payloads(kind: Kind, pack: Callable[[Sequence[Item]], bytes], items: Sequence[Item]) -> Iterator[Payload]:
    """The items in as many records as it takes for none to be too long, as long as no item is."""
    for at in range(0, len(items), formats.STATE_CHUNK):
        part = items[at : at + formats.STATE_CHUNK]
        payload = pack(part)
        if len(payload) > formats.RECORD_LONGEST and len(part) > 1:
            half = len(part) // 2
            yield from payloads(kind, pack, part[:half])
            yield from payloads(kind, pack, part[half:])
        else:
            yield Payload(kind, payload)


class FileName(NamedTuple):
    """A file of records in a folder; they sort by number."""

    number: int
    marker: bytes
    path: Path


def list_files(directory: Path, ending: str) -> list[FileName]:
    """The folder's files of records with that ending, by number; what is not ours is left alone."""
    names = ((formats.FILE_NAME.fullmatch(path.name), path) for path in directory.iterdir() if path.is_file())
    return sorted(FileName(int(name[1]), bytes.fromhex(name[2]), path) for name, path in names if name and name[3] == ending)


def new_marker() -> bytes:
    """Nobody can guess it."""
    return secrets.token_bytes(8)


class RecordFile:
    """A file that grows by whole groups of records. `size` is what is durable."""

    def __init__(self, path: Path, marker: bytes, files: Files) -> None:
        self.path, self.size = path, 0
        self._marker, self._files = marker, files
        self._file = files.create(path)

    def append(self, records: Sequence[Payload]) -> None:
        """All of the records, or OSError and none. They are durable after `sync`."""
        parts: list[bytes] = []
        for kind, payload in records:
            if len(payload) > formats.RECORD_LONGEST:
                raise OSError(errno.EMSGSIZE, f"a record of {len(payload)} bytes would not be read again")
            head = formats.RECORD_HEAD.pack(
                formats.RECORD_MAGIC, kind, len(payload), formats.checksum(self._marker, kind, payload)
            )
            parts += (head, payload)
        try:
            self._files.append_all(self._file, parts)
        except OSError:
            self._files.truncate(self._file, self.size)
            raise
        self.size += sum(map(len, parts))

    def sync(self) -> None:
        """What was appended survives a power cut."""
        self._files.sync(self._file)

    def close(self) -> None:
        """Give the descriptor back. An error is of no consequence: what counts is durable since `sync`."""
        try:
            self._files.close(self._file)
        except OSError as error:
            logger.warning("cannot close %s: %s", self.path, error.strerror)

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        self._files.remove(self.path)


def read_records(path: Path, marker: bytes, on_damage: Callable[[str], None]) -> Iterator[Payload]:
    """The records of a file; `on_damage` is told of each place that had to be skipped."""
    if not path.is_file() or (size := path.stat().st_size) == 0:
        return
    with mmap.mmap(-1, size) as content:
        _fill(content, path)
        at = 0
        while at < len(content):
            try:
                found = _record_at(content, at, marker)
            except Damaged as damage:
                on_damage(f"cannot read {path.name} at byte {at}: {damage}")
                at = _next_record(content, at + 1, marker)
                continue
            yield found
            at += formats.RECORD_HEAD.size + len(found.payload)


def _fill(content: mmap.mmap, path: Path) -> None:
    """Read the file; what the medium has lost stays zero. To look at such a place of a file that is mapped ends the process."""
    at, step = 0, _PIECE
    with path.open("rb", buffering=0) as file, memoryview(content) as view:
        while at < len(view):
            try:
                taken = os.preadv(file.fileno(), [view[at : at + step]], at)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                taken = 0 if step > _SECTOR else _SECTOR
                step = _SECTOR
            else:
                if not taken:
                    break
                step = _PIECE if at % _PIECE == 0 else step
            at += taken


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
