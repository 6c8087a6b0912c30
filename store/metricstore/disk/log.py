"""The log: records appended to segments, made durable by a sync, read back in order at the next start.

After a failed sync nothing more is written: what the disk holds is unknown, and only a new start can find out. Segments go when
all that they hold is in blocks.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Kind
from metricstore.disk.records import Payload, RecordFile, list_files, new_marker, read_records

SEGMENT_BYTES = 64 * 1024**2  # a segment with more is followed by a new one
ENDING = ".log"


class Record(NamedTuple):
    """A record as it was appended, and the number of its segment."""

    segment: int
    kind: Kind
    payload: bytes


class Log:
    """One data folder's log."""

    def __init__(
        self,
        directory: Path,
        files: Files,
        segment_bytes: int = SEGMENT_BYTES,
        on_damage: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.directory = directory
        self.broken: OSError | None = None
        self._files, self._segment_bytes, self._on_damage = files, segment_bytes, on_damage
        self._closed: dict[int, int] = {}  # bytes by segment
        self._records: RecordFile | None = None
        self._number = 0  # of the current segment, or the last one
        self._begun_with = 0  # bytes of state that the current segment repeats

    @property
    def whole(self) -> bool:
        """Whether no segment has gone yet."""
        return min((file.number for file in list_files(self.directory, ENDING)), default=0) == 1

    def replay(self, first: int = 0) -> Iterator[Record]:
        """All records from that segment on, oldest first."""
        for file in list_files(self.directory, ENDING):
            self._number = file.number
            if file.number < first:
                continue
            self._closed[file.number] = file.path.stat().st_size
            for kind, payload in read_records(file.path, file.marker, self._on_damage):
                yield Record(file.number, kind, payload)

    def settle(self, first: int) -> None:
        """What was replayed stays, though the process that wrote it ended before it had made sure. After OSError all fails."""
        try:
            for file in list_files(self.directory, ENDING):
                if file.number >= first:
                    self._files.sync_file(file.path)
        except OSError as error:
            self.broken = error
            raise

    def begin(self, state: Sequence[Payload]) -> int:
        """Begin a new segment that holds the state first; its number. OSError leaves the log as it was."""
        if self.broken:
            raise self.broken
        number, marker = self._number + 1, new_marker()
        made = RecordFile(self.directory / formats.file_name(number, marker, ENDING), marker, self._files)
        try:
            made.append(state)
            made.sync()
            self._files.sync_directory(self.directory)
        except OSError:
            made.discard()
            raise
        self.close()
        self._records, self._number, self._begun_with = made, number, made.size
        return number

    @property
    def full(self) -> bool:
        """Whether the next records belong into a new segment."""
        return self._records is None or self._records.size - self._begun_with >= self._segment_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the log on disk."""
        return sum(self._closed.values()) + (self._records.size if self._records else 0)

    @property
    def grown(self) -> int:
        """Bytes that are not state repeated at the begin of the current segment."""
        return self.bytes - self._begun_with

    def append(self, records: Sequence[Payload]) -> None:
        """Append the records and make them durable, or none: then OSError. After a failed sync everything further fails."""
        if self.broken or self._records is None:
            raise self.broken or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._records.append(records)
        try:
            self._records.sync()
        except OSError as error:
            self.broken = error
            raise

    def trim(self, first: int) -> int:
        """Remove the segments before that one; how many these were."""
        old = [file for file in list_files(self.directory, ENDING) if file.number < first]
        for file in old:
            self._files.remove(file.path)
            self._closed.pop(file.number, None)
        if old:
            self._files.sync_directory(self.directory)
        return len(old)

    def close(self) -> None:
        """Close the current segment; what was appended is durable already."""
        if self._records is not None:
            self._records.close()
            self._closed[self._number] = self._records.size
        self._records = None
