"""Time since boot, from /proc/uptime: unlike now - boot time it does not jump with the clock."""

from metricagent.collector import Reading
from metricagent.host import Host


def parse(text: bytes) -> list[Reading]:
    """Readings from `350735.47 234388.90`: seconds up, seconds idle. ValueError when it is something else."""
    up, *_ = text.split()
    return [Reading("uptime", float(up))]


class Uptime:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "uptime"

    def collect(self, _: float) -> list[Reading]:
        """Uptime now."""
        return parse(self._path.read_bytes())
