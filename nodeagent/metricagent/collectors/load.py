"""Load averages, from /proc/loadavg."""

from metricagent.collector import Reading
from metricagent.host import Host


def parse(text: bytes) -> list[Reading]:
    """Readings from `0.50 0.75 1.00 2/345 6789`. ValueError when it is something else."""
    one, five, fifteen, *_ = text.split()
    return [Reading("load_one", float(one)), Reading("load_five", float(five)), Reading("load_fifteen", float(fifteen))]


class Load:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "loadavg"

    def collect(self, _: float) -> list[Reading]:
        """Load now."""
        return parse(self._path.read_bytes())
