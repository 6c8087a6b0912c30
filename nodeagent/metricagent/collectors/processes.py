"""Number of processes: those that the host's procfs shows, which is all of its PID namespace."""

import psutil

from metricagent.collector import Reading
from metricagent.host import Host


def parse(pids: list[int]) -> list[Reading]:
    """Readings from a list of process ids."""
    return [Reading("proc_total", float(len(pids)))]


class Processes:
    """The collector; psutil.PROCFS_PATH says where it looks."""

    def __init__(self, _: Host) -> None:
        pass

    def collect(self, _: float) -> list[Reading]:
        """Processes now."""
        return parse(psutil.pids())
