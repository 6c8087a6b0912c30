"""The write-ahead log of one host: bytes to series. Pure.

    log     = 0xCC1DA701:u32 { record }                                        integers little-endian
    record  = 0xCC1DA7A1:u32 length:u32 payload crc:u32                        crc: CRC-32 (IEEE) of the payload
    payload = time:i64 length:u16 metric count:u8 { length:u8 level } value:f32

cc-metric-store stops at the first record that it cannot read; here reading goes on at the next one whose checksum holds.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from metricstore.disk.archiverows import widened
from metricstore.disk.formats import Damaged
from metricstore.legacy.levels import Series, finite, place
from metricwire.samples import SeriesKey

FILE_MAGIC = struct.pack("<I", 0xCC1DA701)
RECORD_MAGIC = struct.pack("<I", 0xCC1DA7A1)
_LONGEST = 1024**2  # bytes of a payload there
_GATHERED = 250_000  # samples held before they are given
_Gathered = dict[tuple[str, tuple[str, ...]], tuple[list[int], list[float]]]


class _Record(NamedTuple):
    metric: str
    levels: tuple[str, ...]
    timestamp: int
    value: float
    end: int


def read(content: bytes, cluster: str, host: str) -> Iterator[Series]:
    """All series of a log. Damaged, once everything readable is given, when bytes had to be skipped."""
    if content and not content.startswith(FILE_MAGIC):
        raise Damaged("it does not begin as a write-ahead log")
    gathered: _Gathered = {}
    at, count, skipped = len(FILE_MAGIC), 0, 0
    while at < len(content):
        record = _record(content, at)
        if record is None:
            behind = content.find(RECORD_MAGIC, at + 1)
            behind = behind if behind >= 0 else len(content)
            skipped, at = skipped + behind - at, behind
            continue
        stamps, values = gathered.setdefault((record.metric, record.levels), ([], []))
        stamps.append(record.timestamp)
        values.append(record.value)
        at, count = record.end, count + 1
        if count % _GATHERED == 0:
            yield from _series(gathered, cluster, host)
            gathered = {}
    yield from _series(gathered, cluster, host)
    if skipped:
        raise Damaged(f"{skipped} bytes of it are no records")


def _series(gathered: _Gathered, cluster: str, host: str) -> Iterator[Series]:
    for (metric, levels), (stamps, values) in gathered.items():
        key = SeriesKey(place(cluster, host, levels), metric)
        yield finite(key, np.array(stamps, np.int64), widened(np.array(values, np.float32)))


def _record(content: bytes, at: int) -> _Record | None:
    """The record that begins there; None when none does."""
    head, start = content[at : at + 8], at + 8
    if len(head) < 8 or not head.startswith(RECORD_MAGIC):
        return None
    length = int.from_bytes(head[4:], "little")
    end = start + length + 4
    if length > _LONGEST or end > len(content):
        return None
    payload = content[start : end - 4]
    if zlib.crc32(payload) != int.from_bytes(content[end - 4 : end], "little"):
        return None
    try:
        return _fields(payload, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _fields(payload: bytes, end: int) -> _Record:
    timestamp, length = struct.unpack_from("<qH", payload)
    at = 10 + length
    metric, levels = payload[10:at].decode(), []
    count, at = payload[at], at + 1
    for _ in range(count):
        size, at = payload[at], at + 1
        levels.append(payload[at : at + size].decode())
        at += size
    (value,) = struct.unpack_from("<f", payload, at)
    return _Record(metric, tuple(levels), timestamp, value, end)
