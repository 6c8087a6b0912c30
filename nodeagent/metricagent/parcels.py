"""Batches to request bodies: joined as they are when many small ones wait, cut at line ends when one is too large."""

from collections.abc import Iterator
from typing import NamedTuple

from metricagent.encoding import Encoding, compress
from metricagent.spoolfile import Packed

LARGEST = 1024 * 1024  # bytes of text that are joined into one body: few requests, little memory
SMALLEST = 65536  # bytes that are not cut further: as long as one line may be


class Parcel(NamedTuple):
    """What is sent at once."""

    parts: tuple[Packed, ...]

    @property
    def lines(self) -> int:
        """How many there are."""
        return sum(part.samples for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of its text."""
        return sum(part.size for part in self.parts)

    def text(self) -> bytes:
        """The lines, each with its LF."""
        return b"".join(part.text() for part in self.parts)

    def encoded(self, encoding: Encoding) -> bytes:
        """The lines, compressed: parts that already are stay as they are, since joined streams are one."""
        if all(part.encoding is encoding for part in self.parts):
            return b"".join(part.body for part in self.parts)
        return compress(encoding, self.text())


def pieces(parcel: Parcel, most: int) -> Iterator[Parcel]:
    """Its lines, in order, in parcels of at most `most` bytes of text; a single longer line is a parcel of its own."""
    if parcel.size <= most:
        yield parcel
        return
    text = parcel.text()
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > most:
            end = text.rfind(b"\n", start, start + most) + 1 or text.find(b"\n", start) + 1 or len(text)
        piece = text[start:end]
        yield Parcel((Packed(Encoding.PLAIN, piece.count(b"\n"), len(piece), piece),))
        start = end
