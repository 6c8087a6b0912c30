"""The collectors: one file per source of the host, `read` apart from `parse`.

Only procfs, sysfs, system calls and the driver's own library are used: no external commands, no root. A source that is not on
this host is no failure and costs next to nothing (metricagent.host.Survey). Which names they give, and in which units, is in
metricwire.catalog.
"""

from collections.abc import Callable, Mapping

from metricagent.collector import Collector
from metricagent.collectors.cpu import Cpu
from metricagent.collectors.disks import Disks
from metricagent.collectors.energy import Energy
from metricagent.collectors.filesystems import Filesystems
from metricagent.collectors.handles import Handles
from metricagent.collectors.infiniband import Infiniband
from metricagent.collectors.load import Load
from metricagent.collectors.lustre import Lustre
from metricagent.collectors.memory import Memory
from metricagent.collectors.network import Network
from metricagent.collectors.nfs import Nfs
from metricagent.collectors.nfsmounts import NfsMounts
from metricagent.collectors.numa import Numa
from metricagent.collectors.nvidia import Nvidia
from metricagent.collectors.paging import Paging
from metricagent.collectors.pressure import Pressure
from metricagent.collectors.processes import Processes
from metricagent.collectors.sockets import Sockets
from metricagent.collectors.swap import Swap
from metricagent.collectors.temperatures import Temperatures
from metricagent.collectors.uptime import Uptime
from metricagent.host import Host
from metricwire.errors import SettingsError

COLLECTORS: Mapping[str, Callable[[Host], Collector]] = {
    "cpu": Cpu,
    "memory": Memory,
    "swap": Swap,
    "load": Load,
    "pressure": Pressure,
    "paging": Paging,
    "numa": Numa,
    "filesystems": Filesystems,
    "disks": Disks,
    "network": Network,
    "sockets": Sockets,
    "handles": Handles,
    "processes": Processes,
    "uptime": Uptime,
    "temperatures": Temperatures,
    "energy": Energy,
    "infiniband": Infiniband,
    "nfs": Nfs,
    "nfsmounts": NfsMounts,
    "lustre": Lustre,
    "nvidia": Nvidia,
}


def build(
    switches: Mapping[str, bool], host: Host, more: Mapping[str, Callable[[Host], Collector]] | None = None
) -> dict[str, Collector]:
    """The collectors that are not switched off, `more` behind those of this package. SettingsError for a name that is none."""
    makers = {**COLLECTORS, **(more or {})}
    unknown = sorted(switches.keys() - makers.keys())
    if unknown:
        raise SettingsError(f"cannot use setting collectors: no collector {unknown[0]!r}; there are {', '.join(makers)}")
    return {name: make(host) for name, make in makers.items() if switches.get(name, True)}
