"""Shares of cpu time, of the host and of each hardware thread, from the counters in /proc/stat (proc_stat(5)).

Read here rather than by psutil, which numbers the threads by their position: with one offline, all behind it would be misnamed.
"""

from typing import NamedTuple

from metricagent.collector import Reading
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


def parse(text: bytes) -> dict[str, Times]:
    """The counters by name: "cpu" for the host, "cpu7" for a thread. ValueError when it is no /proc/stat."""
    found = {}
    for line in text.splitlines():
        if line.startswith(b"cpu"):
            name, *ticks = line.split()
            found[name.decode()] = Times(*(int(tick) for tick in ticks[: len(Times._fields)]))
    if HOST not in found:
        raise ValueError("cannot parse stat: no line of all cpus")
    return found


def shares(before: Times, after: Times) -> dict[str, float] | None:
    """Percent of the time between two readings, by metric; None when no time is counted.

    `idle` and `iowait` may run backwards on Linux, and all counters start again when a thread was offline: these count as 0.
    """
    delta = Times(*(max(0, new - old) for old, new in zip(before, after, strict=True)))
    total = sum(delta)
    if not total:
        return None
    percent = {f"cpu_{name}": 100 * ticks / total for name, ticks in zip(Times._fields, delta, strict=True)}
    return percent | {"cpu_used": percent["cpu_user"] + percent["cpu_system"]}


def readings(before: dict[str, Times], after: dict[str, Times]) -> list[Reading]:
    """What two readings of /proc/stat tell; nothing of a thread that is not in both."""
    found = [Reading("num_cpus", float(len(after) - 1))]
    for name, times in after.items():
        percent = shares(before[name], times) if name in before else None
        thread = name.removeprefix(HOST)
        for metric, value in (percent or {}).items():
            found.append(Reading(metric, value, "hwthread" if thread else "", thread))
    return found


class Cpu:
    """The collector; keeps the last reading."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "stat"
        self._before: dict[str, Times] = {}

    def collect(self, _: float) -> list[Reading]:
        """Shares since the last call."""
        after = parse(self._path.read_bytes())
        before, self._before = self._before, after
        return readings(before, after)
