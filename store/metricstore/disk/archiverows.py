"""Samples of many series as columns: what goes to the archive and comes back from it. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricwire.samples import SeriesKey


class ArchiveRows(NamedTuple):
    """Arrays of one length: row i is a sample of the series `keys[series[i]]`, taken every `frequencies[i]` seconds."""

    keys: list[SeriesKey]
    series: NDArray[np.int64]
    timestamps: NDArray[np.int64]  # seconds
    frequencies: NDArray[np.int64]  # seconds
    values: NDArray[np.float64]

    @classmethod
    def none(cls) -> "ArchiveRows":
        """No samples."""
        whole = np.zeros(0, np.int64)
        return cls([], whole, whole, whole, np.zeros(0, np.float64))

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "ArchiveRows":
        """These rows, in this order; the keys stay as they are."""
        return ArchiveRows(self.keys, self.series[rows], self.timestamps[rows], self.frequencies[rows], self.values[rows])


def in_archive_order(rows: ArchiveRows) -> ArchiveRows:
    """By host, metric, timestamp, then the other levels; keys by host and metric."""
    order = sorted(range(len(rows.keys)), key=lambda number: _rank(rows.keys[number]))
    place = np.zeros(len(order), np.int64)
    place[order] = np.arange(len(order))
    keys = [rows.keys[number] for number in order]
    index = place[rows.series]
    names = [(key.place.host, key.metric) for key in keys]
    changes = [now != before for now, before in zip(names[1:], names, strict=False)]
    group = np.cumsum([False, *changes])[index] if keys else index
    return ArchiveRows(keys, index, *rows[2:]).taken(np.lexsort((index, rows.timestamps, group)))


def merged(parts: Sequence[ArchiveRows]) -> ArchiveRows:
    """All of the parts by series and time, series by name; of one series and timestamp the last part's sample counts."""
    keys = sorted({key for part in parts for key in part.keys}, key=_rank)
    number = {key: at for at, key in enumerate(keys)}
    index = [np.array([number[key] for key in part.keys], np.int64)[part.series] for part in parts if len(part.series)]
    columns = [np.concatenate(column) for column in zip(*(part[2:] for part in parts if len(part.series)), strict=True)]
    if not index:
        return ArchiveRows.none()
    whole = ArchiveRows(keys, np.concatenate(index), *columns)
    order = np.lexsort((whole.timestamps, whole.series))  # stable: later parts stay behind earlier ones
    series, stamps = whole.series[order], whole.timestamps[order]
    last = np.append((series[1:] != series[:-1]) | (stamps[1:] != stamps[:-1]), True)
    return whole.taken(order[last])


def widened(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The shortest decimals that round to these 32-bit floats: 0.1 again, where its bits say 0.10000000149."""
    return values.astype("U32").astype(np.float64)


def _rank(key: SeriesKey) -> tuple[object, ...]:
    return (key.place.host, key.metric, key.place, key.tags)
