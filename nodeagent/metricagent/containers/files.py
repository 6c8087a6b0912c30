"""Reading the small files of the kernel: cheaply, since a node with many containers has thousands of them."""

import os

PIECE = 16384  # bytes; most files come in one


def read(path: str) -> bytes:
    """All of a file. OSError when it cannot be read, or whoever it was about is gone."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, PIECE)
        while more := os.read(file, PIECE):
            text += more
        return text
    finally:
        os.close(file)


def pairs(text: bytes) -> dict[bytes, bytes]:
    """`name number` on each line. ValueError when it is something else."""
    words = text.split()
    if len(words) % 2:
        raise ValueError(f"cannot parse pairs: odd number of words in {text[:80]!r}")
    return dict(zip(words[::2], words[1::2], strict=True))
