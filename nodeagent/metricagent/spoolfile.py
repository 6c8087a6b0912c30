r"""What is in the spool's folder: names, formats, and how they come onto the disk.

    folder  = "lock" { sequence ".batch" } { sequence ".damaged" } [ sequence ".tmp" ]; what else is there is left alone
    sequence = 16 hex digits, counting up: the order of the names is that of the batches
    batch   = header body
    header  = magic "MCSP", version u16, encoding u16, samples u32, text length u32, body length u32, crc32 u32; big-endian
    body    = line protocol, one line per sample, each with its LF, as `encoding` says; `text length` bytes when unpacked
    crc32   = of the header before it and the body

A batch is written to a .tmp, synced, renamed, and the folder is synced: once `write` has returned, it is there after kill -9
and after a power cut. A .tmp is what a killed agent had not finished, and means nothing.
"""

import os
import re
import stat
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from metricagent.encoding import BrokenEncoding, Encoding, compress, decompress

LOCK, BATCH, DAMAGED, TMP = "lock", ".batch", ".damaged", ".tmp"
MAGIC, VERSION = b"MCSP", 1
HEADER = struct.Struct(">4sHHIIII")
HALF = 1 << 63  # numbers that counting never reaches: a larger one is somebody's mistake, and nothing to count on from
_OURS = re.compile(r"([0-9a-f]{16})\.(?:batch|damaged|tmp)")
_CHECKED = HEADER.size - 4  # bytes of the header that the crc covers
BLOCK = 4096  # bytes that a file's size is rounded up to on most disks


class Damaged(Exception):
    """A batch that cannot be used; the text says why."""


class Packed(NamedTuple):
    """Lines as they are kept and sent: how many, the bytes of their text, and the text, compressed."""

    encoding: Encoding
    samples: int
    size: int
    body: bytes

    def text(self) -> bytes:
        """The lines. BrokenEncoding when they cannot be unpacked."""
        return decompress(self.encoding, self.body, self.size)


def name(sequence: int, suffix: str) -> str:
    """The file name of a batch."""
    return f"{sequence:016x}{suffix}"


def sequence(path: Path) -> int | None:
    """The number in a name of ours; None for any other name."""
    found = _OURS.fullmatch(path.name)
    return int(found[1], 16) if found else None


def is_ours(path: Path) -> bool:
    """Whether it is a file that a spool has made: no folder, link or pipe, whatever its name."""
    return sequence(path) is not None and stat.S_ISREG(path.lstat().st_mode)


def pack(text: bytes, samples: int, encoding: Encoding = Encoding.ZSTD) -> bytes:
    """A batch of `samples` lines as its file's bytes."""
    body = compress(encoding, text)
    checked = HEADER.pack(MAGIC, VERSION, encoding, samples, len(text), len(body), 0)[:_CHECKED]
    return checked + zlib.crc32(body, zlib.crc32(checked)).to_bytes(4, "big") + body


def unpack(data: bytes) -> Packed:
    """A batch. Damaged when any byte of it is not as it was written, or it never was a batch."""
    encoding, samples, size = measure(data[: HEADER.size], len(data))
    crc = int.from_bytes(data[_CHECKED : HEADER.size], "big")
    packed = Packed(encoding, samples, size, data[HEADER.size :])
    if zlib.crc32(packed.body, zlib.crc32(data[:_CHECKED])) != crc:
        raise Damaged("its checksum is wrong")
    try:
        lines = packed.text().count(b"\n")
    except BrokenEncoding as error:
        raise Damaged(str(error)) from error
    if lines != samples:
        raise Damaged(f"it has not {samples} lines")
    return packed


def measure(header: bytes, size: int) -> tuple[Encoding, int, int]:
    """How many samples and bytes of text a file of `size` bytes holds, by its header alone. Damaged when it cannot be."""
    if len(header) < HEADER.size:
        raise Damaged("it is shorter than its header")
    magic, version, encoding, samples, text, length, _ = HEADER.unpack(header)
    if magic != MAGIC:
        raise Damaged("it does not begin as a batch does")
    if version != VERSION:
        raise Damaged(f"it is of version {version}, and only {VERSION} is known here")
    if encoding not in {*Encoding}:
        raise Damaged(f"its encoding is {encoding}, which is not known here")
    if size != HEADER.size + length:
        raise Damaged(f"it has {size} bytes and not {HEADER.size + length}")
    return Encoding(encoding), samples, text


def footprint(size: int) -> int:
    """Bytes that a file of `size` bytes takes on a disk."""
    return -(-size // BLOCK) * BLOCK


def write(directory: Path, sequence: int, data: bytes) -> None:
    """Bring a batch onto the disk; OSError leaves nothing behind."""
    tmp = directory / name(sequence, TMP)
    batch = directory / name(sequence, BATCH)
    try:
        with os.fdopen(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        tmp.rename(batch)
        sync(directory)
    except OSError:
        for path in (tmp, batch):
            with suppress(OSError):
                path.unlink()
        raise


def probe(directory: Path, sequence: int) -> None:
    """OSError when no file can be made in the folder; nothing there has this number."""
    path = directory / name(sequence, TMP)
    path.touch(mode=0o600)
    path.unlink()


def sync(directory: Path) -> None:
    """Bring the folder's names onto the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
