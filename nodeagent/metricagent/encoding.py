"""How lines are compressed: in the spool's files, and in the bodies that the store gets. What is compressed once is both.

Zstandard is the default. Lines of 100 containers (770 KB, 4,500 lines): gzip -1 takes 2.9 ms and leaves 60 KB, zstd -1 takes
1.0 ms and leaves 52 KB; the store unpacks them in 1.5 ms and 0.9 ms, which 3,000 agents make a sixth of its core.
"""

import enum
import gzip
import sys
import zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 1  # of both: line protocol shrinks to less than a tenth already there


class Encoding(enum.IntEnum):
    """The numbers are those in the spool's files."""

    GZIP = 0
    ZSTD = 1
    PLAIN = 2

    @property
    def token(self) -> str | None:
        """The Content-Encoding of HTTP; None: no such header."""
        return None if self is Encoding.PLAIN else self.name.lower()


class BrokenEncoding(Exception):
    """Bytes that are not what they are said to be; the text says why."""


def compress(encoding: Encoding, text: bytes) -> bytes:
    """The text, compressed. Results of one encoding may be joined."""
    if encoding is Encoding.ZSTD:
        return zstd.compress(text, LEVEL)
    return gzip.compress(text, LEVEL, mtime=0) if encoding is Encoding.GZIP else text


def decompress(encoding: Encoding, data: bytes, size: int) -> bytes:
    """The text, which has `size` bytes. BrokenEncoding when it has not, or is followed by something; never much more memory."""
    if encoding is Encoding.PLAIN:
        found, whole = data, True
    else:
        found, whole = _zstd(data, size) if encoding is Encoding.ZSTD else _gzip(data, size)
    if len(found) != size or not whole:
        raise BrokenEncoding(f"its text has not {size} bytes")
    return found


def _zstd(data: bytes, size: int) -> tuple[bytes, bool]:
    decompressor = zstd.ZstdDecompressor()
    try:
        return decompressor.decompress(data, size + 1), decompressor.eof and not decompressor.unused_data
    except zstd.ZstdError as error:
        raise BrokenEncoding(f"it cannot be decompressed: {error}") from error


def _gzip(data: bytes, size: int) -> tuple[bytes, bool]:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        return decompressor.decompress(data, size + 1), decompressor.eof and not decompressor.unused_data
    except zlib.error as error:
        raise BrokenEncoding(f"it cannot be decompressed: {error}") from error
