"""Physical memory, from /proc/meminfo through psutil, which knows how older kernels and containers write it."""

from typing import Any

import psutil

from metricagent.collector import Reading
from metricagent.host import Host


def parse(memory: Any) -> list[Reading]:
    """Readings from what psutil.virtual_memory() gives: bytes."""
    values = {
        "mem_total": memory.total,
        "mem_free": memory.free,
        "mem_available": memory.available,
        "mem_used": memory.total - memory.available,
        "mem_buffers": memory.buffers,
        "mem_cached": memory.cached,
    }
    return [Reading(metric, float(value)) for metric, value in values.items()]


class Memory:
    """The collector; psutil.PROCFS_PATH says where it looks."""

    def __init__(self, _: Host) -> None:
        pass

    def collect(self, _: float) -> list[Reading]:
        """Memory now."""
        return parse(psutil.virtual_memory())
