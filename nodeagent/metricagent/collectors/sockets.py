"""Sockets of the host's network namespace, from /proc/1/net/sockstat and sockstat6; those of pods are theirs."""

import os

from metricagent.collector import Reading
from metricagent.host import Host, InitFile

PAGE = os.sysconf("SC_PAGE_SIZE")
FIELDS = {  # protocol, field -> metric, what one of it is in the metric's unit
    (b"sockets", b"used"): ("sockets_used", 1),
    (b"TCP", b"inuse"): ("tcp_in_use", 1),
    (b"TCP6", b"inuse"): ("tcp_in_use", 1),
    (b"TCP", b"orphan"): ("tcp_orphan", 1),
    (b"TCP", b"tw"): ("tcp_time_wait", 1),
    (b"TCP", b"mem"): ("tcp_mem", PAGE),
    (b"UDP", b"inuse"): ("udp_in_use", 1),
    (b"UDP6", b"inuse"): ("udp_in_use", 1),
    (b"UDP", b"mem"): ("udp_mem", PAGE),
}


def parse(text: bytes) -> list[Reading]:
    """Readings from `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1` lines of both files. ValueError when it is something else."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        protocol, _, rest = line.partition(b":")
        words = rest.split()
        for name, value in zip(words[::2], words[1::2], strict=True):
            if (protocol, name) in FIELDS:
                metric, size = FIELDS[protocol, name]
                found[metric] = found.get(metric, 0.0) + int(value) * size
    if "sockets_used" not in found:
        raise ValueError("cannot parse sockstat: no line of all sockets")
    return [Reading(metric, value) for metric, value in found.items()]


class Sockets:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._four = InitFile(host, "net/sockstat")
        self._six = InitFile(host, "net/sockstat6")
        self._has_six = True

    def collect(self, _: float) -> list[Reading]:
        """Sockets now."""
        return parse(self._four.read() + self._read_six())

    def _read_six(self) -> bytes:
        if self._has_six:
            try:
                return self._six.read()
            except FileNotFoundError:  # booted without IPv6, which does not change
                self._has_six = False
        return b""
