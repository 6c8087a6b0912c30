"""Traffic of a container, from /proc/<pid>/net/dev of one of its processes: that of its network namespace, which is its pod's.

So every container of a pod has the traffic of the whole pod, as in DC/OS, and one on the host's network has none of its own.
Which namespace a process is in is told by the inode of that file: each namespace has its own, and unlike /proc/<pid>/ns
everyone may see it.
"""

import os
import re

from metricagent.containers.files import read

# Nothing on lo leaves the pod; what containers within a container make sees the same bytes a second time.
LEFT_OUT = re.compile(
    rb"lo|veth.*|(docker|cni|virbr)[0-9]+|br-[0-9a-f]{12}|(tunl|gre|gretap|erspan|sit|ip6tnl|ip6gre|ip_vti|ip6_vti)0"
)

_COLUMNS = ("bytes_total", "packets_total", "errors_total", "packets_dropped_total")
METRICS = tuple(f"container_network_{way}_{column}" for way in ("receive", "transmit") for column in _COLUMNS)


def parse(text: bytes) -> dict[str, float]:
    """The sums over the interfaces, by metric; nothing where there is none but lo. ValueError when it is no net/dev."""
    sums = [0] * len(METRICS)
    found = False
    for line in text.splitlines()[2:]:
        name, separator, rest = line.rpartition(b":")
        columns = rest.split()
        if not separator or len(columns) < 12:
            raise ValueError(f"cannot parse net/dev: unexpected line {line[:80]!r}")
        if not LEFT_OUT.fullmatch(name.strip()):
            found = True
            sums = [total + int(count) for total, count in zip(sums, (*columns[:4], *columns[8:12]), strict=True)]
    return dict(zip(METRICS, map(float, sums), strict=True)) if found else {}


class Networks:
    """Reads each namespace once a tick; `proc` is the host's procfs."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._host: int | None = None
        self._read: dict[int, dict[str, float]] = {}

    def begin(self) -> None:
        """A tick begins: nothing is read yet."""
        self._host = self._inode("1")
        self._read = {}

    def of(self, pid: int) -> dict[str, float]:
        """The traffic of the namespace of a process, by metric; nothing for the host's, or when the process is gone."""
        inode = self._inode(str(pid))
        if inode is None or inode == self._host:
            return {}
        if inode not in self._read:
            try:
                self._read[inode] = parse(read(f"{self._proc}/{pid}/net/dev"))
            except OSError:
                return {}  # it ended meanwhile
        return self._read[inode]

    def _inode(self, pid: str) -> int | None:
        try:
            return os.stat(f"{self._proc}/{pid}/net/dev").st_ino  # noqa: PTH116 one for each container and tick
        except OSError:
            return None
