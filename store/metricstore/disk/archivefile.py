"""One file of the archive: a Parquet file with an index of its own, written once, read in parts.

    name    = "<oldest>_<newest>_<number>.parquet"     seconds; where two files have a sample, that of the higher number counts
    content = "PAR1" { row group } ending 4096 zero bytes ending length:u32 "PAR1"       integers little-endian
    ending  = index crc:u32 length:u32 "MXA1" footer   of the footer; CRC-32 of the index
    index   = JSON of `Index`

It is a Parquet file like any other (parquet.py has the columns): other readers see nothing of the index, which says what each
row group holds and its checksum. So a query reads the ending and the row groups that matter, and damage costs one row group.
The ending is there twice, so that no damage of it costs the file.
"""

import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from metricstore.disk import footer as footers
from metricstore.disk.archiverows import ArchiveRows, in_archive_order
from metricstore.disk.files import Files
from metricstore.disk.footer import Excerpt, Footer
from metricstore.disk.formats import Damaged

NAME = re.compile(r"(-?[0-9]{1,19})_(-?[0-9]{1,19})_([0-9]{1,19})\.parquet")
MAGIC = b"MXA1"
TAIL_SIZE = 12
FORMAT = 1
_GAP = bytes(4096)  # between the two endings: damage is often of a whole page
_SEARCHED = 64 * 1024**2  # bytes at the end of a damaged file in which an ending is looked for


class Name(NamedTuple):
    """What a file's name says; both times in seconds and included."""

    oldest: int
    newest: int
    number: int
    path: Path


class Group(msgspec.Struct, array_like=True, frozen=True):
    """A row group: its first and last (host, metric), times (included), rows, bytes in the file, entry in the footer."""

    first: tuple[str, str]
    last: tuple[str, str]
    oldest: int
    newest: int
    rows: int
    offset: int
    size: int
    crc: int
    entry: tuple[int, int]

    def may_hold(self, hosts: Collection[str] | None, metrics: Collection[str] | None) -> bool:
        """Whether it can have rows of one of these; None: all."""
        if hosts is None:
            return True
        low, high = self.first, self.last
        if metrics is None:
            return any(low[0] <= host <= high[0] for host in hosts)
        return any(low <= (host, metric) <= high for host in hosts for metric in metrics)


class Index(msgspec.Struct, frozen=True):
    """What a file holds; `head` and `tail` are of footer.Footer."""

    format: int
    cluster: str
    hosts: list[str]
    groups: list[Group]
    footer_size: int
    footer_crc: int
    head: int
    tail: int


@dataclass(frozen=True, slots=True)
class Opened:
    """What is needed to read parts of a file; `whole` is False where its own ending is damaged and the copy stands in."""

    path: Path
    index: Index
    footer: bytes
    whole: bool


_INDEX = msgspec.json.Decoder(Index)


def names(folder: Path) -> list[Name]:
    """The files in the folder, in the order in which they were written; none where there is no folder."""
    try:
        found = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted((Name(int(m[1]), int(m[2]), int(m[3]), path) for m, path in found if m), key=lambda name: name.number)


# Reading


def open_file(path: Path) -> Opened:
    """Index and footer. Damaged when neither ending is what was written."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        closing = _at(path, size - footers.TAIL_SIZE, footers.TAIL_SIZE) if size >= footers.TAIL_SIZE else b""
        length = int.from_bytes(closing[:4], "little")
        at = size - footers.TAIL_SIZE - length
        try:
            return Opened(path, *_ending(path, at), whole=True)
        except Damaged:
            searched = min(size, _SEARCHED)
            content = _at(path, size - searched, searched)
    found = len(content)
    while (found := content.rfind(MAGIC, 0, found)) >= 0:
        try:
            return Opened(path, *_ending(path, size - searched + found + len(MAGIC)), whole=False)
        except Damaged:
            continue
    raise Damaged("neither its index nor the copy can be read")


def read_group(opened: Opened, group: Group) -> ArchiveRows:
    """All rows of the row group. Damaged when its bytes are not what was written."""
    from metricstore.disk import parquet  # noqa: PLC0415 its library is not loaded before it is needed

    content = _at(opened.path, group.offset, group.size)
    if zlib.crc32(content) != group.crc:
        raise Damaged("the checksum does not match")
    index = opened.index
    entry = opened.footer[slice(*group.entry)]
    footer = footers.selected(opened.footer, index.head, index.tail, [entry], group.rows)
    try:
        (rows,) = parquet.read(Excerpt([(group.offset, content)], footer))
    except (parquet.Unreadable, ValueError) as error:
        raise Damaged(str(error)) from error
    return rows


def _ending(path: Path, at: int) -> tuple[Index, bytes]:
    """The index whose tail ends at that offset, and the footer behind it. Damaged when they are not what was written."""
    if at < TAIL_SIZE:
        raise Damaged("it has no index")
    tail = _at(path, at - TAIL_SIZE, TAIL_SIZE)
    length = int.from_bytes(tail[4:8], "little")
    if tail[8:] != MAGIC or length > at - TAIL_SIZE:
        raise Damaged("it has no index")
    content = _at(path, at - TAIL_SIZE - length, length)
    if zlib.crc32(content) != int.from_bytes(tail[:4], "little"):
        raise Damaged("the checksum of its index does not match")
    try:
        index = _INDEX.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"its index is none: {error}") from error
    if index.format != FORMAT:
        raise Damaged(f"its format {index.format} is newer than {FORMAT}, ours")
    footer = _at(path, at, index.footer_size)
    if zlib.crc32(footer) != index.footer_crc:
        raise Damaged("the checksum of its footer does not match")
    return index, footer


def _at(path: Path, offset: int, size: int) -> bytes:
    """Bytes of the file; fewer where it ends before."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


# Writing


def write_file(path: Path, cluster: str, batches: Iterable[ArchiveRows], files: Files) -> "Summary":
    """A new file of the batches, its bytes durable on return, its name not. OSError leaves no file."""
    from metricstore.disk import parquet  # noqa: PLC0415 its library is not loaded before it is needed

    summary = Summary(cluster, parquet.ROWS)
    file = files.create(path)
    try:
        try:
            parquet.write(summary.passing(batches), lambda data: files.append_all(file, [data]))
            if summary.rows:
                size = path.stat().st_size
                length = int.from_bytes(_at(path, size - footers.TAIL_SIZE, 4), "little")
                start = size - footers.TAIL_SIZE - length
                footer = _at(path, start, length)
                index = summary.index(path, footer)
                tail = zlib.crc32(index).to_bytes(4, "little") + len(index).to_bytes(4, "little") + MAGIC
                ending = index + tail + footer
                files.truncate(file, start)
                files.append_all(file, [ending, _GAP, ending, length.to_bytes(4, "little"), footers.MAGIC])
                files.sync(file)
        finally:
            files.close(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return summary


class Summary:
    """What the rows that pass through it are, row group by row group."""

    def __init__(self, cluster: str, group_rows: int) -> None:
        self.rows, self.oldest, self.newest = 0, 0, 0
        self._cluster, self._group_rows = cluster, group_rows
        self._hosts: dict[str, None] = {}
        self._edges: list[tuple[tuple[str, str], tuple[str, str]]] = []
        self._times: list[tuple[int, int]] = []
        self._last: tuple[str, str] | None = None

    def passing(self, batches: Iterable[ArchiveRows]) -> Iterator[ArchiveRows]:
        """The batches, each sorted. ValueError when one is of another cluster, or before its predecessor."""
        for batch in batches:
            if len(batch.series):
                rows = in_archive_order(batch)
                self._check(rows)
                for start in self._cuts(len(rows.series)):
                    self._note(rows, start)
                self.rows += len(rows.series)
                yield rows

    def _check(self, rows: ArchiveRows) -> None:
        if any(key.place.cluster != self._cluster for key in rows.keys):
            raise ValueError(f"BUG: rows for the archive of {self._cluster} are of another cluster")
        first = _name(rows, 0)
        if self._last is not None and first < self._last:
            raise ValueError(f"BUG: rows of {first} come after those of {self._last}")
        self._last = _name(rows, -1)
        used = np.unique(rows.series).tolist()
        self._hosts |= dict.fromkeys(rows.keys[number].place.host for number in used)

    def _cuts(self, count: int) -> list[int]:
        """Where in the next rows the row group at hand goes on, and where new ones begin."""
        behind = self.rows % self._group_rows
        return [0, *range(self._group_rows - behind, count, self._group_rows)]

    def _note(self, rows: ArchiveRows, start: int) -> None:
        number = (self.rows + start) // self._group_rows
        end = min(len(rows.series), start + self._group_rows - (self.rows + start) % self._group_rows)
        first, last = _name(rows, start), _name(rows, end - 1)
        oldest, newest = int(rows.timestamps[start:end].min()), int(rows.timestamps[start:end].max())
        if number < len(self._edges):
            self._edges[number] = (self._edges[number][0], last)
            self._times[number] = (min(oldest, self._times[number][0]), max(newest, self._times[number][1]))
        else:
            self._edges.append((first, last))
            self._times.append((oldest, newest))
        self.oldest = min(oldest for oldest, _ in self._times)
        self.newest = max(newest for _, newest in self._times)

    def index(self, path: Path, footer: bytes) -> bytes:
        """The index of the file, of which the row groups are there."""
        parsed: Footer = footers.parse(footer)
        groups = [
            Group(*edges, *times, found.rows, found.offset, found.size, zlib.crc32(content), (found.start, found.end))
            for edges, times, found in zip(self._edges, self._times, parsed.groups, strict=True)
            for content in (_at(path, found.offset, found.size),)
        ]
        crc = zlib.crc32(footer)
        made = Index(FORMAT, self._cluster, sorted(self._hosts), groups, len(footer), crc, parsed.head, parsed.tail)
        return msgspec.json.encode(made)


def _name(rows: ArchiveRows, row: int) -> tuple[str, str]:
    """Host and metric of the row."""
    key = rows.keys[rows.series[row]]
    return key.place.host, key.metric
