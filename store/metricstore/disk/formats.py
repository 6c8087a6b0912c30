"""Every name, magic number and layout on disk.

    directory  = "store.json" "lock" "checkpoint" "names/" "log/" "blocks/" "archive/" "quarantine/"
    store.json = {"format": 1, "cluster": "<name or empty>", "crc": <CRC-32 of "1 <name>">}
    log/       = { "<20 digits>-<16 hex digits>.log" }       segments, numbered upwards; a new one at every start
    names/     = { "<20 digits>-<16 hex digits>.a" and ".b" }      the same series records twice
    segment, names, checkpoint = { record }          the hex digits in the file's name are its marker; none: 8 zero bytes
    record     = "MXR1" kind:u8 length:u32 crc:u32 payload     crc: CRC-32 of marker, kind, length, payload
    payload    = series | samples | labels | frequencies | freed | state | time      by kind; integers little-endian

    series      = msgpack [[cluster, host, type, type_id, stype, stype_id, [[number, metric, [[tag, value]...]]...]]...]
                  what these numbers mean wherever they stand; before the first samples of each
    samples     = count:u32 base:i64 width:u8 number:u32*count offset:u<8*width>*count value:f64*count
                  timestamp = base + offset; width 0, 2, 4 or 8 bytes
    labels      = msgpack [[cluster, host, type, type_id, stype, stype_id, [[label, value]...]]...]
    frequencies = msgpack {metric: seconds}            observed, not configured
    freed       = before:i64 number:u32*              what these series hold in windows that end before then is forgotten
    state       = segment:u64 given:u64 length:u32 zstd(number:u32* step:i32* phase:i32* first:i64* last:i64* moved:u8*)
                  what of the log is in blocks: replay begins with that segment, on series that are as said here;
                  numbers below `given` were given once
    time        = seconds:i64                      what time it was, by which samples age (SteadyClock)

    blocks/     = { "<8 digits>-<16 hex digits>-<2 digits>-<10 digits>.block" }      as in the block, window in two's complement
    block       = "MXB1" frequency:u32 window:i64 windows:u32 part:u32 chunks:u32 crc:u32 table chunk*
                  crc: of all before it and the table; the first window, how many there are, which series
    table       = key:u32*chunks length:u32*chunks crc:u32*chunks      key: series number // series of a chunk; ascending
    chunk       = see codec: a row of 64 values for each series and window;
                  member = series number % series of a chunk * windows + window % windows
    A single block is of one window: part 0, all series, 128 to a chunk. A merged one is of 2 to 32 windows (`merged_windows`),
    the first a multiple of how many: 65536 // windows series from part times that on, 64 // windows to a chunk. Where a single
    block has a value too, that counts.

Markers are random: no bytes that a client sends can be taken for a record.
"""

import enum
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from metricstore.disk.codec import SLOTS
from metricwire.samples import Labels, Place, SeriesKey

FORMAT = 1
IDENTITY_NAME = "store.json"
LOCK_NAME = "lock"
CHECKPOINT_NAME = "checkpoint"
LOG_NAME, NAMES_NAME, BLOCKS_NAME, ARCHIVE_NAME, QUARANTINE_NAME = "log", "names", "blocks", "archive", "quarantine"
FILE_NAME = re.compile(r"([0-9]{20})-([0-9a-f]{16})(\.log|\.a|\.b)")
BLOCK_NAME = re.compile(r"([0-9]{8})-([0-9a-f]{16})-([0-9]{2})-([0-9]{10})\.block")
NO_MARKER = bytes(8)
RECORD_HEAD = struct.Struct("<4sBII")
RECORD_MAGIC = b"MXR1"
RECORD_LONGEST = 64 * 1024**2  # bytes of a payload; a longer length is damage
STATE_CHUNK = 1000  # labels, frequencies or names in one record
BLOCK_HEAD = struct.Struct("<4sIqIIII")
BLOCK_MAGIC = b"MXB1"
CHUNK_SERIES = 128  # of a single block
MERGED_CHUNK_ROWS = 64  # this and what follows is part of the layout
MERGED_ROWS = 65536  # of a merged block, at most
MERGED_MOST = 32  # windows of a merged block; a power of two
MERGED_SECONDS = 6 * 3600  # that a merged block lasts at most
_SAMPLES_HEAD = struct.Struct("<IqB")
_FREED_HEAD = struct.Struct("<q")
_TIME = struct.Struct("<q")
_STATE_HEAD = struct.Struct("<QQI")
_OFFSETS = {0: None, 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}
_Pairs = tuple[tuple[str, str], ...]
_SERIES = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, str, str, list[tuple[int, str, _Pairs]]]])
_LABELS = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, str, str, _Pairs]])
_FREQUENCIES = msgspec.msgpack.Decoder(dict[str, int])
Form = TypeVar("Form")


class Kind(enum.IntEnum):
    """What a record's payload is."""

    SERIES = 1
    SAMPLES = 2
    LABELS = 3
    FREQUENCIES = 4
    FREED = 5
    STATE = 6
    TIME = 7


class Identity(NamedTuple):
    """Whose folder it is, and how new."""

    format: int
    cluster: str

    @property
    def crc(self) -> int:
        """What `crc` is."""
        return zlib.crc32(f"{self.format} {self.cluster}".encode())


class Columns(NamedTuple):
    """Samples as arrays of one length: series number, seconds, value."""

    numbers: NDArray[np.uint32]
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]

    def at(self, which: NDArray[np.generic] | slice) -> "Columns":
        """Those samples."""
        return Columns(self.numbers[which], self.timestamps[which], self.values[which])

    @staticmethod
    def joined(parts: "Sequence[Columns]") -> "Columns":
        """All parts, one after another."""
        if len(parts) == 1:
            return parts[0]
        return Columns(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


class Freed(NamedTuple):
    """What these series hold in windows that end before that time is forgotten."""

    numbers: NDArray[np.int64]
    before: int


class State(NamedTuple):
    """The series as the blocks have them, and the first segment of the log that is not in blocks; see SeriesTable.

    `given`: numbers below it were given to series once, and to no other.
    """

    segment: int
    given: int
    numbers: NDArray[np.int64]
    step: NDArray[np.int32]
    phase: NDArray[np.int32]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    moved: NDArray[np.uint8]


_STATE_COLUMNS: tuple[np.dtype[Any], ...] = tuple(map(np.dtype, ("<u4", "<i4", "<i4", "<i8", "<i8", "u1")))


class Damaged(Exception):
    """Bytes that are no record, or a payload that is not of its kind's form."""


def file_name(number: int, marker: bytes, ending: str) -> str:
    """The name of a segment (`.log`) or of names (`.a`, `.b`)."""
    return f"{number:020}-{marker.hex()}{ending}"


class Block(NamedTuple):
    """Which block: seconds between slots, first window, how many windows, which part of the series."""

    frequency: int
    window: int
    windows: int = 1
    part: int = 0

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.frequency:08}-{self.window % 2**64:016x}-{self.windows:02}-{self.part:010}.block"

    @property
    def chunk_series(self) -> int:
        """Series of a chunk."""
        return CHUNK_SERIES if self.windows == 1 else MERGED_CHUNK_ROWS // self.windows

    @staticmethod
    def named(name: str) -> "Block | None":
        """The block that a file of that name would be."""
        found = BLOCK_NAME.fullmatch(name)
        if not found:
            return None
        window = int(found[2], 16)
        block = Block(int(found[1]), window - 2**64 if window >= 2**63 else window, int(found[3]), int(found[4]))
        single = block.windows == 1 and block.part == 0
        merged = block.windows == merged_windows(block.frequency) and block.window % block.windows == 0
        return block if block.frequency and (single or merged) else None


def merged_windows(frequency: int) -> int:
    """How many windows of that frequency (seconds) a merged block has; 1: there is none."""
    count = MERGED_MOST
    while count > 1 and count * SLOTS * frequency > MERGED_SECONDS:
        count //= 2
    return count


def part_series(windows: int) -> int:
    """How many series a merged block of so many windows is of."""
    return MERGED_ROWS // windows


def checksum(marker: bytes, kind: int, payload: bytes) -> int:
    """What a record's `crc` is."""
    return zlib.crc32(payload, zlib.crc32(marker + bytes([kind]) + len(payload).to_bytes(4, "little")))


def record(marker: bytes, kind: Kind, payload: bytes) -> bytes:
    """A whole record of the file with that marker."""
    return RECORD_HEAD.pack(RECORD_MAGIC, kind, len(payload), checksum(marker, kind, payload)) + payload


def pack_identity(identity: Identity) -> bytes:
    """What store.json is."""
    return msgspec.json.encode(identity._asdict() | {"crc": identity.crc})


def unpack_identity(content: bytes) -> Identity:
    """What store.json says. Damaged."""
    try:
        known = msgspec.json.decode(content, type=dict[str, str | int])
        identity = Identity(int(known["format"]), str(known["cluster"]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, ValueError) as error:
        raise Damaged(str(error)) from error
    if known.get("crc") != identity.crc:
        raise Damaged("the checksum does not match")
    return identity


def pack_samples(columns: Columns) -> bytes:
    """Payload of a samples record."""
    count = len(columns.numbers)
    base = int(columns.timestamps.min()) if count else 0
    span = int(columns.timestamps.max()) - base if count else 0
    width = 0 if span == 0 else 2 if span < 2**16 else 4 if span < 2**32 else 8
    form = _OFFSETS[width]
    offsets = b"" if form is None else (columns.timestamps - base).astype(form).tobytes()
    head = _SAMPLES_HEAD.pack(count, base, width)
    return b"".join((head, columns.numbers.tobytes(), offsets, columns.values.tobytes()))


def unpack_samples(payload: bytes) -> Columns:
    """What a samples record holds. Damaged when the length does not fit."""
    try:
        count, base, width = _SAMPLES_HEAD.unpack_from(payload)
        form = _OFFSETS[width]
    except (struct.error, KeyError) as error:
        raise Damaged("no head of a samples record") from error
    at = _SAMPLES_HEAD.size
    if len(payload) != at + count * (4 + width + 8):
        raise Damaged("the length does not fit")
    numbers = np.frombuffer(payload, np.uint32, count, at)
    offsets = np.frombuffer(payload, form, count, at + 4 * count).astype(np.int64) if form else np.zeros(count, np.int64)
    return Columns(numbers, offsets + base, np.frombuffer(payload, np.float64, count, at + (4 + width) * count))


def pack_series(named: Iterable[tuple[int, SeriesKey]]) -> bytes:
    """Payload of a series record."""
    places: dict[Place, list[tuple[int, str, _Pairs]]] = {}
    for number, key in named:
        places.setdefault(key.place, []).append((number, key.metric, key.tags))
    return msgspec.msgpack.encode([(*place, here) for place, here in places.items()])


def unpack_series(payload: bytes) -> list[tuple[int, SeriesKey]]:
    """Which numbers a series record gives to which series."""
    found = []
    for *path, here in _decoded(payload, _SERIES):
        place = Place(*path)
        found += [(number, SeriesKey(place, metric, tags)) for number, metric, tags in here]
    return found


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


def pack_freed(freed: Freed) -> bytes:
    """Payload of a freed record."""
    return _FREED_HEAD.pack(freed.before) + freed.numbers.astype("<u4").tobytes()


def unpack_freed(payload: bytes) -> Freed:
    """What a freed record says."""
    if len(payload) < _FREED_HEAD.size or (len(payload) - _FREED_HEAD.size) % 4:
        raise Damaged("the length does not fit")
    return Freed(np.frombuffer(payload, "<u4", offset=_FREED_HEAD.size).astype(np.int64), *_FREED_HEAD.unpack_from(payload))


def pack_time(seconds: int) -> bytes:
    """Payload of a time record."""
    return _TIME.pack(seconds)


def unpack_time(payload: bytes) -> int:
    """What a time record says. Damaged when the length does not fit."""
    if len(payload) != _TIME.size:
        raise Damaged("the length does not fit")
    (seconds,) = _TIME.unpack(payload)
    return int(seconds)


def pack_state(state: State) -> bytes:
    """Payload of a state record."""
    found: tuple[NDArray[Any], ...] = (state.numbers, state.step, state.phase, state.first, state.last, state.moved)
    columns = [column.astype(form).tobytes() for column, form in zip(found, _STATE_COLUMNS, strict=True)]
    return _STATE_HEAD.pack(state.segment, state.given, len(state.numbers)) + zstandard.ZstdCompressor().compress(
        b"".join(columns)
    )


def unpack_state(payload: bytes) -> State:
    """What a state record says."""
    try:
        segment, given, count = _STATE_HEAD.unpack_from(payload)
        size = count * sum(form.itemsize for form in _STATE_COLUMNS)
        content = zstandard.ZstdDecompressor().decompress(payload[_STATE_HEAD.size :], max_output_size=size + 1)
    except (struct.error, zstandard.ZstdError) as error:
        raise Damaged(str(error)) from error
    if len(content) != size:
        raise Damaged("the length does not fit")
    columns, at = [], 0
    for form in _STATE_COLUMNS:
        columns.append(np.frombuffer(content, form, count, at))
        at += count * form.itemsize
    numbers, step, phase, first, last, moved = columns
    return State(segment, given, numbers.astype(np.int64), step, phase, first, last, moved)


def _decoded(payload: bytes, decoder: msgspec.msgpack.Decoder[Form]) -> Form:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(str(error)) from error
