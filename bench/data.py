"""The load of design.md section 7: hosts x (17 node metrics + 10 metrics x 72 threads), 85 bytes a line, one sample a minute.

Values are uniform in 100 to 1000 with one to three decimals, drawn anew for each sample: nothing in them can be predicted, and
2.2 bytes each is the least that any codec can reach (`ENTROPY`). They depend on the timestamp alone, so that what was sent can
be made again to compare it with what is read.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CLUSTER = "hpc"
FREQUENCY = 60  # seconds
NODE_METRICS = tuple(f"node_{number:02}" for number in range(17))
THREAD_METRICS = tuple(f"metric_{number}" for number in range(10))
METRICS = NODE_METRICS + THREAD_METRICS
THREADS = 72
LOWEST, HIGHEST = 100_000, 1_000_000  # of a value, in thousandths
VALUE_BYTES, TAIL_BYTES = 7, 12  # "123.456" and " 1700000000\n"

Numbers = NDArray[np.uint32]

_WHOLE = np.frombuffer(b"".join(b"%03d." % number for number in range(1000)), np.uint32)


def _parts(padding: bytes) -> Numbers:
    """Digits behind the point, four bytes each, by decimals (1 to 3) x 1000 thousandths."""
    texts = [b"%03d" % number for number in range(1000)]
    return np.frombuffer(b"".join(text[:digits].ljust(3, padding) + b"\0" for digits in (1, 2, 3) for text in texts), np.uint32)


_NATURAL, _PADDED = _parts(b"\0"), _parts(b"0")


def _entropy() -> float:
    """Bytes that a value takes at least: decimals are 1, 2 or 3 with the same chance, then every value with that many."""
    count = (HIGHEST - LOWEST) / 1000
    chance = [1 / (3 * count * 10**digits) for digits in (1, 2, 3)]
    ways = [count * 10, count * 90, count * 900]  # values whose shortest form has that many decimals
    of_each = [sum(chance[digits:]) for digits in range(3)]
    return sum(-way * one * math.log2(one) for way, one in zip(ways, of_each, strict=True)) / 8


ENTROPY = _entropy()


class Fleet(NamedTuple):
    """Hosts of one make; 200 of them are the 147,400 series of the design."""

    hosts: int = 200
    node_metrics: tuple[str, ...] = NODE_METRICS
    thread_metrics: tuple[str, ...] = THREAD_METRICS
    threads: int = THREADS

    @property
    def by_host(self) -> int:
        """Series of one host."""
        return len(self.node_metrics) + len(self.thread_metrics) * self.threads

    @property
    def series(self) -> int:
        """Series of all."""
        return self.hosts * self.by_host

    def heads(self) -> list[str]:
        """What comes before the value, for every series, host by host."""
        found = []
        for number in range(self.hosts):
            tags = f"cluster={CLUSTER},hostname={host(number)}"
            found += [f"{metric},{tags},type=node" for metric in self.node_metrics]
            found += [
                f"{metric},{tags},type=hwthread,type-id={thread}"
                for thread in range(self.threads)
                for metric in self.thread_metrics
            ]
        return found


def host(number: int) -> str:
    """Its name."""
    return f"n{number:04}"


def values(series: int, timestamp: int, *, fixed: bool = False) -> tuple[Numbers, Numbers]:
    """(thousandths, decimals less one) of every series at that time. `fixed`: a series keeps its number of decimals."""
    chance = np.random.default_rng((7, timestamp))
    decimals = np.arange(series, dtype=np.uint32) % 3 if fixed else chance.integers(0, 3, series, dtype=np.uint32)
    step = np.array([100, 10, 1], np.uint32)[decimals]
    thousandths = chance.integers(LOWEST, HIGHEST, series, dtype=np.uint32)
    return thousandths - thousandths % step, decimals


class Template:
    """Some lines of a body, in which values and the timestamp are put in place; making a line takes less than 0.1 us."""

    def __init__(self, heads: list[str]) -> None:
        lines = [f"{head} value=".encode() for head in heads]
        lengths = np.array([len(line) for line in lines])
        slots = np.cumsum(lengths + VALUE_BYTES + TAIL_BYTES) - VALUE_BYTES - TAIL_BYTES
        self._text = np.frombuffer(bytearray(b"".join(line + bytes(VALUE_BYTES + TAIL_BYTES) for line in lines)), np.uint8)
        self._values = slots[:, None] + np.arange(VALUE_BYTES)
        self._tails = slots[:, None] + np.arange(VALUE_BYTES, VALUE_BYTES + TAIL_BYTES)

    def body(self, timestamp: int, thousandths: Numbers, decimals: Numbers, *, padded: bool) -> bytes:
        """The lines. `padded` writes three decimals always, which is faster: 1.5 is sent as 1.500."""
        words = np.empty((len(thousandths), 2), np.uint32)
        words[:, 0] = _WHOLE[thousandths // 1000]
        words[:, 1] = (_PADDED if padded else _NATURAL)[decimals * 1000 + thousandths % 1000]
        self._text[self._values] = words.view(np.uint8)[:, :VALUE_BYTES]
        self._text[self._tails] = np.frombuffer(b" %010d\n" % timestamp, np.uint8)
        text = self._text.tobytes()
        return text if padded else text.translate(None, b"\0")


class Bodies:
    """Samples of a fleet as bodies of line protocol."""

    def __init__(self, fleet: Fleet, lines: int) -> None:
        heads = fleet.heads()
        self._series = len(heads)
        self._lines = lines
        self._templates = [Template(heads[start : start + lines]) for start in range(0, len(heads), lines)]

    def at(self, timestamp: int, *, padded: bool = False, fixed: bool = False) -> Iterator[tuple[int, bytes]]:
        """One sample of every series at that time: (lines, body) each."""
        thousandths, decimals = values(self._series, timestamp, fixed=fixed)
        for number, template in enumerate(self._templates):
            part = slice(number * self._lines, (number + 1) * self._lines)
            yield len(thousandths[part]), template.body(timestamp, thousandths[part], decimals[part], padded=padded)
