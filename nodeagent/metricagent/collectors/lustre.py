"""What the Lustre client did, by filesystem: the `stats` files of llite, wherever this version of Lustre has them.

In debugfs since 2.12, which only root may read; in procfs before.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey, folders

logger = logging.getLogger(__name__)

CALLS = {name: f"lustre_{name}" for name in ("open", "close", "getattr", "setattr", "statfs", "inode_permission")}
BYTES = {
    "read_bytes": ("lustre_read_requests", "lustre_read_bytes"),
    "write_bytes": ("lustre_write_requests", "lustre_write_bytes"),
}
RATES = {
    "lustre_read_bytes": "lustre_read_bw",
    "lustre_write_bytes": "lustre_write_bw",
    "lustre_read_requests": "lustre_read_requests_rate",
    "lustre_write_requests": "lustre_write_requests_rate",
}


def parse(text: bytes) -> dict[str, float]:
    """Counters by metric from `read_bytes 12 samples [bytes] 4096 1048576 3145728` (number, unit, min, max, sum) lines.

    Lustre leaves out what did not happen yet: it is 0.
    """
    found = dict.fromkeys([*(metric for pair in BYTES.values() for metric in pair), *CALLS.values()], 0.0)
    for line in text.splitlines():
        name, count, *rest = line.split()
        known = name.decode("utf-8", "replace")
        if known in CALLS:
            found[CALLS[known]] = float(count)
        elif known in BYTES and len(rest) >= 5:
            requests, total = BYTES[known]
            found[requests], found[total] = float(count), float(rest[4])
    return found


def clients(places: Iterable[Path]) -> dict[str, Path]:
    """The `stats` files by mount, from folders `<filesystem>-<address>`. PermissionError when these are for root."""
    return {client.name: client / "stats" for place in places for client in folders(place) if (client / "stats").is_file()}


class Lustre:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._module = host.sys / "fs/lustre"
        self._places = (host.sys / "kernel/debug/lustre/llite", host.proc / "fs/lustre/llite")
        self._clients = Survey(self._look)
        self._told = False
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Counters now, rates since the last call; a filesystem that is mounted twice is the sum of its mounts."""
        counted: dict[tuple[str, str], float] = {}
        for client, path in self._clients.at(now).items():
            try:
                counted |= {(client, metric): count for metric, count in parse(path.read_bytes()).items()}
            except FileNotFoundError:  # unmounted
                self._clients.forget()
        rates = self._rates.take({key: count for key, count in counted.items() if key[1] in RATES}, now)
        values: defaultdict[tuple[str, str], float] = defaultdict(float)
        found = counted | {(client, RATES[metric]): rate for (client, metric), rate in rates.items()}
        for (client, metric), value in found.items():
            values[client.rpartition("-")[0] or client, metric] += value
        return [Reading(metric, value, stype="filesystem", stype_id=name) for (name, metric), value in values.items()]

    def _look(self) -> dict[str, Path]:
        if not self._module.exists() and not self._places[1].exists():
            return {}
        try:
            return clients(self._places)
        except PermissionError as error:
            if not self._told:
                self._told = True
                logger.info("cannot read %s: %s; nothing of Lustre is shown", error.filename, error.strerror)
            return {}
