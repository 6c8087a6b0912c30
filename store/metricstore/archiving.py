"""What is past the retention on disk: blocks become Parquet files, a file a cluster and day, and are still read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk.archive import Archive
from metricstore.disk.archiverows import ArchiveRows
from metricstore.disk.blocks import Blocks, WindowKey
from metricstore.memory.registry import Registry
from metricstore.memory.window import SLOTS, begin
from metricstore.reading import Totals
from metricwire.samples import SeriesKey

DAY = 86400

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Host(NamedTuple):
    """The series of a host: numbers ascending, and what they are."""

    numbers: Ints
    keys: list[SeriesKey]


def due(blocks: Blocks, before: int) -> list[list[WindowKey]]:
    """The windows that ended before that time (seconds), by day, whole days only."""
    days: dict[int, list[WindowKey]] = {}
    for frequency, index in blocks.windows():
        end = begin(frequency, index + 1) + frequency
        days.setdefault((end - 1) // DAY, []).append((frequency, index))
    return [windows for day, windows in sorted(days.items()) if (day + 1) * DAY <= before]


def write(archive: Archive, blocks: Blocks, windows: Sequence[WindowKey], hosts: Mapping[str, Sequence[Host]]) -> None:
    """Put what the windows hold into the archive: `hosts` by cluster, by name of the host. OSError leaves the blocks."""
    for cluster, here in hosts.items():
        archive.write(cluster, (_rows(blocks, windows, host) for host in here))


def _rows(blocks: Blocks, windows: Sequence[WindowKey], host: Host) -> ArchiveRows:
    parts = []
    for frequency, index in windows:
        rows = blocks.read((frequency, index), host.numbers)
        at, columns = np.nonzero(~np.isnan(rows.values))
        series = np.searchsorted(host.numbers, rows.numbers[at])
        stamps = (index * SLOTS + columns) * frequency + rows.phases[at]
        parts.append((series, stamps, np.full(len(at), frequency, np.int64), rows.values[at, columns]))
    series, stamps, frequencies, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ArchiveRows(host.keys, series, stamps, frequencies, values)


class Wanted(NamedTuple):
    """A metric of a host or of parts of it (see Registry.select), from `start` to before `end` (seconds).

    `frequency`: seconds between its samples now.
    """

    cluster: str
    host: str
    groups: Sequence[Sequence[str]]
    metric: str
    start: int
    end: int
    frequency: int


def read(
    archive: Archive,
    wanted: Wanted,
    live: Mapping[SeriesKey, int],
    samples: Callable[[int], Iterator[tuple[Ints, Floats]]],
    most: int,
) -> tuple[Totals, int] | None:
    """Sums of the series that are meant, and how many these are, from the archive and from `samples` of those that are `live`.

    None where there is nothing. TooLarge for more than `most` samples of the archive.
    """
    rows = archive.read(wanted.cluster, [wanted.host], [wanted.metric], wanted.start, wanted.end, most)
    keys = list(dict.fromkeys([*live, *rows.keys]))
    registry = Registry(len(keys), 0)
    for number, key in enumerate(keys):
        registry.restore(key, number)
    found = []
    for number in registry.select(wanted.cluster, wanted.host, wanted.groups, wanted.metric).tolist():
        key = keys[number]
        mine = rows.series == rows.keys.index(key) if key in rows.keys else np.zeros(len(rows.series), bool)
        parts = [(rows.timestamps[mine], rows.values[mine])]
        if key in live:
            parts += samples(live[key])
        found.append((np.concatenate([stamps for stamps, _ in parts]), np.concatenate([values for _, values in parts])))
    return _summed(found, wanted) if found else None


def _summed(found: Sequence[tuple[Ints, Floats]], wanted: Wanted) -> tuple[Totals, int] | None:
    """Samples on the grids that their first ones give, added slot by slot."""
    grids, frequency = [], wanted.frequency
    for stamps, values in found:
        inside = (stamps >= wanted.start) & (stamps < wanted.end)
        if inside.any():
            phase = int(stamps[inside].min()) % frequency
            grids.append(((stamps[inside] - phase + frequency // 2) // frequency, values[inside], phase))
    if not grids:
        return None
    first, phase = min((int(slots.min()), phase) for slots, _, phase in grids)
    total = np.zeros(max(int(slots.max()) for slots, _, _ in grids) - first + 1)
    for slots, values, _ in grids:
        row = np.full(len(total), np.nan)
        row[slots - first] = values
        total += row
    return Totals(np.zeros(1, np.int64), frequency, np.array([first * frequency + phase]), total[None, :]), len(grids)
