"""I/O of each disk, from /proc/diskstats (Documentation/admin-guide/iostats.rst).

Left out, so that the sum over a host's disks is its I/O: partitions; devices that stand on others (device mapper, RAID), whose
I/O their disks do once more; memory and files in disguise (loop, ram, zram); drives of removable media (sr, fd).
"""

import re
from pathlib import Path
from typing import NamedTuple

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey, folders

LEFT_OUT = re.compile("(loop|ram|zram|sr|fd)[0-9]+")
SECTOR = 512  # bytes, whatever the disk's own is
MILLI = 0.001


class Counter(NamedTuple):
    """A column of /proc/diskstats after the name: where it is, its metric, and what one of it is in the metric's unit."""

    column: int
    metric: str
    size: float = 1


COUNTERS = (
    Counter(0, "io_reads"),
    Counter(2, "io_read_bytes", SECTOR),
    Counter(3, "io_read_time", MILLI),
    Counter(4, "io_writes"),
    Counter(6, "io_write_bytes", SECTOR),
    Counter(7, "io_write_time", MILLI),
    Counter(9, "io_time", MILLI),
    Counter(10, "io_weighted_time", MILLI),
    Counter(11, "io_discards"),  # since Linux 4.18
    Counter(15, "io_flushes"),  # since Linux 5.5
)
IN_FLIGHT = 8
RATES = {  # of a counter -> metric, what 1/s of it is in that metric's unit
    "io_reads": ("io_reads_rate", 1),
    "io_writes": ("io_writes_rate", 1),
    "io_read_bytes": ("io_read_bw", 1),
    "io_write_bytes": ("io_write_bw", 1),
    "io_time": ("io_busy", 100),
}


def parse(text: bytes) -> dict[str, list[int]]:
    """The columns after the name, by device, of `8 0 sda 1 2 3 ...`. ValueError when it is something else."""
    found = {}
    for line in text.splitlines():
        _, _, name, *columns = line.split()
        if len(columns) <= 10:
            raise ValueError(f"cannot parse diskstats: unexpected line {line[:80]!r}")
        found[name.decode("utf-8", "replace")] = [int(column) for column in columns]
    return found


def disks(folder: Path) -> frozenset[str]:
    """The names of the devices to show, from /sys/block, where partitions are not."""
    return frozenset(
        device.name.replace("!", "/")  # cciss!c0d0 is cciss/c0d0 in diskstats
        for device in folders(folder)
        if not LEFT_OUT.fullmatch(device.name) and not folders(device / "slaves")
    )


class Disks:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "diskstats"
        self._shown = Survey(lambda: disks(host.sys / "block"))
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Counters now, rates since the last call."""
        shown = self._shown.at(now)
        if not shown:
            return []
        found: list[Reading] = []
        counted: dict[tuple[str, str], float] = {}
        for name, columns in parse(self._path.read_bytes()).items():
            if name in shown:
                found.append(Reading("io_in_flight", float(columns[IN_FLIGHT]), stype="device", stype_id=name))
                counted |= {(name, c.metric): float(columns[c.column] * c.size) for c in COUNTERS if c.column < len(columns)}
        rates = self._rates.take({key: count for key, count in counted.items() if key[1] in RATES}, now)
        for (name, counter), rate in rates.items():
            metric, size = RATES[counter]
            value = min(100.0, rate * size) if metric == "io_busy" else rate * size
            found.append(Reading(metric, value, stype="device", stype_id=name))
        return found + [Reading(metric, value, stype="device", stype_id=name) for (name, metric), value in counted.items()]
