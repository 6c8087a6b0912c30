"""Physical memory, from /proc/meminfo (proc_meminfo(5))."""

from collections.abc import Mapping

from metricagent.collector import Reading
from metricagent.host import Host

DETAILS = {  # metric -> line of meminfo; older kernels lack some
    "mem_shared": "Shmem",
    "mem_slab": "Slab",
    "mem_active": "Active",
    "mem_inactive": "Inactive",
    "mem_dirty": "Dirty",
    "mem_writeback": "Writeback",
    "mem_anon_pages": "AnonPages",
    "mem_mapped": "Mapped",
    "mem_locked": "Mlocked",
    "mem_pagetables": "PageTables",
    "mem_kernelstack": "KernelStack",
    "mem_hugepages_total": "HugePages_Total",
    "mem_hugepages_free": "HugePages_Free",
}


def parse(text: bytes) -> dict[str, int]:
    """The values by name, in bytes where the kernel gives kB (which are KiB). ValueError when it is no meminfo."""
    found = {}
    for line in text.splitlines():
        name, separator, rest = line.partition(b":")
        value, *unit = rest.split()
        if not separator or unit not in ([], [b"kB"]):
            raise ValueError(f"cannot parse meminfo: unexpected line {line[:80]!r}")
        found[name.decode()] = int(value) << 10 if unit else int(value)
    return found


def readings(memory: Mapping[str, int]) -> list[Reading]:
    """Readings from what parse gives. KeyError when what every kernel since 3.14 has is missing."""
    values = {
        "mem_total": memory["MemTotal"],
        "mem_free": memory["MemFree"],
        "mem_available": memory["MemAvailable"],
        "mem_used": memory["MemTotal"] - memory["MemAvailable"],
        "mem_buffers": memory["Buffers"],
        "mem_cached": memory["Cached"] + memory.get("SReclaimable", 0),
    }
    values |= {metric: memory[name] for metric, name in DETAILS.items() if name in memory}
    return [Reading(metric, float(value)) for metric, value in values.items()]


class Memory:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "meminfo"

    def collect(self, _: float) -> list[Reading]:
        """Memory now."""
        return readings(parse(self._path.read_bytes()))
