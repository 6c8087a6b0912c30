"""Checkpoints of one host: bytes to series. Pure.

    JSON   = {"metrics": {name: {"frequency", "start", "data": [number or null]}}, "children": {name: the same}}

    binary = 0xCC5B0001:u32 from:i64 to:i64 level                                                  integers little-endian
    level  = count:u32 { length:u16 name frequency:i64 start:i64 count:u32 { value:f32 } }
             count:u32 { length:u16 name level }

Value i is of the time start + i * frequency, as their own archive has it. Where a checkpoint begins inside of a series that is
up to half a frequency off the time that was sent: what is exact is not in these files. JSON holds one decimal only.
"""

import struct
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from metricstore.disk.archiverows import widened
from metricstore.disk.formats import Damaged
from metricstore.legacy.levels import Series, finite, place
from metricwire.samples import SeriesKey

BINARY_MAGIC = 0xCC5B0001
_TIME_MOST = 2**40  # seconds; a time beyond it is damage


class _Metric(msgspec.Struct):
    frequency: int
    start: int
    data: list[float | None] | None


class _Level(msgspec.Struct):
    metrics: dict[str, _Metric] | None = None
    children: dict[str, "_Level"] | None = None


_JSON = msgspec.json.Decoder(_Level)


def from_json(content: bytes, cluster: str, host: str) -> Iterator[Series]:
    """All series of a JSON checkpoint. Damaged when it is none; what came before the damage is given."""
    try:
        root = _JSON.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(str(error)) from error
    yield from _of_level(root, cluster, host, ())


def _of_level(level: _Level, cluster: str, host: str, path: tuple[str, ...]) -> Iterator[Series]:
    where = place(cluster, host, path)
    for name, metric in (level.metrics or {}).items():
        values = np.array([np.nan if value is None else value for value in metric.data or []], np.float64)
        yield finite(SeriesKey(where, name), _times(metric.start, metric.frequency, len(values)), values)
    for name, child in (level.children or {}).items():
        yield from _of_level(child, cluster, host, (*path, name))


def from_binary(content: bytes, cluster: str, host: str) -> Iterator[Series]:
    """All series of a binary checkpoint. Damaged when it is none; what came before the damage is given."""
    reader = _Reader(content)
    if reader.number("<I") != BINARY_MAGIC:
        raise Damaged("it does not begin as a binary checkpoint")
    reader.number("<q")
    reader.number("<q")
    yield from _level(reader, cluster, host, ())


def _level(reader: "_Reader", cluster: str, host: str, path: tuple[str, ...]) -> Iterator[Series]:
    where = place(cluster, host, path)
    for _ in range(reader.number("<I")):
        name, frequency, start = reader.text(), reader.number("<q"), reader.number("<q")
        values = widened(np.frombuffer(reader.bytes(4 * reader.number("<I")), "<f4"))
        yield finite(SeriesKey(where, name), _times(start, frequency, len(values)), values)
    for _ in range(reader.number("<I")):
        yield from _level(reader, cluster, host, (*path, reader.text()))


def _times(start: int, frequency: int, count: int) -> NDArray[np.int64]:
    if not (-_TIME_MOST < start < _TIME_MOST and 0 < frequency < _TIME_MOST):
        raise Damaged(f"a series begins at {start} with a frequency of {frequency}")
    return start + frequency * np.arange(count, dtype=np.int64)


class _Reader:
    """Takes values off the front. Damaged at the end of the bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def bytes(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self._content) - self._at:
            raise Damaged(f"it ends inside of a series, at byte {len(self._content)}")
        self._at += size
        return self._content[self._at - size : self._at]

    def number(self, form: str) -> int:
        """The next integer."""
        (found,) = struct.unpack(form, self.bytes(struct.calcsize(form)))
        return int(found)

    def text(self) -> str:
        """The next name."""
        try:
            return self.bytes(self.number("<H")).decode()
        except UnicodeDecodeError as error:
            raise Damaged("a name is not UTF-8") from error
