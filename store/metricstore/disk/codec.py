"""Rows of 64 values as few bytes: decimal scaling, differences, byte planes, Zstandard.

Measured values have few decimals. A row whose values are all n / 10**exponent, exactly, is kept as the integers n; any other as
the bits of its values, each XOR those before it. Of integers either the distance to the smallest is kept, or that of each step
to the smallest step, whichever needs fewer bytes. So many bytes of each value are written plane by plane, each plane compressed
by itself: the upper ones are mostly alike, the lower ones mostly noise, and one code for both would serve neither. Where many
values have fewer decimals than others of their row, distances are split into hundreds and the rest instead of bytes: the rest
is often 0, or a multiple of ten, which no byte of the whole shows.
Decimal scaling: ALP (Afroozeh, Kuffo, Boncz: SIGMOD 2024), VictoriaMetrics; bench/codecs.py compares.

    chunk  = lengths:u16 head:u32 zstd(columns) length:u32*lengths zstd(plane)*lengths      integers little-endian
    columns = member:u8 phase:i32 kind:u8 exponent:u8 base:i64 step:i64 mask:u64, one after another, each for all rows
    kind   = form * 16 + bytes per value (0..8)        form: 0 distances, 1 steps, 2 bits, 3 distances, hundreds * 256 + rest
    mask   = bit k: value k is there
    planes = for each kind, ascending: byte 0 of all values of its rows, row by row; then byte 1 ...

Decoding gives every value bit for bit. A missing value is NaN.
"""

import struct
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Unsigned = NDArray[np.uint64]

SLOTS = 64
ROWS_MAX = 256  # of a chunk
_DISTANCES, _STEPS, _BITS, _HUNDREDS = range(4)
_ROUND_SHARE = 0.25  # of a row's integers that are multiples of ten, from which on they are split by hundreds; by chance: 0.1
_EXPONENT_MAX = 15
_EXACT = 2.0**53
_ALL = np.uint64(2**64 - 1)
_POWERS = 10.0 ** np.arange(_EXPONENT_MAX + 1)
_LEVEL = 3
_START = struct.Struct("<HI")
_LENGTH = np.dtype("<u4")
_COLUMNS: tuple[tuple[str, np.dtype[Any]], ...] = (
    ("member", np.dtype("u1")),
    ("phase", np.dtype("<i4")),
    ("kind", np.dtype("u1")),
    ("exponent", np.dtype("u1")),
    ("base", np.dtype("<i8")),
    ("step", np.dtype("<i8")),
    ("mask", np.dtype("<u8")),
)
_ROW_BYTES = sum(form.itemsize for _, form in _COLUMNS)
_KINDS = frozenset(form * 16 + width for form in range(4) for width in range(9))


class _Zstandard(threading.local):
    """What compresses is expensive to make and of one thread."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def decompress(self, data: bytes, size_max: int) -> bytes:
        """Malformed for what is no frame, or one of more bytes."""
        try:
            if zstandard.frame_content_size(data) > size_max:
                raise Malformed("longer than it may be")
            return self._decompress(data)
        except zstandard.ZstdError as error:
            raise Malformed(str(error)) from error


_zstandard = _Zstandard()


class Rows(NamedTuple):
    """Rows of a chunk: which member of it each is (0..255), the phase of its series, its values (rows, 64)."""

    member: NDArray[np.uint8]
    phase: NDArray[np.int32]
    values: Floats


class Malformed(Exception):
    """Bytes that are no chunk."""


def encode(rows: Rows) -> bytes:
    """A chunk of at most ROWS_MAX rows."""
    present = ~np.isnan(rows.values)
    filled = _filled(rows.values, present)
    exponent, integers = _decimals(filled)
    kind, base, step, planes = _planes(filled, exponent, integers)
    mask = np.packbits(present, axis=1, bitorder="little").view("<u8")[:, 0]
    columns: list[NDArray[Any]] = [rows.member, rows.phase, kind, exponent.clip(0), base, step, mask]
    compress = _zstandard.compress
    head = compress(b"".join(column.astype(form).tobytes() for column, (_, form) in zip(columns, _COLUMNS, strict=True)))
    frames = [compress(plane) for plane in planes]
    lengths = np.array([len(frame) for frame in frames], _LENGTH).tobytes()
    return b"".join([_START.pack(len(frames), len(head)), head, lengths, *frames])


def _filled(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Missing values replaced by the last one before, or the first one of the row."""
    if present.all():
        return values
    at = np.where(present, np.arange(SLOTS), 0)
    first = present.argmax(axis=1)
    at = np.maximum(np.maximum.accumulate(at, axis=1), first[:, None])
    filled = np.take_along_axis(values, at, axis=1)
    filled[~present.any(axis=1)] = 0
    return filled


def _decimals(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decimals that each row needs (-1: no number of them is exact), and its values times ten to that."""
    exponent = np.full(len(values), -1)
    integers = np.zeros(values.shape, np.int64)
    left = np.arange(len(values))
    with np.errstate(over="ignore", invalid="ignore"):
        for power in range(_EXPONENT_MAX + 1):
            rest = values[left]
            scaled = np.rint(rest * _POWERS[power])
            exact = (np.abs(scaled) < _EXACT) & ((scaled / _POWERS[power]).view(np.int64) == rest.view(np.int64))
            exact &= (scaled != 0) | ~np.signbit(scaled)  # an integer has no -0
            done = exact.all(axis=1)
            exponent[left[done]] = power
            integers[left[done]] = scaled[done].astype(np.int64)
            left = left[~done]
            if not len(left):
                break
    return exponent, integers


def _planes(
    values: Floats, exponent: NDArray[np.int64], integers: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], list[bytes]]:
    """Kind, base and step of each row, and the bytes of all planes."""
    steps = np.diff(integers, axis=1, prepend=integers[:, :1])
    least_step = steps[:, 1:].min(axis=1)
    least = integers.min(axis=1)
    distances = (integers - least[:, None]).view(np.uint64)
    beyond = (steps - least_step[:, None]).view(np.uint64)
    beyond[:, 0] = 0
    bits = values.view(np.uint64).copy()
    bits[:, 1:] ^= values.view(np.uint64)[:, :-1]
    direct, stepwise = _width(distances), _width(beyond)
    form = np.where(exponent < 0, _BITS, np.where(stepwise < direct, _STEPS, _DISTANCES))
    width = np.choose(form, [direct, stepwise, _width(bits)])
    base = np.choose(form, [least, integers[:, 0], np.zeros(len(values), np.int64)])
    step = np.where(form == _STEPS, least_step, 0)
    content = np.choose(form[:, None], [distances, beyond, bits])
    rough = np.flatnonzero((form == _DISTANCES) & (direct > 1))
    rough = rough[(integers[rough] % 10 == 0).mean(axis=1) >= _ROUND_SHARE]
    if len(rough):
        base[rough] = least[rough] // 100 * 100
        hundreds, rest = np.divmod((integers[rough] - base[rough][:, None]).view(np.uint64), np.uint64(100))
        content[rough] = hundreds << np.uint64(8) | rest
        form[rough], width[rough] = _HUNDREDS, _width(content[rough])
    kind = (form * 16 + width).astype(np.uint8)
    planes = []
    for one in np.unique(kind).tolist():
        wide = content[kind == one].astype("<u8").view(np.uint8).reshape(-1, SLOTS, 8)
        planes += [wide[:, :, byte].tobytes() for byte in range(one % 16)]
    return kind, base, step, planes


def _width(content: Unsigned) -> NDArray[np.int64]:
    """Bytes that the largest value of each row needs."""
    largest = content.max(axis=1)
    bounds = np.array([1 << (8 * n) for n in range(8)], np.uint64)
    found: NDArray[np.int64] = np.searchsorted(bounds, largest, side="right").astype(np.int64)
    return found


def decode(chunk: bytes, wanted: Sequence[int] | None = None) -> Rows:
    """The rows of these members that are there, in the chunk's order; all without `wanted`. Malformed."""
    columns, frames = _opened(chunk)
    kinds, members = columns["kind"], columns["member"]
    chosen = np.arange(len(kinds))
    if wanted is not None:
        asked = np.zeros(ROWS_MAX, bool)
        asked[wanted] = True
        chosen = np.flatnonzero(asked[members])
    found = np.zeros((len(chosen), SLOTS))
    frame = 0
    for kind in sorted(set(kinds.tolist())):
        width = kind % 16
        alike = kinds == kind
        here = np.flatnonzero(alike[chosen])
        if len(here):
            rank = np.cumsum(alike) - 1
            content = _joined(frames[frame : frame + width], int(rank[-1]) + 1, rank[chosen[here]])
            found[here] = _values(kind // 16, content, chosen[here], columns)
        frame += width
    mask = columns["mask"][chosen]
    if (mask != _ALL).any():
        present = np.unpackbits(mask.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little").astype(bool)
        found[~present] = np.nan
    return Rows(columns["member"][chosen], columns["phase"][chosen], found)


def _opened(chunk: bytes) -> tuple[dict[str, NDArray[Any]], list[bytes]]:
    """The columns and the compressed planes of a chunk."""
    try:
        count, length = _START.unpack_from(chunk)
        at = _START.size + length
        lengths = np.frombuffer(chunk, _LENGTH, count, at).tolist()
    except (struct.error, ValueError) as error:
        raise Malformed(str(error)) from error
    head = _zstandard.decompress(chunk[_START.size : at], ROWS_MAX * _ROW_BYTES)
    rows, rest = divmod(len(head), _ROW_BYTES)
    columns, offset = {}, 0
    for name, form in _COLUMNS:
        columns[name] = np.frombuffer(head, form, rows, offset)
        offset += rows * form.itemsize
    kinds = set(columns["kind"].tolist())
    frames_wanted, exponent = sum(kind % 16 for kind in kinds), columns["exponent"].max(initial=0)
    if rest or not kinds <= _KINDS or frames_wanted != count or exponent > _EXPONENT_MAX:
        raise Malformed("its columns do not fit")
    at += count * _LENGTH.itemsize
    frames = []
    for length in lengths:
        frames.append(chunk[at : at + length])
        at += length
    return columns, frames


def _joined(frames: Sequence[bytes], rows: int, which: NDArray[np.int64]) -> Unsigned:
    """(rows asked for, SLOTS): the integers whose bytes the planes hold."""
    wide = np.zeros((len(which), SLOTS, 8), np.uint8)
    for byte, frame in enumerate(frames):
        plane = _zstandard.decompress(frame, rows * SLOTS)
        if len(plane) != rows * SLOTS:
            raise Malformed("a plane does not fit its rows")
        wide[:, :, byte] = np.frombuffer(plane, np.uint8).reshape(rows, SLOTS)[which]
    return wide.view("<u8")[:, :, 0]


def _values(form: int, content: Unsigned, rows: NDArray[np.int64], columns: dict[str, NDArray[Any]]) -> Floats:
    """What the integers of rows of one form stand for."""
    if form == _BITS:
        return np.bitwise_xor.accumulate(content, axis=1).view(np.float64)
    integers = content.view(np.int64)
    base = columns["base"][rows][:, None]
    if form == _HUNDREDS:
        integers = (integers >> 8) * 100 + (integers & 255)
    if form == _STEPS:
        steps = integers + columns["step"][rows][:, None]
        steps[:, 0] = 0
        integers = np.cumsum(steps, axis=1)
    scaled: Floats = (integers + base) / _POWERS[columns["exponent"][rows]][:, None]
    return scaled
