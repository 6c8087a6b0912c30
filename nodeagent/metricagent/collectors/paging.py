"""Page faults, paging and swapping of the host, from /proc/vmstat."""

import os

from metricagent.collector import Reading
from metricagent.host import Host

PAGE = os.sysconf("SC_PAGE_SIZE")
COUNTERS = {  # line of vmstat -> metric, what one of it is in the metric's unit
    b"pgfault": ("vm_page_faults", 1),
    b"pgmajfault": ("vm_major_page_faults", 1),
    b"pgpgin": ("vm_paged_in", 1024),
    b"pgpgout": ("vm_paged_out", 1024),
    b"pswpin": ("vm_swapped_in", PAGE),
    b"pswpout": ("vm_swapped_out", PAGE),
    b"oom_kill": ("vm_oom_kills", 1),
}


def parse(text: bytes) -> list[Reading]:
    """Readings from `name number` lines; kernels built without swap lack its two. ValueError when it is something else."""
    found = []
    for line in text.splitlines():
        name, _, count = line.partition(b" ")
        if name in COUNTERS:
            metric, size = COUNTERS[name]
            found.append(Reading(metric, float(int(count) * size)))
    if not found:
        raise ValueError("cannot parse vmstat: nothing known in it")
    return found


class Paging:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "vmstat"

    def collect(self, _: float) -> list[Reading]:
        """Counters now."""
        return parse(self._path.read_bytes())
