"""Memory of each NUMA domain, from meminfo and numastat in /sys/devices/system/node/node<N> (admin-guide/numastat.rst)."""

import re
from collections.abc import Mapping
from pathlib import Path

from metricagent.collector import Reading
from metricagent.collectors import memory
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey, folders

TYPE = "memoryDomain"
NODE = re.compile("node([0-9]+)")
LINE = re.compile(rb"^Node [0-9]+ ", re.MULTILINE)
COUNTERS = ("numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node")


def memory_of(text: bytes) -> dict[str, float]:
    """Bytes by metric, from `Node 0 MemTotal: 65536 kB` lines. KeyError when one that is needed is missing.

    There is no MemAvailable here: in use is what is neither free, nor in the page cache's lists, nor a reclaimable slab.
    """
    found = memory.parse(LINE.sub(b"", text))
    cached = found["FilePages"] + found.get("SReclaimable", 0)
    spare = found["MemFree"] + found["Active(file)"] + found["Inactive(file)"] + found.get("SReclaimable", 0)
    values = {
        "mem_total": found["MemTotal"],
        "mem_free": found["MemFree"],
        "mem_used": max(0, found["MemTotal"] - spare),
        "mem_cached": cached,
    }
    return {metric: float(value) for metric, value in values.items()}


def allocations(text: bytes) -> dict[str, float]:
    """Pages by metric, from `numa_hit 1234` lines. ValueError when it is something else."""
    pages = {name.decode(): float(count) for name, count in (line.split() for line in text.splitlines())}
    return {f"numastats_{name}": pages[name] for name in COUNTERS if name in pages}


def domains(folder: Path) -> Mapping[str, Path]:
    """The folders by number."""
    found = {match[1]: path for path in folders(folder) if (match := NODE.fullmatch(path.name))}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


class Numa:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._domains = Survey(lambda: domains(host.sys / "devices/system/node"))
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Memory and counters now, rates since the last call."""
        found: list[Reading] = []
        counted: dict[tuple[str, str], float] = {}
        for domain, path in self._domains.at(now).items():
            values = memory_of((path / "meminfo").read_bytes())
            pages = allocations((path / "numastat").read_bytes())
            found += [Reading(metric, value, TYPE, domain) for metric, value in (values | pages).items()]
            counted |= {(domain, metric): count for metric, count in pages.items()}
        rates = self._rates.take(counted, now)
        return found + [Reading(f"{metric}_rate", rate, TYPE, domain) for (domain, metric), rate in rates.items()]
