"""Batches to request bodies: joined when many small ones wait, cut at line ends when one is too large."""

from collections.abc import Iterable, Iterator

LARGEST = 1024 * 1024  # bytes of text that are joined into one body: few requests, little memory
SMALLEST = 65536  # bytes that are not cut further: as long as one line may be


def pieces(texts: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The lines of `texts`, in order, in bodies of at most `most` bytes; a single longer line is a body of its own."""
    text = b"".join(texts)
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > most:
            end = text.rfind(b"\n", start, start + most) + 1 or text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def lines(piece: bytes) -> int:
    """How many lines a body has, each with its LF."""
    return piece.count(b"\n")
