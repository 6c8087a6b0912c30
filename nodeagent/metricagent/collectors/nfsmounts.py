"""Bytes read from and written to each NFS server's export, from /proc/self/mountstats.

Read of the agent itself: that of process 1 is for root alone, and in a pod the agent sees the host's mounts below its mount of
the host's root. An export that is mounted many times, as for pods, counts once: its mounts share their numbers.
"""

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey

COUNTERS = ("nread", "nwrite", "oread", "owrite", "nfsread", "nfswrite")  # in the order of the line `bytes:`


def parse(text: bytes) -> dict[str, tuple[int, ...]]:
    """The counters by export (`server:/path`), from `device <export> mounted on ... with fstype nfs4 ...` and `bytes: ...`."""
    found: dict[str, tuple[int, ...]] = {}
    export = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [b"device"]:
            kind = words[words.index(b"fstype") + 1] if b"fstype" in words else b""
            export = words[1].decode("utf-8", "replace") if kind in (b"nfs", b"nfs4") else ""
        elif export and words[:1] == [b"bytes:"]:
            found[export] = tuple(int(word) for word in words[1 : 1 + len(COUNTERS)])
    return found


class NfsMounts:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "self/mountstats"
        self._mounted = Survey(lambda: bool(parse(self._path.read_bytes())) if self._path.exists() else False)
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Counters now, rates since the last call."""
        if not self._mounted.at(now):
            return []
        counted = {
            (export, f"nfsio_{name}"): float(count)
            for export, counts in parse(self._path.read_bytes()).items()
            for name, count in zip(COUNTERS, counts, strict=True)
        }
        rates = {(export, f"{metric}_bw"): rate for (export, metric), rate in self._rates.take(counted, now).items()}
        return [
            Reading(metric, value, stype="filesystem", stype_id=export) for (export, metric), value in (counted | rates).items()
        ]
