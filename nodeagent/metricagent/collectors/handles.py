"""Open files of the whole host, from /proc/sys/fs/file-nr."""

from metricagent.collector import Reading
from metricagent.host import Host


def parse(text: bytes) -> list[Reading]:
    """Readings from `1184 0 9223372036854775807`: allocated, of these free, the most allowed. ValueError when it is else."""
    allocated, free, most = map(int, text.split())
    return [Reading("files_open", float(allocated - free)), Reading("files_max", float(most))]


class Handles:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "sys/fs/file-nr"

    def collect(self, _: float) -> list[Reading]:
        """Open files now."""
        return parse(self._path.read_bytes())
