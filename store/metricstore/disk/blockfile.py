"""The file of one block: a table of its chunks, and the chunks, each of which can be read alone. See formats."""

import errno
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import formats
from metricstore.disk.formats import Block, Damaged

_TABLE = np.dtype("<u4")

Ints = NDArray[np.int64]


class Table(NamedTuple):
    """What chunks there are, and where."""

    keys: NDArray[np.uint32]
    offsets: Ints  # one more than chunks: the last is where the file ends
    checksums: NDArray[np.uint32]


class BlockFile:
    """A block being read. Damaged when it is not that block or the medium has lost it, OSError when it cannot be read now."""

    def __init__(self, path: Path, block: Block) -> None:
        self.block = block
        self._file = -1
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.table = self._read_table()  # should that fail, __del__ closes the file

    def _bytes(self, size: int, at: int) -> bytes:
        """So many bytes from there on; fewer where the file ends. Damaged, OSError."""
        try:
            return os.pread(self._file, size, at)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise Damaged(f"{error.strerror} at byte {at}") from error

    def _read_table(self) -> Table:
        head = self._bytes(formats.BLOCK_HEAD.size, 0)
        try:
            magic, *which, count, crc = formats.BLOCK_HEAD.unpack(head)
        except struct.error as error:
            raise Damaged("too short for a block") from error
        size = os.fstat(self._file).st_size
        if magic != formats.BLOCK_MAGIC or formats.BLOCK_HEAD.size + 12 * count > size:
            raise Damaged("no block")
        content = self._bytes(12 * count, formats.BLOCK_HEAD.size)
        if zlib.crc32(content, zlib.crc32(head[:-4])) != crc:
            raise Damaged("the checksum of its table does not match")
        if Block(*which) != self.block:
            raise Damaged("it is another block")
        keys, lengths, checksums = np.frombuffer(content, _TABLE).reshape(3, count)
        offsets = formats.BLOCK_HEAD.size + 12 * count + np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Table(keys, offsets, checksums)

    def places(self, numbers: Ints) -> Iterator[tuple[int, Ints]]:
        """Where in the table the chunks are that may have these series (ascending), and which of the series."""
        chunks = numbers // self.block.chunk_series
        cuts = np.flatnonzero(np.diff(chunks, prepend=-1, append=-1))
        at = np.searchsorted(self.table.keys, chunks[cuts[:-1]])
        for low, high, place in zip(cuts[:-1].tolist(), cuts[1:].tolist(), at.tolist(), strict=True):
            if place < len(self.table.keys) and self.table.keys[place] == chunks[low]:
                yield place, numbers[low:high]

    def chunk(self, at: int) -> bytes:
        """The bytes of the chunk at that place of the table. Damaged."""
        start, end = self.table.offsets[at : at + 2].tolist()
        content = self._bytes(end - start, start)
        if zlib.crc32(content) != self.table.checksums[at]:
            raise Damaged("the checksum of a chunk does not match")
        return content

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def content(block: Block, chunks: Mapping[int, bytes]) -> list[bytes]:
    """What the file of a block with these chunks holds, in pieces."""
    order = sorted(chunks)
    pieces = [chunks[one] for one in order]
    columns = (order, [len(piece) for piece in pieces], [zlib.crc32(piece) for piece in pieces])
    table = np.array(columns, _TABLE).tobytes()
    head = formats.BLOCK_HEAD.pack(formats.BLOCK_MAGIC, *block, len(order), 0)[:-4]
    head += zlib.crc32(table, zlib.crc32(head)).to_bytes(4, "little")
    return [head, table, *pieces]
