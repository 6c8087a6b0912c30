"""cc-metric-store's names of levels, such as `hwthread0`, as places. Pure.

It joins type and type-id and forgets where one ends. Known types are cut off again; of other names the digits at the end are
the id. However a name is cut, the place has the same path: a query finds the samples under the names it always used.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk.formats import Damaged
from metricwire.samples import Place, SeriesKey

KNOWN = ("socket", "die", "memoryDomain", "llc", "core", "hwthread", "accelerator", "container", "filesystem", "interface")
_NUMBERED = re.compile(r"(.*[^0-9])([0-9]+)", re.DOTALL)


class Series(NamedTuple):
    """Samples of one series; timestamps in seconds, values finite."""

    key: SeriesKey
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]


def finite(key: SeriesKey, timestamps: NDArray[np.int64], values: NDArray[np.float64]) -> Series:
    """Those samples that are numbers: a missed slot is NaN there."""
    kept = np.isfinite(values)
    return Series(key, timestamps[kept], values[kept])


def place(cluster: str, host: str, levels: Sequence[str]) -> Place:
    """The place of these levels below the host. Damaged for more levels than there can be."""
    if len(levels) > 2:
        raise Damaged(f"it has {len(levels)} levels below a host; there are two")
    kind, kind_id = _cut(levels[0]) if levels else ("", "")
    below, below_id = _cut(levels[1]) if len(levels) > 1 else ("", "")
    return Place(cluster, host, kind, kind_id, below, below_id)


def _cut(level: str) -> tuple[str, str]:
    for name in KNOWN:
        if level.startswith(name):
            return name, level.removeprefix(name)
    found = _NUMBERED.fullmatch(level)
    return (found[1], found[2]) if found else (level, "")
