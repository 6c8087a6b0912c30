"""Swap space, from /proc/meminfo."""

from collections.abc import Mapping

from metricagent.collector import Reading
from metricagent.collectors.memory import parse
from metricagent.host import Host


def readings(memory: Mapping[str, int]) -> list[Reading]:
    """Readings from what parse gives: bytes. A host without swap has 0 of all."""
    total, free = memory["SwapTotal"], memory["SwapFree"]
    values = {"swap_total": total, "swap_free": free, "swap_used": total - free}
    return [Reading(metric, float(value)) for metric, value in values.items()]


class Swap:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "meminfo"

    def collect(self, _: float) -> list[Reading]:
        """Swap now."""
        return readings(parse(self._path.read_bytes()))
