"""Traffic of each network interface, from /proc/1/net/dev: that of process 1, since a pod has a network of its own.

Left out, so that the sum over a host's interfaces is the traffic of the host, and the number of series does not grow with pods:
- `lo`: nothing on it leaves the host, yet it may exceed all else.
- one end per pod, container or virtual machine (veth of Docker, Podman, containerd, Weave; cali of Calico; lxc of Cilium and
  LXC; eni, azv, gke of the clouds; vnet, tap of libvirt): new ones with every pod, their bytes pass the host's interface too.
- bridges and tunnels of container networks, which see these bytes once more; dummy and intermediate devices, which see none.
Bonds and VLANs stay, beside their members, as node_exporter and DC/OS show them: ask for one by its name.
"""

import re
from typing import NamedTuple

from metricagent.collector import Reading
from metricagent.host import Host, InitFile

LEFT_OUT = re.compile(
    r"lo"
    r"|(veth|cali|lxc|vnet|tap).*|(eni|azv|gke)[0-9a-f]+"
    r"|(docker|cni|cbr|podman|virbr|lxcbr|lxdbr)[0-9]+|docker_gwbridge|cni-podman[0-9]+|br-[0-9a-f]{12}|weave|datapath"
    r"|flannel[.-].*|vxlan[.-].*|cilium_.*|antrea-.*|genev_sys_.*|ovs-system|br-int|br-ex|kube-bridge"
    r"|(tunl|gre|gretap|erspan|sit|ip6tnl|ip6gre|ip_vti|ip6_vti)0"
    r"|(dummy|ifb)[0-9]+|kube-ipvs0|nodelocaldns"
)


class Traffic(NamedTuple):
    """Counters of one interface since it came up."""

    bytes_in: int
    pkts_in: int
    errors_in: int
    drops_in: int
    bytes_out: int
    pkts_out: int
    errors_out: int
    drops_out: int


RATES = ("bytes_in", "bytes_out", "pkts_in", "pkts_out")


def parse(text: bytes) -> dict[str, Traffic]:
    """The counters by interface, those left out not among them. ValueError when it is no /proc/net/dev."""
    found = {}
    for line in text.splitlines()[2:]:
        name, separator, rest = line.rpartition(b":")
        columns = [int(column) for column in rest.split()]
        if not separator or len(columns) < 12:
            raise ValueError(f"cannot parse net/dev: unexpected line {line[:80]!r}")
        interface = name.strip().decode("utf-8", "replace")
        if not LEFT_OUT.fullmatch(interface):
            found[interface] = Traffic(*columns[:4], *columns[8:12])
    return found


def readings(before: dict[str, Traffic], after: dict[str, Traffic], seconds: float) -> list[Reading]:
    """Counters, and the rates of those that two readings `seconds` apart have; a counter that started again has none."""
    found = []
    for interface, traffic in after.items():
        now = traffic._asdict()
        values = {f"net_{name}": float(count) for name, count in now.items()}
        old = before[interface]._asdict() if interface in before else now
        if interface in before and seconds > 0:
            values |= {f"net_{name}_bw": (now[name] - old[name]) / seconds for name in RATES if now[name] >= old[name]}
        found += [Reading(metric, value, stype="interface", stype_id=interface) for metric, value in values.items()]
    return found


class Network:
    """The collector; keeps the last reading and its time."""

    def __init__(self, host: Host) -> None:
        self._file = InitFile(host, "net/dev")
        self._before: dict[str, Traffic] = {}
        self._at = 0.0

    def collect(self, now: float) -> list[Reading]:
        """Counters now, rates since the last call."""
        after = parse(self._file.read())
        found = readings(self._before, after, now - self._at)
        self._before, self._at = after, now
        return found
