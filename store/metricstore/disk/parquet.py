"""ArchiveRows to Parquet and back: cc-metric-store's archive columns, with more of them so that nothing is lost.

    cluster hostname metric scope scope_id     strings; scope "node" is the host itself, else type, with type-id in scope_id
    timestamp frequency                        int64, seconds
    value                                      float64 (float32 there): the archive gives back what was stored, bit for bit
    subscope subscope_id                       strings: stype and stype-id, "" where there is none
    tags                                       string: the further tags as a JSON object, "" where there are none

Compressed with zstd; sorted by cluster, hostname, metric, timestamp. This module is imported when it is first needed: the
library behind it, arrow-rs, takes 8 MB of memory.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from arro3.core import Array, DataType, RecordBatch, RecordBatchReader, dictionary_dictionary, dictionary_indices
from arro3.io import read_parquet, write_parquet
from numpy.typing import NDArray

from metricstore.disk.archiverows import ArchiveRows, widened
from metricwire.samples import Place, SeriesKey

ROWS = 65536  # in a row group: what has to be decoded to read one series
TEXTS = ("cluster", "hostname", "metric", "scope", "scope_id", "subscope", "subscope_id", "tags")
NUMBERS = ("timestamp", "frequency", "value")
THEIRS = (*TEXTS[:5], *NUMBERS)  # the columns of cc-metric-store's archive
_COLUMNS = (*THEIRS, *TEXTS[5:])  # theirs first, in their order
_TEXT = DataType.dictionary(DataType.int32(), DataType.utf8())
_TABLE_MOST = 1024**2  # combinations of texts that are told apart by a table, not by sorting
_PIECE = 1024**2  # bytes given to the file system at once
_TAGS = msgspec.json.Decoder(dict[str, str])


class Unreadable(Exception):
    """Bytes that are no Parquet file, or not with these columns."""


def write(batches: Iterable[ArchiveRows], append: Callable[[bytes], None]) -> None:
    """A Parquet file of all batches, piece by piece to `append`; what that or the batches raise comes through."""
    sink = _Sink(append)
    source = _Source(batches)
    reader = RecordBatchReader.from_batches(_batch(ArchiveRows.none()).schema, source)
    write_parquet(reader, sink, compression="zstd(3)", max_row_group_size=ROWS)  # type: ignore[arg-type] # as in `read`
    if source.failed:
        raise source.failed
    sink.finish()


def read(file: Path | io.RawIOBase) -> Iterator[ArchiveRows]:
    """All rows of a file with these columns or cc-metric-store's, in its order. Unreadable when it is none."""
    try:
        for batch in read_parquet(file, batch_size=ROWS):  # type: ignore[arg-type] # its `IO[bytes]` means read and seek
            yield _rows(batch)
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # what Rust raises, no Exception
            raise Unreadable(str(error)) from error
        raise


def _batch(rows: ArchiveRows) -> RecordBatch:
    texts = zip(*map(_texts, rows.keys), strict=True) if rows.keys else [()] * len(TEXTS)
    columns = {name: _column(list(values), rows.series) for name, values in zip(TEXTS, texts, strict=True)}
    columns |= {name: Array.from_numpy(array) for name, array in zip(NUMBERS, rows[2:], strict=True)}
    return RecordBatch.from_arrays([columns[name] for name in _COLUMNS], names=list(_COLUMNS))


def _column(texts: Sequence[str], series: NDArray[np.int64]) -> Array:
    """The text of each row; `texts` has those of the keys."""
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int64)
    return Array(list(codes), DataType.utf8()).cast(_TEXT).take(Array.from_numpy(coded[series]))


def _texts(key: SeriesKey) -> tuple[str, ...]:
    place = key.place
    tags = msgspec.json.encode(dict(key.tags)).decode() if key.tags else ""
    return (place.cluster, place.host, key.metric, place.type or "node", place.type_id, place.stype, place.stype_id, tags)


def _key(texts: Sequence[str]) -> SeriesKey:
    cluster, host, metric, scope, scope_id, subscope, subscope_id, tags = texts
    place = Place(cluster, host, "" if scope == "node" else scope, scope_id, subscope, subscope_id)
    return SeriesKey(place, metric, tuple(_TAGS.decode(tags).items()) if tags else ())


def _rows(batch: RecordBatch) -> ArchiveRows:
    there = set(batch.column_names)
    if missing := [name for name in THEIRS if name not in there]:
        raise Unreadable(f"it has no column {missing[0]}")
    codes = np.zeros((batch.num_rows, len(TEXTS)), np.int32)
    texts: list[list[str]] = []
    for number, name in enumerate(TEXTS):
        if name in there:
            coded = batch.column(name).cast(_TEXT)
            codes[:, number] = dictionary_indices(coded).to_numpy()
            texts.append(dictionary_dictionary(coded).to_pylist())  # type: ignore[arg-type] # it gives a list
        else:
            texts.append([""])
    distinct, series = _distinct(codes)
    keys = [_key([texts[column][code] for column, code in enumerate(row)]) for row in distinct.tolist()]
    timestamps, frequencies = (batch.column(name).to_numpy().astype(np.int64, copy=False) for name in NUMBERS[:2])
    values = batch.column(NUMBERS[2]).to_numpy()
    exact = widened(values.astype(np.float32)) if values.dtype == np.float32 else values.astype(np.float64, copy=False)
    return ArchiveRows(keys, series, timestamps, frequencies, exact)


def _distinct(codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The distinct rows, and which of these each row is."""
    number, size = np.zeros(len(codes), np.int64), 1
    for column in codes.T:
        width = int(column.max(initial=0)) + 1
        if size * width > _TABLE_MOST:  # numbered anew, so that it stays within 64 bits
            _, number = np.unique(number, return_inverse=True)
            size = int(number.max(initial=0)) + 1
        number, size = number * width + column, size * width
    if size > _TABLE_MOST:
        _, first, series = np.unique(number, return_index=True, return_inverse=True)
        return codes[first], series.astype(np.int64, copy=False)
    row = np.full(size, -1, np.int64)
    row[number] = np.arange(len(codes))
    used = np.flatnonzero(row >= 0)
    place = np.zeros(size, np.int64)
    place[used] = np.arange(len(used))
    return codes[row[used]], place[number]


class _Source:
    """The batches as Arrow has them. It ends at an error and keeps it: the library would make it a panic."""

    def __init__(self, batches: Iterable[ArchiveRows]) -> None:
        self.failed: Exception | None = None
        self._batches = batches

    def __iter__(self) -> Iterator[RecordBatch]:
        try:
            yield from map(_batch, self._batches)
        except Exception as error:  # noqa: BLE001 raised again by `write`
            self.failed = error


class _Sink(io.RawIOBase):
    """The file as the library writes it. It keeps an error to itself until `finish`, for the same reason."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        super().__init__()
        self._append, self._waiting, self._at = append, bytearray(), 0
        self._failed: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override] # a buffer, in fact bytes
        """Take all of it."""
        self._waiting += data
        self._at += len(data)
        if len(self._waiting) >= _PIECE:
            self._pass_on()
        return len(data)

    def _pass_on(self) -> None:
        if self._failed is None:
            try:
                self._append(bytes(self._waiting))
            except OSError as error:
                self._failed = error
        self._waiting.clear()

    def finish(self) -> None:
        """Give on what is left; OSError when any of the file could not be written."""
        self._pass_on()
        if self._failed:
            raise self._failed
