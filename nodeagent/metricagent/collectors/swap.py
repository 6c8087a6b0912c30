"""Swap space, from /proc/meminfo through psutil."""

from typing import Any

import psutil

from metricagent.collector import Reading
from metricagent.host import Host


def parse(swap: Any) -> list[Reading]:
    """Readings from what psutil.swap_memory() gives: bytes. A host without swap has 0 of all."""
    values = {"swap_total": swap.total, "swap_free": swap.free, "swap_used": swap.used}
    return [Reading(metric, float(value)) for metric, value in values.items()]


class Swap:
    """The collector; psutil.PROCFS_PATH says where it looks."""

    def __init__(self, _: Host) -> None:
        pass

    def collect(self, _: float) -> list[Reading]:
        """Swap now."""
        return parse(psutil.swap_memory())
