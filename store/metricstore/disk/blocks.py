"""Blocks: 64 slots of all series of one frequency, compressed and immutable on disk; a file each, read chunk by chunk.

Theory of operation
- A block is written whole under another name, synced, renamed: it is there or not. A later one of the same window takes its
  place.
- Its chunks hold 128 series each and can be read alone; a table at its begin says where.
- What is damaged is counted and said once, moved to the quarantine when it is a whole block, and missing for readers.
"""

import logging
import os
import stat
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import codec, formats
from metricstore.disk.files import TEMPORARY, Files
from metricstore.disk.formats import CHUNK_SERIES, Damaged

logger = logging.getLogger(__name__)

SLOTS = codec.SLOTS
OPEN_MAX = 64  # blocks that are kept open for reading
_TABLE = np.dtype("<u4")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
WindowKey = tuple[int, int]  # frequency, window


class Rows(NamedTuple):
    """Series of a block: number, phase, values (rows, 64) with NaN where missing."""

    numbers: Ints
    phases: NDArray[np.int32]
    values: Floats


class _Table(NamedTuple):
    keys: NDArray[np.uint32]
    offsets: Ints  # one more than chunks: the last is where the file ends
    checksums: NDArray[np.uint32]


class _Open:
    """A block being read."""

    def __init__(self, path: Path, key: WindowKey) -> None:
        self.path = path
        self.file = -1
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.table = self._read_table(key)  # should that fail, __del__ closes the file

    def _read_table(self, key: WindowKey) -> _Table:
        head = os.pread(self.file, formats.BLOCK_HEAD.size, 0)
        try:
            magic, frequency, window, count, crc = formats.BLOCK_HEAD.unpack(head)
        except struct.error as error:
            raise Damaged("too short for a block") from error
        size = os.fstat(self.file).st_size
        if magic != formats.BLOCK_MAGIC or formats.BLOCK_HEAD.size + 12 * count > size:
            raise Damaged("no block")
        content = os.pread(self.file, 12 * count, formats.BLOCK_HEAD.size)
        if zlib.crc32(content, zlib.crc32(head[:-4])) != crc:
            raise Damaged("the checksum of its table does not match")
        if (frequency, window) != key:
            raise Damaged("it is a block of another window")
        keys, lengths, checksums = np.frombuffer(content, _TABLE).reshape(3, count)
        offsets = formats.BLOCK_HEAD.size + 12 * count + np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return _Table(keys, offsets, checksums)

    def chunk(self, at: int) -> bytes:
        """The bytes of the chunk at that place of the table. Damaged."""
        start, end = self.table.offsets[at : at + 2].tolist()
        content = os.pread(self.file, end - start, start)
        if zlib.crc32(content) != self.table.checksums[at]:
            raise Damaged("the checksum of a chunk does not match")
        return content

    def __del__(self) -> None:
        if self.file >= 0:
            os.close(self.file)


class Blocks:
    """The blocks of one data folder. `on_damage` is told of each damage once. Threads may share it."""

    def __init__(
        self, directory: Path, quarantine: Path, files: Files, on_damage: Callable[[str], None] = lambda text: None
    ) -> None:
        self._directory, self._quarantine, self._files, self._on_damage = directory, quarantine, files, on_damage
        self.chunks: NDArray[np.bool_] = np.zeros(0, bool)  # by number: whether a block had it when there was a look at them
        self._sizes: dict[WindowKey, int] = {}  # bytes
        self._opened: OrderedDict[WindowKey, _Open] = OrderedDict()
        self._reported: set[tuple[WindowKey, int]] = set()
        self._lock = threading.Lock()

    def scan(self) -> None:
        """Find what there is; remove what was never finished."""
        for path in list(self._directory.iterdir()):
            name = formats.BLOCK_NAME.fullmatch(path.name)
            if not stat.S_ISREG(path.lstat().st_mode):
                continue  # not ours, and left alone
            if path.name.endswith(".block" + TEMPORARY):
                self._files.remove(path)
            elif name:
                window = int(name[2], 16)
                key = int(name[1]), window - 2**64 if window >= 2**63 else window
                self._sizes[key] = path.stat().st_size
                try:
                    self._note(_Open(path, key).table.keys)
                except Damaged as damage:
                    self._set_aside(key, damage)
                except OSError as error:
                    self._on_damage(f"cannot read block {path.name}: {error.strerror}")

    def _note(self, keys: NDArray[np.uint32]) -> None:
        """These chunks are in a block."""
        missing = int(keys.max(initial=0)) + 1 - len(self.chunks)
        if missing > 0:
            self.chunks = np.concatenate([self.chunks, np.zeros(missing, bool)])
        self.chunks[keys] = True

    def _path(self, key: WindowKey) -> Path:
        return self._directory / formats.block_name(*key)

    def _set_aside(self, key: WindowKey, damage: Damaged) -> None:
        """Move a whole block to the quarantine."""
        path = self._path(key)
        self._on_damage(f"cannot read block {path.name}: {damage}; it is in {self._quarantine}")
        self._sizes.pop(key, None)
        try:
            self._quarantine.mkdir(mode=0o700, exist_ok=True)
            self._files.rename(path, self._quarantine / path.name)
        except OSError as error:
            logger.warning("cannot move %s to the quarantine: %s", path, error.strerror)

    def __contains__(self, key: WindowKey) -> bool:
        return key in self._sizes

    def windows(self) -> list[WindowKey]:
        """All blocks, by frequency and window."""
        return sorted(self._sizes)

    @property
    def size(self) -> int:
        """Bytes of all blocks on disk."""
        return sum(self._sizes.values())

    def _open(self, key: WindowKey) -> _Open | None:
        """The block open for reading; None when there is none, or it is damaged."""
        with self._lock:
            found = self._opened.get(key)
            if found is not None:
                self._opened.move_to_end(key)
                return found
            if key not in self._sizes:
                return None
            try:
                found = _Open(self._path(key), key)
            except Damaged as damage:
                self._set_aside(key, damage)
                return None
            except FileNotFoundError:
                self._on_damage(f"cannot read block {self._path(key).name}: it is gone")
                del self._sizes[key]
                return None
            self._opened[key] = found
            if len(self._opened) > OPEN_MAX:
                self._opened.popitem(last=False)
            return found

    def read(self, key: WindowKey, numbers: Ints) -> Rows:
        """Those of the series that the block has, ascending. `numbers` ascending."""
        return joined(list(self._chunks(key, np.unique(numbers))))

    def all(self, key: WindowKey) -> Iterator[Rows]:
        """All series of the block, chunk by chunk."""
        yield from self._chunks(key, None)

    def _chunks(self, key: WindowKey, numbers: Ints | None) -> Iterator[Rows]:
        block = self._open(key)
        if block is None:
            return
        keys = block.table.keys
        if numbers is None:
            places: list[tuple[int, list[int] | None]] = [(at, None) for at in range(len(keys))]
        else:
            chunks = numbers // CHUNK_SERIES
            cuts = np.flatnonzero(np.diff(chunks, prepend=-1, append=-1))
            places = []
            for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
                at = int(np.searchsorted(keys, chunks[low]))
                if at < len(keys) and keys[at] == chunks[low]:
                    places.append((at, (numbers[low:high] % CHUNK_SERIES).tolist()))
        for at, members in places:
            try:
                rows = codec.decode(block.chunk(at), members)
            except (Damaged, codec.Malformed) as damage:
                self._report(key, at, damage)
                continue
            first = int(keys[at]) * CHUNK_SERIES
            yield Rows(first + rows.member.astype(np.int64), rows.phase, rows.values)

    def _report(self, key: WindowKey, at: int, damage: Exception) -> None:
        if (key, at) not in self._reported:
            self._reported.add((key, at))
            self._on_damage(f"cannot read 128 series of block {self._path(key).name}: {damage}")

    def raw(self, key: WindowKey) -> dict[int, bytes]:
        """The chunks that are not damaged, as they are, by key."""
        block = self._open(key)
        found = {}
        if block is not None:
            for at, chunk_key in enumerate(block.table.keys.tolist()):
                try:
                    found[chunk_key] = block.chunk(at)
                except Damaged as damage:
                    self._report(key, at, damage)
        return found

    def write(self, key: WindowKey, chunks: Mapping[int, bytes]) -> None:
        """Put a block in place of the one there was; none without chunks. OSError leaves what there was."""
        if not chunks:
            self.remove(key)
            return
        order = sorted(chunks)
        contents = [chunks[one] for one in order]
        columns = (order, [len(content) for content in contents], [zlib.crc32(content) for content in contents])
        table = np.array(columns, _TABLE).tobytes()
        head = formats.BLOCK_HEAD.pack(formats.BLOCK_MAGIC, *key, len(order), 0)[:-4]
        head += zlib.crc32(table, zlib.crc32(head)).to_bytes(4, "little")
        self._files.replace(self._path(key), [head, table, *contents])
        with self._lock:
            self._opened.pop(key, None)
            self._sizes[key] = len(head) + len(table) + sum(map(len, contents))

    def remove(self, key: WindowKey) -> None:
        """Forget a block, if it is there."""
        with self._lock:
            self._opened.pop(key, None)
            if self._sizes.pop(key, None) is not None:
                self._files.remove(self._path(key))

    def sync(self) -> None:
        """What was removed does not come back."""
        self._files.sync_directory(self._directory)

    def close(self) -> None:
        """Give the descriptors back."""
        self._opened.clear()


def encode(numbers: Ints, phases: NDArray[np.int32], values: Floats) -> dict[int, bytes]:
    """Chunks of these series, by key. `numbers` ascending; values (series, 64)."""
    keys = numbers // CHUNK_SERIES
    cuts = np.flatnonzero(np.diff(keys, prepend=-1, append=-1))
    found = {}
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        members = (numbers[low:high] % CHUNK_SERIES).astype(np.uint8)
        found[int(keys[low])] = codec.encode(codec.Rows(members, phases[low:high], values[low:high]))
    return found


def decode(key: int, chunk: bytes) -> Rows:
    """The series of a chunk. Damaged."""
    try:
        rows = codec.decode(chunk)
    except codec.Malformed as error:
        raise Damaged(str(error)) from error
    return Rows(key * CHUNK_SERIES + rows.member.astype(np.int64), rows.phase, rows.values)


def joined(parts: Sequence[Rows]) -> Rows:
    """All parts, one after another."""
    if not parts:
        return Rows(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, SLOTS)))
    return Rows(
        np.concatenate([rows.numbers for rows in parts]),
        np.concatenate([rows.phases for rows in parts]),
        np.concatenate([rows.values for rows in parts]),
    )
