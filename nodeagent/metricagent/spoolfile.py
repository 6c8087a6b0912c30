r"""What is in the spool's folder: names, formats, and how they come onto the disk.

    folder  = "lock" { sequence ".batch" } { sequence ".damaged" } [ sequence ".tmp" ]; what else is there is left alone
    sequence = 16 hex digits, counting up: the order of the names is that of the batches
    batch   = header body
    header  = magic "MCSP", version u16, reserved u16, samples u32, text length u32, body length u32, crc32 u32; big-endian
    body    = gzip of line protocol, one line per sample, each with its LF; `text length` bytes when unpacked
    crc32   = of the header before it and the body

A batch is written to a .tmp, synced, renamed, and the folder is synced: once `write` has returned, it is there after kill -9
and after a power cut. A .tmp is what a killed agent had not finished, and means nothing.
"""

import gzip
import os
import re
import stat
import struct
import zlib
from contextlib import suppress
from pathlib import Path

LOCK, BATCH, DAMAGED, TMP = "lock", ".batch", ".damaged", ".tmp"
MAGIC, VERSION = b"MCSP", 1
HEADER = struct.Struct(">4sHHIIII")
HALF = 1 << 63  # numbers that counting never reaches: a larger one is somebody's mistake, and nothing to count on from
_OURS = re.compile(r"([0-9a-f]{16})\.(?:batch|damaged|tmp)")
_CHECKED = HEADER.size - 4  # bytes of the header that the crc covers
_LEVEL = 1  # of gzip: line protocol shrinks to a tenth already there


class Damaged(Exception):
    """A batch that cannot be used; the text says why."""


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


def pack(text: bytes, samples: int) -> bytes:
    """A batch of `samples` lines as its file's bytes."""
    body = gzip.compress(text, _LEVEL)
    checked = HEADER.pack(MAGIC, VERSION, 0, samples, len(text), len(body), 0)[:_CHECKED]
    return checked + zlib.crc32(body, zlib.crc32(checked)).to_bytes(4, "big") + body


def unpack(data: bytes) -> bytes:
    """The text of a batch. Damaged when any byte of it is not as it was written, or it never was a batch."""
    _, text = measure(data[: HEADER.size], len(data))
    crc = int.from_bytes(data[_CHECKED : HEADER.size], "big")
    if zlib.crc32(data[HEADER.size :], zlib.crc32(data[:_CHECKED])) != crc:
        raise Damaged("its checksum is wrong")
    decompressor = zlib.decompressobj(wbits=31)
    try:
        found = decompressor.decompress(data[HEADER.size :], text + 1)
    except zlib.error as error:
        raise Damaged(f"it cannot be decompressed: {error}") from error
    if len(found) != text or not decompressor.eof:
        raise Damaged(f"its text has not {text} bytes")
    return found


def measure(header: bytes, size: int) -> tuple[int, int]:
    """How many samples and bytes of text a file of `size` bytes holds, by its header alone. Damaged when it cannot be."""
    if len(header) < HEADER.size:
        raise Damaged("it is shorter than its header")
    magic, version, _, samples, text, length, _ = HEADER.unpack(header)
    if magic != MAGIC:
        raise Damaged("it does not begin as a batch does")
    if version != VERSION:
        raise Damaged(f"it is of version {version}, and only {VERSION} is known here")
    if size != HEADER.size + length:
        raise Damaged(f"it has {size} bytes and not {HEADER.size + length}")
    return samples, text


def write(directory: Path, sequence: int, data: bytes) -> None:
    """Bring a batch onto the disk; OSError leaves nothing behind."""
    tmp = directory / name(sequence, TMP)
    try:
        with os.fdopen(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        tmp.rename(directory / name(sequence, BATCH))
        sync(directory)
    except OSError:
        with suppress(OSError):
            tmp.unlink()
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
