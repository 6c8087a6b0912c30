"""Number of processes: those that the host's procfs shows, which is all of its PID namespace."""

import os
from collections.abc import Iterable

from metricagent.collector import Reading
from metricagent.host import Host


def parse(names: Iterable[str]) -> list[Reading]:
    """Readings from the names of what is in procfs."""
    return [Reading("proc_total", float(sum(1 for name in names if name.isdecimal())))]


class Processes:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc

    def collect(self, _: float) -> list[Reading]:
        """Processes now."""
        return parse(os.listdir(self._path))  # noqa: PTH208 names alone; thousands of them
