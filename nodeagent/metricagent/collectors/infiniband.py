"""Traffic and errors of each InfiniBand port, from /sys/class/infiniband (Documentation/ABI/stable/sysfs-class-infiniband).

Ports of RoCE are shown too: what goes by RDMA is in no counter of their network interface.
"""

from pathlib import Path

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey, folders, integer

WORD = 4  # bytes: the data counters count these
COUNTERS = {  # file -> metric, what one of it is in the metric's unit
    "port_rcv_data": ("ib_recv", WORD),
    "port_xmit_data": ("ib_xmit", WORD),
    "port_rcv_packets": ("ib_recv_pkts", 1),
    "port_xmit_packets": ("ib_xmit_pkts", 1),
    "port_rcv_errors": ("ib_recv_errors", 1),
    "port_xmit_discards": ("ib_xmit_discards", 1),
    "symbol_error": ("ib_symbol_errors", 1),
    "link_downed": ("ib_link_downed", 1),
}
RATES = ("ib_recv", "ib_xmit", "ib_recv_pkts", "ib_xmit_pkts")


def ports(folder: Path) -> dict[str, dict[str, Path]]:
    """The counters' files by port (`mlx5_0:1`) and name."""
    return {
        f"{device.name}:{port.name}": {path.name: path for path in folders(port / "counters") if path.name in COUNTERS}
        for device in folders(folder)
        for port in folders(device / "ports")
    }


def read(files: dict[str, Path]) -> dict[str, float]:
    """The counters of a port, by metric; those that its hardware does not have are left out."""
    found = {}
    for name, path in files.items():
        metric, size = COUNTERS[name]
        try:
            found[metric] = float(integer(path) * size)
        except (OSError, ValueError):  # EINVAL, or "N/A (no PMA)"
            continue
    return found


class Infiniband:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._ports = Survey(lambda: ports(host.sys / "class/infiniband"))
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Counters now, rates since the last call."""
        counted = {(port, metric): n for port, files in self._ports.at(now).items() for metric, n in read(files).items()}
        rates = self._rates.take({key: count for key, count in counted.items() if key[1] in RATES}, now)
        values = counted | {(port, f"{metric}_bw"): rate for (port, metric), rate in rates.items()}
        return [Reading(metric, value, stype="infiniband", stype_id=port) for (port, metric), value in values.items()]
