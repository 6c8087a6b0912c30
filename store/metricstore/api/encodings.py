"""Content encodings: compressed bytes in, in pieces of any size; plain bytes out, never more at once than asked for.

Pure objects over bytes. One layer is undone, never two. Broken or cut data are BadInput.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from metricwire.errors import BadInput, Unsupported

ZSTD_WINDOW = 8 * 1024**2  # bytes; RFC 8878 section 3.1.1.1.2 asks decoders for this much and senders for no more
ZSTD_PIECE = 512  # bytes that zstd gets at once: a block of 4 bytes can stand for 128 KiB, so these for 16 MiB at most
MEMBERS_MAX = 1000  # gzip members of one body: each costs some work, however little is in it
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Decoder(Protocol):
    """One body's encoding, undone."""

    def feed(self, data: bytes, most: int) -> bytes:
        """What the bytes decompress to; when that is more than `most`, at least one byte more than `most` and not much more."""
        ...

    def end(self) -> None:
        """BadInput when the body is not whole."""
        ...


class Plain:
    """No encoding."""

    def feed(self, data: bytes, most: int) -> bytes:
        """The bytes."""
        return data

    def end(self) -> None:
        """Always whole."""


class Deflated:
    """Streams of zlib's family, one after another. `bits` says for the first bytes which form the stream has."""

    def __init__(self, bits: Callable[[bytes], int | None], *, members: bool) -> None:
        self._bits, self._members = bits, members
        self._stream: zlib._Decompress | None = None
        self._waiting = b""  # first bytes of a stream that do not tell its form yet
        self._ended = 0  # streams that have; no other one may follow, unless `members`

    def feed(self, data: bytes, most: int) -> bytes:
        """See Decoder."""
        found = bytearray()
        data = self._waiting + data
        self._waiting = b""
        try:
            while data and len(found) <= most:
                if self._stream is None and not self._begin(data):
                    break
                assert self._stream is not None
                found += self._stream.decompress(data, most + 1 - len(found))
                data = self._stream.unconsumed_tail
                if self._stream.eof:
                    data, self._stream, self._ended = self._stream.unused_data, None, self._ended + 1
        except zlib.error as error:
            raise BadInput(f"cannot decompress the body: {error}") from error
        return bytes(found)

    def _begin(self, data: bytes) -> bool:
        """Whether a stream could be begun; without, its first bytes wait for more."""
        if self._ended and not self._members:
            raise BadInput("cannot decompress the body: something follows its end")
        if self._ended >= MEMBERS_MAX:
            raise BadInput(f"cannot decompress the body: more than {MEMBERS_MAX} gzip members")
        bits = self._bits(data)
        if bits is None:
            self._waiting = data
            return False
        self._stream = zlib.decompressobj(bits)
        return True

    def end(self) -> None:
        """See Decoder."""
        if self._stream is not None or self._waiting:
            raise BadInput("cannot decompress the body: it is cut short")


def _form_of_deflate(data: bytes) -> int | None:
    """`deflate` is a zlib stream (RFC 9110 section 8.4.1.2), yet some clients send the raw one: its first two bytes tell."""
    if len(data) < 2:
        return None
    header = int.from_bytes(data[:2], "big")
    return _ZLIB if header % 31 == 0 and data[0] & 0x0F == 8 and data[0] >> 4 <= 7 else _RAW


class Zstandard:
    """Zstandard frames, one after another, with a bounded window."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def feed(self, data: bytes, most: int) -> bytes:
        """See Decoder."""
        found = bytearray()
        at = 0
        try:
            while at < len(data) and len(found) <= most:
                piece = data[at : at + ZSTD_PIECE]
                self._frame = self._frame or self._context.decompressobj()
                found += self._frame.decompress(piece)
                at += len(piece)
                if self._frame.eof:
                    at -= len(self._frame.unused_data)
                    self._frame = None
        except zstandard.ZstdError as error:
            raise BadInput(f"cannot decompress the body: {error}") from error
        return bytes(found)

    def end(self) -> None:
        """See Decoder."""
        if self._frame is not None:
            raise BadInput("cannot decompress the body: it is cut short")


def gunzip() -> Decoder:
    """Gzip members, one after another."""
    return Deflated(lambda _: _GZIP, members=True)


def inflate() -> Decoder:
    """One zlib stream, or a raw one."""
    return Deflated(_form_of_deflate, members=False)


DECODERS: dict[str, Callable[[], Decoder]] = {
    "deflate": inflate,
    "gzip": gunzip,
    "identity": Plain,
    "x-gzip": gunzip,
    "zstd": Zstandard,
}
SPOKEN = "deflate, gzip, zstd"


def decoder(encoding: str) -> Decoder:
    """For a Content-Encoding header; Unsupported for others than the above, and for two layers."""
    name = encoding.strip().lower() or "identity"
    if name not in DECODERS:
        raise Unsupported(f"cannot read a body with Content-Encoding {name[:40]!r}: one of {SPOKEN} is understood, once")
    return DECODERS[name]()
