"""What is past the retention on disk: blocks become Parquet files, a file a cluster and day, and are still read."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk.archive import Archive, too_many
from metricstore.disk.archiverows import ArchiveRows
from metricstore.disk.blocks import Blocks, Stretch
from metricstore.disk.formats import merged_windows
from metricstore.memory.registry import Registry
from metricstore.memory.window import SHIFT, SLOTS, begin
from metricstore.reading import Totals
from metricwire.samples import SeriesKey

DAY = 86400
TIME_MAX = 2**53  # seconds; keeps arithmetic on any asked time within 64 bits
PARTS_LOOKED_AT = 8  # of the archive, to see whether a series began before the time that is asked for, or goes on after it

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Host(NamedTuple):
    """The series of a host: numbers ascending, and what they are."""

    numbers: Ints
    keys: list[SeriesKey]


def due(blocks: Blocks, before: int) -> list[list[Stretch]]:
    """What ended before that time (seconds), by day, whole days only. Windows that are merged, or would be, go together."""
    days: dict[int, list[Stretch]] = {}
    for stretch in blocks.stretches():
        days.setdefault((whole(stretch).end - 1) // DAY, []).append(stretch)
    return [stretches for day, stretches in sorted(days.items()) if (day + 1) * DAY <= before]


def whole(stretch: Stretch) -> Stretch:
    """What the windows are merged to."""
    windows = merged_windows(stretch.frequency)
    return Stretch(stretch.frequency, stretch.window // windows * windows, windows)


def gone(frequency: int, before: int) -> int:
    """The end (seconds) of what is archived of that frequency when all is that ended before that time."""
    kept = (before - frequency) // frequency >> SHIFT  # the first window that stays
    return begin(frequency, whole(Stretch(frequency, kept)).window) + frequency


def write(archive: Archive, blocks: Blocks, stretches: Sequence[Stretch], hosts: Mapping[str, Sequence[Host]]) -> None:
    """Put what the stretches hold into the archive: `hosts` by cluster, by name of the host. OSError leaves the blocks."""
    for cluster, here in hosts.items():
        archive.write(cluster, (_rows(blocks, stretches, host) for host in here))
    for block in (block for stretch in stretches for block in blocks.blocks(stretch)):
        blocks.spare(block)


def _rows(blocks: Blocks, stretches: Sequence[Stretch], host: Host) -> ArchiveRows:
    parts = []
    for stretch in stretches:
        rows = blocks.read(stretch, host.numbers)
        at, columns = np.nonzero(~np.isnan(rows.values))
        series = np.searchsorted(host.numbers, rows.numbers[at])
        stamps = (rows.windows[at] * SLOTS + columns) * stretch.frequency + rows.phases[at]
        parts.append((series, stamps, np.full(len(at), stretch.frequency, np.int64), rows.values[at, columns]))
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


class Live(NamedTuple):
    """A series that is not in the archive alone: its samples about the wanted time, its grid, when it begins and ends."""

    samples: Callable[[], Iterator[tuple[Ints, Floats]]]
    phase: int
    first: int
    last: int


class Series(NamedTuple):
    """One series: samples about the wanted time, phase of its grid if that is known, and when it begins and ends (seconds)."""

    stamps: Ints
    values: Floats
    phase: int | None
    first: int
    last: int


class Past(NamedTuple):
    """What the archive has of a metric of a host: samples about the wanted time, and the series that it has some of before and
    after it. `wanted` has no groups; `version` is the archive's."""

    wanted: Wanted
    version: int
    rows: ArchiveRows
    earlier: set[SeriesKey]
    later: set[SeriesKey]


def past(archive: Archive, wanted: Wanted, most: int) -> Past:
    """What the archive has, whatever the groups; in any thread. TooLarge for more than `most` samples."""
    cluster, hosts, metrics = wanted.cluster, [wanted.host], [wanted.metric]
    version = archive.version  # before it is read
    rows = archive.read(cluster, hosts, metrics, wanted.start - wanted.frequency, wanted.end + wanted.frequency, most)
    earlier = _held(archive.parts(cluster, hosts, metrics, -TIME_MAX, wanted.start))
    later = _held(archive.parts(cluster, hosts, metrics, wanted.end, TIME_MAX))
    return Past(wanted._replace(groups=()), version, rows, earlier, later)


def read(past: Past, wanted: Wanted, live: Mapping[SeriesKey, Live], most: int) -> Iterator[tuple[Totals, int] | None]:
    """Sums of the series that are meant, and how many these are, from the archive and of those that are `live`.

    They come last; before, after each series, None. The rules are those of Reader.totals. Only None where there is nothing.
    TooLarge for more than `most` samples of the archive.
    """
    rows = past.rows
    if len(rows.series) > most:
        raise too_many(most)
    keys = list(dict.fromkeys([*live, *rows.keys, *sorted(past.earlier | past.later)]))
    registry = Registry(len(keys), 0)
    for number, key in enumerate(keys):
        registry.restore(key, number)
    level = registry.find((wanted.cluster, wanted.host))
    chosen = [keys[number] for number in level.select(wanted.groups, wanted.metric).tolist()] if level else []
    if not chosen:
        return
    found = []
    for key in chosen:
        found.append(_series(rows, key, live.get(key), wanted, (key in past.earlier, key in past.later)))
        yield None
    phase = next(
        (one.phase for one in found if one.phase is not None), 0
    )  # stands for that of series with no sample about here
    yield _summed([one if one.phase is not None else one._replace(phase=phase) for one in found], wanted), len(found)


def _held(parts: Iterator[ArchiveRows]) -> set[SeriesKey]:
    """The series that the parts have samples of, as far as a few parts tell."""
    return {key for part in itertools.islice(parts, PARTS_LOOKED_AT) for key in part.keys}


def _series(rows: ArchiveRows, key: SeriesKey, live: Live | None, wanted: Wanted, beyond: tuple[bool, bool]) -> Series:
    """All that is known of one series; `beyond`: whether the archive has samples before and after the wanted time."""
    number = rows.keys.index(key) if key in rows.keys else len(rows.keys)
    mine = slice(*np.searchsorted(rows.series, [number, number + 1]).tolist())  # they come by series
    parts = [(rows.timestamps[mine], rows.values[mine]), *(live.samples() if live else ())]
    stamps = np.concatenate([stamps for stamps, _ in parts])
    values = np.concatenate([values for _, values in parts])
    first, last = int(stamps.min(initial=TIME_MAX)), int(stamps.max(initial=-TIME_MAX))
    phase = live.phase if live else first % wanted.frequency if len(stamps) else None
    if live:
        first, last = min(first, live.first), max(last, live.last)
    if beyond[0]:
        first = min(first, wanted.start - wanted.frequency)
    if beyond[1]:
        last = max(last, wanted.end + wanted.frequency)
    return Series(stamps, values, phase, first, last)


def _summed(found: Sequence[Series], wanted: Wanted) -> Totals:
    """Samples on their series' grids, added slot by slot; see Reader.span for the bounds."""
    frequency = wanted.frequency
    phases = np.array([one.phase for one in found], np.int64)
    edges = np.array([(one.first, one.last) for one in found], np.int64)
    firsts, lasts = ((edge - phases + frequency // 2) // frequency for edge in edges.T)
    start = int(np.maximum(wanted.start, firsts * frequency + phases).min())
    slots = (start - phases + frequency // 2) // frequency
    size = max(0, -((start - wanted.end) // frequency))
    held = np.where(firsts < slots + size, np.clip(lasts + 1 - slots, 0, size), 0)
    total = np.full(int(held.max()), -0.0)  # which keeps the sign of what is added
    for one, phase, slot in zip(found, phases.tolist(), slots.tolist(), strict=True):
        at = (one.stamps - phase + frequency // 2) // frequency - slot
        inside = (at >= 0) & (at < len(total))
        row = np.full(len(total), np.nan)
        row[at[inside]] = one.values[inside]
        total += row
    return Totals(np.zeros(1, np.int64), frequency, np.array([start]), total[None, :])
