"""Every name, magic number and layout on disk.

    directory = "store.json" "lock" "log/" { segment names }
    store.json = {"format": 1, "cluster": "<name or empty>"}
    segment   = "<20 digits>-<16 hex digits>.log"      numbered upwards; a new one at every start; the hex digits are its marker
    names     = the same with ".names"                 the segment's series records once more
    segment, names = { record }
    record    = "MXR1" kind:u8 length:u32 crc:u32 payload     crc: CRC-32 of marker, kind, length, payload
    payload   = series | samples | labels | frequencies       by kind; integers little-endian

    series      = msgpack [[number, cluster, host, type, type_id, stype, stype_id, metric, [[tag, value]...]]...]
                  what this segment calls by these numbers; before the first samples of each
    samples     = number:u32*count timestamp:i64*count value:f64*count
    labels      = msgpack [[cluster, host, type, type_id, stype, stype_id, [[label, value]...]]...]
    frequencies = msgpack {metric: seconds}            observed, not configured

A segment needs no other one to be read: numbers hold within one segment. What names the series is kept in two files, so that no
single damage takes the samples of others. The marker is random: no bytes that a client sends can be taken for a record.
"""

import enum
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from metricwire.samples import Labels, Place, SeriesKey

FORMAT = 1
IDENTITY_NAME = "store.json"
LOCK_NAME = "lock"
LOG_NAME = "log"
SEGMENT_NAME = re.compile(r"([0-9]{20})-([0-9a-f]{16})\.log")
RECORD_HEAD = struct.Struct("<4sBII")
RECORD_MAGIC = b"MXR1"
RECORD_LONGEST = 64 * 1024**2  # bytes of a payload; a longer length is damage
STATE_CHUNK = 1000  # labels, frequencies or names in one record
SAMPLE_BYTES = 20
_Pairs = tuple[tuple[str, str], ...]
_SERIES = msgspec.msgpack.Decoder(list[tuple[int, str, str, str, str, str, str, str, _Pairs]])
_LABELS = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, str, str, _Pairs]])
_FREQUENCIES = msgspec.msgpack.Decoder(dict[str, int])
Form = TypeVar("Form")


class Kind(enum.IntEnum):
    """What a record's payload is."""

    SERIES = 1
    SAMPLES = 2
    LABELS = 3
    FREQUENCIES = 4


class Columns(NamedTuple):
    """Samples as arrays of one length: series number, seconds, value."""

    numbers: NDArray[np.uint32]
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]


class Damaged(Exception):
    """Bytes that are no record, or a payload that is not of its kind's form."""


def segment_name(number: int, marker: bytes) -> str:
    """The file name of the segment."""
    return f"{number:020}-{marker.hex()}.log"


def names_name(segment: str) -> str:
    """The name of the file beside it that holds its series records once more."""
    return segment.removesuffix(".log") + ".names"


def checksum(marker: bytes, kind: int, payload: bytes) -> int:
    """What a record's `crc` is."""
    return zlib.crc32(payload, zlib.crc32(marker + bytes([kind]) + len(payload).to_bytes(4, "little")))


def record(marker: bytes, kind: Kind, payload: bytes) -> bytes:
    """A whole record of the segment with that marker."""
    return RECORD_HEAD.pack(RECORD_MAGIC, kind, len(payload), checksum(marker, kind, payload)) + payload


def pack_samples(columns: Columns) -> bytes:
    """Payload of a samples record."""
    return b"".join(column.tobytes() for column in columns)


def unpack_samples(payload: bytes) -> Columns:
    """What a samples record holds. Damaged when the length does not fit."""
    count, rest = divmod(len(payload), SAMPLE_BYTES)
    if rest:
        raise Damaged("the length does not fit")
    numbers = np.frombuffer(payload, np.uint32, count)
    timestamps = np.frombuffer(payload, np.int64, count, 4 * count)
    return Columns(numbers, timestamps, np.frombuffer(payload, np.float64, count, 12 * count))


def pack_series(named: Iterable[tuple[int, SeriesKey]]) -> bytes:
    """Payload of a series record."""
    return msgspec.msgpack.encode([(number, *key.place, key.metric, key.tags) for number, key in named])


def unpack_series(payload: bytes) -> list[tuple[int, SeriesKey]]:
    """Which numbers a series record gives to which series."""
    return [(row[0], SeriesKey(Place(*row[1:7]), row[7], row[8])) for row in _decoded(payload, _SERIES)]


def pack_labels(labels: Iterable[Labels]) -> bytes:
    """Payload of a labels record."""
    return msgspec.msgpack.encode([(*one.place, one.labels) for one in labels])


def unpack_labels(payload: bytes) -> list[Labels]:
    """What a labels record sets, in order."""
    return [Labels(Place(*row[:6]), row[6]) for row in _decoded(payload, _LABELS)]


def pack_frequencies(frequencies: Mapping[str, int]) -> bytes:
    """Payload of a frequencies record."""
    return msgspec.msgpack.encode(dict(frequencies))


def unpack_frequencies(payload: bytes) -> dict[str, int]:
    """What a frequencies record says."""
    return _decoded(payload, _FREQUENCIES)


def _decoded(payload: bytes, decoder: msgspec.msgpack.Decoder[Form]) -> Form:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(str(error)) from error
