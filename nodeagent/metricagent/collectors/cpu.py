"""Shares of cpu time, of the host, its sockets, cores and hardware threads, and what the kernel counts beside them.

All from /proc/stat (proc_stat(5)). Read here rather than by psutil, which numbers the threads by their position: with one
offline, all behind it would be misnamed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from metricagent.collector import Reading
from metricagent.collectors.topology import Topology
from metricagent.host import Host

HOST = "cpu"  # how /proc/stat calls the sum of all threads


class Times(NamedTuple):
    """Ticks since boot, in the order of /proc/stat; `user` and `nice` include guests."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int


SHARES = tuple(f"cpu_{name}" for name in Times._fields)
OF_PARTS = (
    "cpu_used",
    "cpu_user",
    "cpu_system",
    "cpu_idle",
    "cpu_iowait",
)  # enough for cores and sockets: their threads have all
COUNTS = {  # what else is in /proc/stat -> metric
    b"ctxt": "context_switches",
    b"intr": "interrupts",
    b"processes": "forks",
    b"procs_running": "proc_running",
    b"procs_blocked": "proc_blocked",
}


class Stat(NamedTuple):
    """/proc/stat: ticks by name, "cpu" for the host and "cpu7" for a thread; what the kernel counts, by metric."""

    times: dict[str, Times]
    counts: dict[str, int]


def parse(text: bytes) -> Stat:
    """ValueError or TypeError when it is no /proc/stat."""
    times, counts = {}, {}
    for line in text.splitlines():
        if line.startswith(b"cpu"):
            name, *ticks = line.split()
            times[name.decode()] = Times(*map(int, ticks[: len(Times._fields)]))
        else:
            name, _, rest = line.partition(b" ")
            if name in COUNTS:
                counts[COUNTS[name]] = int(rest.partition(b" ")[0])  # of interrupts the sum is first
    if HOST not in times:
        raise ValueError("cannot parse stat: no line of all cpus")
    return Stat(times, counts)


def passed(before: Times, after: Times) -> Times:
    """Ticks between two readings.

    `idle` and `iowait` may run backwards on Linux, and all counters start again when a thread was offline: these count as 0.
    """
    return Times(*[new - old if new > old else 0 for old, new in zip(before, after, strict=True)])


def shares(ticks: Iterable[int]) -> dict[str, float]:
    """Percent by metric of the ticks that passed; empty when none did."""
    ticks = tuple(ticks)
    total = sum(ticks)
    if not total:
        return {}
    percent = {name: 100 * count / total for name, count in zip(SHARES, ticks, strict=True)}
    percent["cpu_used"] = percent["cpu_user"] + percent["cpu_system"]
    return percent


def parts(threads: Mapping[str, Times], part_of: Mapping[str, str], type: str) -> list[Reading]:
    """Shares of cores or sockets: of all the ticks of their threads; `part_of` says which thread is in which."""
    members: dict[str, list[Times]] = defaultdict(list)
    for thread, ticks in threads.items():
        if thread in part_of:
            members[part_of[thread]].append(ticks)
    found = []
    for part, counts in members.items():
        percent = shares(map(sum, zip(*counts, strict=True)))
        found += [Reading(metric, percent[metric], type, part) for metric in OF_PARTS if percent]
    return found


def readings(before: Mapping[str, Times], after: Mapping[str, Times], topology: Topology) -> list[Reading]:
    """What two readings of the ticks tell; nothing of a thread that is not in both."""
    ticks = {name.removeprefix(HOST): passed(before[name], times) for name, times in after.items() if name in before}
    found = [Reading("num_cpus", float(len(after) - 1))]
    for thread, count in ticks.items():
        level = "hwthread" if thread else ""
        found += [Reading(metric, value, level, thread) for metric, value in shares(count).items()]
    ticks.pop("", None)
    return found + parts(ticks, topology.core, "core") + parts(ticks, topology.socket, "socket")


class Cpu:
    """The collector; keeps the last reading."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "stat"
        self._topology = Topology(host.sys / "devices/system/cpu")
        self._before: dict[str, Times] = {}

    def collect(self, _: float) -> list[Reading]:
        """Shares since the last call, counts now."""
        after, counts = parse(self._path.read_bytes())
        self._topology.learn(name.removeprefix(HOST) for name in after if name != HOST)
        before, self._before = self._before, after
        found = [Reading(metric, float(count)) for metric, count in counts.items()]
        return found + readings(before, after, self._topology)
