"""The footer of a Parquet file, as far as it is needed to read some of its row groups and not the others. Pure.

    file   = "PAR1" { row group } other footer length:u32 "PAR1"         integers little-endian
    footer = FileMetaData of parquet.thrift in Thrift's compact protocol:
             1 version, 2 schema, 3 number of rows, 4 list of row groups, others

A footer that names fewer row groups is a footer too: the offsets in it count from the file's beginning. So a reader that knows
only whole files is given the bytes of the row groups it is to read, at their offsets, and a footer that names these alone
(`Excerpt`).
"""

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAGIC = b"PAR1"
TAIL_SIZE = 8  # bytes of length and magic
_BINARY, _LIST, _SET, _STRUCT = 8, 9, 10, 12
_ONE_BYTE, _VARINTS, _DOUBLE = (1, 2, 3), (4, 5, 6), 7
_ROWS_HEAD, _GROUPS_HEAD = b"\x16", b"\x19"  # field 3, i64; field 4, list
_DEEPEST = 16


class Member(NamedTuple):
    """A field of a struct: where its head begins, its kind, where its value begins and ends."""

    head: int
    kind: int
    start: int
    end: int


class Group(NamedTuple):
    """A row group: its entry in the footer, and its bytes in the file."""

    start: int
    end: int
    rows: int
    offset: int
    size: int


class Footer(NamedTuple):
    """What stands before the number of rows, the row groups, and what stands behind them."""

    head: int  # bytes before the number of rows
    tail: int  # where what follows the row groups begins
    groups: list[Group]


def parse(footer: bytes) -> Footer:
    """The row groups of a footer. ValueError for what is none."""
    try:
        found = _members(footer, 0, 0)
        groups = [_group(footer, start, end) for start, end in _elements(footer, found[4].start)]
        return Footer(found[3].head, found[4].end, groups)
    except (IndexError, KeyError) as error:
        raise ValueError("no footer of a Parquet file") from error


def selected(footer: bytes, head: int, tail: int, groups: Sequence[bytes], rows: int) -> bytes:
    """The footer with only these row groups, given by their entries; `rows` is how many they hold."""
    count = bytes([len(groups) << 4 | _STRUCT]) if len(groups) < 15 else bytes([0xF0 | _STRUCT]) + _as_varint(len(groups))
    return b"".join((footer[:head], _ROWS_HEAD, _as_varint(rows << 1), _GROUPS_HEAD, count, *groups, footer[tail:]))


class Excerpt(io.RawIOBase):
    """A file to read from of which only some bytes are there: pieces at offsets, and the footer as its end."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]], footer: bytes) -> None:
        super().__init__()
        end = max((offset + len(piece) for offset, piece in pieces), default=len(MAGIC))
        closing = footer + len(footer).to_bytes(4, "little") + MAGIC
        self._pieces = [*pieces, (end, closing)]
        self._size, self._at = end + len(closing), 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Where the next read begins."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Bytes of the piece at hand; none where there is no piece."""
        for offset, piece in self._pieces:
            if offset <= self._at < offset + len(piece):
                start = self._at - offset
                found = piece[start : start + size if size >= 0 else None]
                self._at += len(found)
                return found
        return b""


def _group(footer: bytes, start: int, end: int) -> Group:
    found = _members(footer, start, 0)
    offset, size = [], 0
    for at, _ in _elements(footer, found[1].start):
        chunk = _members(footer, at, 0)
        meta = _members(footer, chunk[3].start, 0)
        pages = [_number(footer, meta[number].start) for number in (9, 11) if number in meta]  # data, dictionary
        offset.append(min(page for page in pages if page > 0))
        size += _number(footer, meta[7].start)
    return Group(start, end, _number(footer, found[3].start), min(offset), size)


def _members(data: bytes, at: int, depth: int) -> dict[int, Member]:
    """The fields of the struct that begins there, by number."""
    return {number: member for number, member, _ in _walk(data, at, depth)}


def _walk(data: bytes, at: int, depth: int) -> Iterator[tuple[int, Member, int]]:
    number = 0
    while data[at]:
        head, kind, delta = at, data[at] & 15, data[at] >> 4
        at += 1
        if delta:
            number += delta
        else:
            coded, at = _varint(data, at)
            number = coded >> 1 ^ -(coded & 1)
        end = at if kind in {1, 2} else _end(data, kind, at, depth)  # a boolean field is its kind
        yield number, Member(head, kind, at, end), end
        at = end


def _end(data: bytes, kind: int, at: int, depth: int) -> int:
    """Where the value that begins there ends."""
    if depth > _DEEPEST:
        raise IndexError("too deep")
    if kind in _ONE_BYTE:
        return at + 1
    if kind in _VARINTS:
        return _varint(data, at)[1]
    if kind == _DOUBLE:
        return at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind in {_LIST, _SET}:
        count, of, at = _list(data, at)
        for _ in range(count):
            at = _end(data, of, at, depth + 1)
        return at
    if kind == _STRUCT:
        for _, _, end in _walk(data, at, depth + 1):
            at = end
        return at + 1
    raise IndexError(f"unknown kind {kind}")


def _elements(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where each element of the list of structs that begins there begins and ends."""
    count, kind, at = _list(data, at)
    for _ in range(count):
        end = _end(data, kind, at, 0)
        yield at, end
        at = end


def _list(data: bytes, at: int) -> tuple[int, int, int]:
    """Count, kind and beginning of the elements of a list."""
    count, kind, at = data[at] >> 4, data[at] & 15, at + 1
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data):
        raise IndexError("longer than the file")
    return count, kind, at


def _number(data: bytes, at: int) -> int:
    coded = _varint(data, at)[0]
    return coded >> 1 ^ -(coded & 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number and where it ends."""
    number = shift = 0
    while shift < 64:
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
        shift += 7
    raise IndexError("a number of more than 64 bits")


def _as_varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
