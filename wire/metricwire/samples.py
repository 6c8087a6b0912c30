"""The value types: what a line of line protocol says, once it is understood."""

from typing import NamedTuple


class Place(NamedTuple):
    """Where something is measured: a host of a cluster, or a part of it.

    `type` is "" for the host itself (line protocol: no type, or `type=node`), else a ClusterCockpit type such as
    "hwthread", "accelerator" or "container"; `stype` names a part below that, such as "filesystem".
    """

    cluster: str
    host: str
    type: str = ""
    type_id: str = ""
    stype: str = ""
    stype_id: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The place as cc-metric-store addresses it: cluster, host, type+id, stype+id; absent levels left out."""
        levels = (self.type + self.type_id, self.stype + self.stype_id)
        return (self.cluster, self.host, *(level for level in levels if level))


class SeriesKey(NamedTuple):
    """What tells one series from another: its place, its metric, and every further tag, sorted by name."""

    place: Place
    metric: str
    tags: tuple[tuple[str, str], ...] = ()


class Sample(NamedTuple):
    """One measured value; `timestamp` in seconds since the epoch, `value` always finite."""

    series: SeriesKey
    timestamp: int
    value: float


class Labels(NamedTuple):
    """What an `info` line says of a place: labels for everything at and below it. The last line wins."""

    place: Place
    labels: tuple[tuple[str, str], ...]
