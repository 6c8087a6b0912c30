"""Every name, magic number and layout on disk.

    directory = "store.json" "lock" "log/" { segment }
    store.json = {"format": 1, "cluster": "<name or empty>"}
    segment   = "<20 digits>.log"                  numbered upwards; a new one at every start
    segment   = head { record }
    head      = "MXSEG1"
    record    = "MXR1" kind:u8 length:u32 crc:u32 payload                     crc: CRC-32 of kind, length and payload
    payload   = samples | labels | frequencies     by kind; integers little-endian

    samples     = definitions:u32 count:u32 msgpack number:u32*count timestamp:i64*count value:f64*count
                  msgpack: [[number, cluster, host, type, type_id, stype, stype_id, metric, [[tag, value]...]]...], as many
                  bytes as `definitions` says: the series that this segment names for the first time
    labels      = msgpack [[cluster, host, type, type_id, stype, stype_id, [[label, value]...]]...]
    frequencies = msgpack {metric: seconds}        observed, not configured

A segment needs no other one to be read: series numbers hold within one segment only. The digits in the magic numbers are the
format's version, as in store.json.
"""

import enum
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
SEGMENT_DIGITS = 20
SEGMENT_SUFFIX = ".log"
SEGMENT_HEAD = b"MXSEG1"
RECORD_HEAD = struct.Struct("<4sBII")
RECORD_MAGIC = b"MXR1"
RECORD_LONGEST = 256 * 1024**2  # bytes of a payload; a longer length is damage
_COUNTS = struct.Struct("<II")
_Pairs = tuple[tuple[str, str], ...]
_DEFINITIONS = msgspec.msgpack.Decoder(list[tuple[int, str, str, str, str, str, str, str, _Pairs]])
_LABELS = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, str, str, _Pairs]])
_FREQUENCIES = msgspec.msgpack.Decoder(dict[str, int])
Form = TypeVar("Form")


class Kind(enum.IntEnum):
    """What a record's payload is."""

    SAMPLES = 1
    LABELS = 2
    FREQUENCIES = 3


class Columns(NamedTuple):
    """Samples as arrays of one length: series number, seconds, value."""

    numbers: NDArray[np.uint32]
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]


class Damaged(Exception):
    """Bytes that are no record, or a payload that is not of its kind's form."""


def segment_name(number: int) -> str:
    """The file name of the segment."""
    return f"{number:0{SEGMENT_DIGITS}}{SEGMENT_SUFFIX}"


def record(kind: Kind, payload: bytes) -> bytes:
    """A whole record."""
    crc = zlib.crc32(payload, zlib.crc32(bytes([kind]) + len(payload).to_bytes(4, "little")))
    return RECORD_HEAD.pack(RECORD_MAGIC, kind, len(payload), crc) + payload


def check(kind: int, payload: bytes, crc: int) -> None:
    """Damaged unless the checksum is that of kind, length and payload."""
    if zlib.crc32(payload, zlib.crc32(bytes([kind]) + len(payload).to_bytes(4, "little"))) != crc:
        raise Damaged("the checksum does not match")


def pack_samples(columns: Columns, definitions: Iterable[tuple[int, SeriesKey]]) -> bytes:
    """Payload of a samples record."""
    packed = msgspec.msgpack.encode([(number, *key.place, key.metric, key.tags) for number, key in definitions])
    head = _COUNTS.pack(len(packed), len(columns.numbers))
    return b"".join((head, packed, *(column.tobytes() for column in columns)))


def unpack_samples(payload: bytes) -> tuple[Columns, list[tuple[int, SeriesKey]]]:
    """Columns and definitions of a samples record. Damaged when the lengths do not add up."""
    if len(payload) < _COUNTS.size:
        raise Damaged("it is cut short")
    size, count = _COUNTS.unpack_from(payload)
    at = _COUNTS.size + size
    if at + 20 * count != len(payload):
        raise Damaged("the lengths do not add up")
    found = _decoded(payload[_COUNTS.size : at], _DEFINITIONS)
    definitions = [(row[0], SeriesKey(Place(*row[1:7]), row[7], row[8])) for row in found]
    numbers = np.frombuffer(payload, np.uint32, count, at)
    timestamps = np.frombuffer(payload, np.int64, count, at + 4 * count)
    return Columns(numbers, timestamps, np.frombuffer(payload, np.float64, count, at + 12 * count)), definitions


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
