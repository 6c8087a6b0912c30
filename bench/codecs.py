"""Block codecs compared: bytes a sample, and the CPU time to encode and decode one, on the bench's data and on likely signals.

Each codec gets the same chunks of ROWS_MAX rows of 64 samples, and each is checked to give back the same values. The figure of
the store's codec includes what it keeps for each row (member, phase, mask ...), as it is on disk.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.data import ENTROPY, FREQUENCY, Fleet, values
from bench.progress import say
from metricstore.disk import codec

Floats = NDArray[np.float64]
ROWS = 16_384  # of each signal: a million samples
SLOTS = codec.SLOTS
CHUNK = codec.ROWS_MAX
LEVEL = 3  # of Zstandard, as in the store


class Figure(NamedTuple):
    """One codec on one signal. Times are CPU nanoseconds a sample; None where only the size is worked out."""

    signal: str
    codec: str
    bytes: float
    encode: float | None
    decode: float | None


class Codec(NamedTuple):
    """Two functions for chunks of (CHUNK, SLOTS) values."""

    encode: Callable[[Floats], bytes]
    decode: Callable[[bytes], Floats]


def signals(rows: int) -> dict[str, Floats]:
    """(rows, SLOTS) values of each kind."""
    chance = np.random.default_rng(7)
    shape = (rows, SLOTS)
    fleet = Fleet(-(-rows // Fleet().by_host))
    drawn = np.stack([values(fleet.series, FREQUENCY * slot)[0] for slot in range(SLOTS)], axis=1)[:rows] / 1000
    alike = np.stack([values(fleet.series, FREQUENCY * slot, fixed=True)[0] for slot in range(SLOTS)], axis=1)[:rows] / 1000
    counters = np.cumsum(chance.poisson(chance.gamma(1, 50_000, (rows, 1)), shape), axis=1) + chance.integers(
        0, 2**40, (rows, 1)
    )
    walk = np.cumsum(chance.normal(0, 0.2, shape), axis=1) + chance.uniform(20, 80, (rows, 1))
    return {
        "bench data: 1-3 decimals, drawn for each sample": drawn,
        "the same, decimals fixed for a series": alike,
        "counter: bytes, Poisson increments": counters.astype(np.float64),
        "gauge: slow, 2 decimals": np.round(walk, 2),
        "gauge: percent, 1 decimal, noisy": np.round(chance.beta(2, 5, shape) * 100, 1),
        "constant": np.repeat(np.round(chance.uniform(0, 1000, (rows, 1)), 2), SLOTS, axis=1),
        "doubles of full precision": chance.uniform(0, 1000, shape),
    }


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def _decompress(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data)


def _shuffled(content: NDArray[np.uint64]) -> bytes:
    """Byte planes: the first bytes of all, then the second ..."""
    return content.astype("<u8").view(np.uint8).reshape(-1, 8).T.tobytes()


def _unshuffled(data: bytes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(8, -1).T).view("<u8").reshape(-1, SLOTS)


def _steps(chunk: Floats) -> NDArray[np.uint64]:
    """Differences of the bits as integers, modulo 2**64."""
    bits = chunk.view(np.uint64).copy()
    bits[:, 1:] -= chunk.view(np.uint64)[:, :-1]
    return bits


def _ours(chunk: Floats) -> bytes:
    rows = len(chunk)
    return codec.encode(codec.Rows(np.arange(rows, dtype=np.uint8), np.zeros(rows, np.int32), chunk))


CODECS = {
    "the store's": Codec(_ours, lambda data: codec.decode(data).values),
    "zstd": Codec(
        lambda chunk: _compress(chunk.tobytes()), lambda data: np.frombuffer(_decompress(data), np.float64).reshape(-1, SLOTS)
    ),
    "byte planes, zstd": Codec(
        lambda chunk: _compress(_shuffled(chunk.view(np.uint64))), lambda data: _unshuffled(_decompress(data)).view(np.float64)
    ),
    "differences of the bits, byte planes, zstd": Codec(
        lambda chunk: _compress(_shuffled(_steps(chunk))),
        lambda data: np.cumsum(_unshuffled(_decompress(data)), axis=1, dtype=np.uint64).view(np.float64),
    ),
}


def gorilla_bits(rows: Floats) -> NDArray[np.int64]:
    """Bits of each row (64 samples) in Gorilla's XOR code (VLDB 2015, section 4.1.2), without writing them.

    The first value takes 64; then "0" for the same again, "10" and the meaningful bits when they fit into the window
    before, else "11", 5 bits of leading zeros, 6 of length and the bits.
    """
    found = np.full(len(rows), 64)
    bits = rows.view(np.uint64)
    leading = np.full(len(rows), 64)  # no window yet
    trailing = np.full(len(rows), 64)
    for slot in range(1, rows.shape[1]):
        change = bits[:, slot] ^ bits[:, slot - 1]
        front = np.minimum(64 - _length(change), 31)
        back = np.maximum(_length(change & (~change + np.uint64(1))) - 1, 0)
        same = change == 0
        fits = ~same & (front >= leading) & (back >= trailing)
        fresh = ~same & ~fits
        found += np.where(same, 1, np.where(fits, 2 + 64 - leading - trailing, 2 + 5 + 6 + 64 - front - back))
        leading, trailing = np.where(fresh, front, leading), np.where(fresh, back, trailing)
    return found


def _length(number: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits of each number, 0 for 0."""
    high, low = (number >> np.uint64(32)).astype(np.float64), (number & np.uint64(0xFFFFFFFF)).astype(np.float64)
    return np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1]).astype(np.int64)


def compare() -> list[Figure]:
    """Every codec on every signal. RuntimeError when one does not give back the values."""
    found = []
    for signal, rows in signals(ROWS).items():
        chunks = [np.ascontiguousarray(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        for name, one in CODECS.items():
            begun = time.process_time()
            encoded = [one.encode(chunk) for chunk in chunks]
            between = time.process_time()
            decoded = [one.decode(data) for data in encoded]
            done = time.process_time()
            if not all(
                np.array_equal(back.view(np.uint64), chunk.view(np.uint64)) for back, chunk in zip(decoded, chunks, strict=True)
            ):
                raise RuntimeError(f"cannot compare codecs: {name} changed values of {signal}")
            size = sum(map(len, encoded)) / rows.size
            found.append(Figure(signal, name, size, (between - begun) / rows.size * 1e9, (done - between) / rows.size * 1e9))
        found.append(Figure(signal, "XOR (Gorilla), size only", float(gorilla_bits(rows).sum()) / 8 / rows.size, None, None))
        say(f"{signal}: {', '.join(f'{one.codec} {one.bytes:.2f}' for one in found if one.signal == signal)} bytes a sample")
    return found


def table(figures: list[Figure]) -> list[str]:
    """Markdown."""
    lines = [
        f"Bytes a sample, in brackets CPU ns to encode and decode one; {CHUNK} rows of {SLOTS} samples at once.",
        f"No codec can keep the bench data in less than {ENTROPY:.2f}.",
        "",
        "| signal | " + " | ".join(dict.fromkeys(one.codec for one in figures)) + " |",
    ]
    lines.append("|---" * lines[-1].count(" | ") + "|---|")
    for signal in dict.fromkeys(one.signal for one in figures):
        cells = []
        for one in figures:
            if one.signal == signal:
                times = "" if one.encode is None else f" ({one.encode:.0f}, {one.decode:.0f})"
                cells.append(f"{one.bytes:.2f}{times}")
        lines.append(f"| {signal} | " + " | ".join(cells) + " |")
    return lines
