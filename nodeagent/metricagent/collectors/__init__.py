"""The collectors: one file per source of the host, `read` apart from `parse`.

Only procfs, sysfs and system calls are used: no external commands, no root. Which names they give, and in which units, is in
metricwire.catalog.
"""

from collections.abc import Callable, Mapping

from metricagent.collector import Collector
from metricagent.collectors.cpu import Cpu
from metricagent.collectors.filesystems import Filesystems
from metricagent.collectors.load import Load
from metricagent.collectors.memory import Memory
from metricagent.collectors.network import Network
from metricagent.collectors.processes import Processes
from metricagent.collectors.swap import Swap
from metricagent.collectors.uptime import Uptime
from metricagent.host import Host
from metricwire.errors import SettingsError

COLLECTORS: Mapping[str, Callable[[Host], Collector]] = {
    "cpu": Cpu,
    "memory": Memory,
    "swap": Swap,
    "load": Load,
    "filesystems": Filesystems,
    "network": Network,
    "processes": Processes,
    "uptime": Uptime,
}


def build(switches: Mapping[str, bool], host: Host) -> dict[str, Collector]:
    """The collectors that are not switched off. SettingsError for a name that is none."""
    unknown = sorted(switches.keys() - COLLECTORS.keys())
    if unknown:
        raise SettingsError(f"cannot use setting collectors: no collector {unknown[0]!r}; there are {', '.join(COLLECTORS)}")
    return {name: make(host) for name, make in COLLECTORS.items() if switches.get(name, True)}
