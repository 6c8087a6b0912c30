"""The collector of containers: walks the hierarchy, reads what each container's cgroup says, and the network of its pod.

A container that goes while it is read gives nothing, nor does a cgroup without a process, which a runtime left behind. A pod's
sandbox (the process `pause`) is no container of anybody's and is left out, unless the API server says that it is one.

On a node of Kubernetes a container is what a kubelet's cgroups have in them, whether or not the API server can be asked, or
what it names: anybody who may make a cgroup can give it a container's name.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from metricagent.collector import Reading
from metricagent.containers import names, version1, version2
from metricagent.containers.devices import Devices
from metricagent.containers.files import read
from metricagent.containers.hierarchy import Cgroup, Hierarchy
from metricagent.containers.network import Networks
from metricagent.containers.processes import Processes
from metricagent.containers.version2 import DeviceValues, Values
from metricagent.host import Host
from metricwire.dcos import CONTAINER

SANDBOX = "pause"  # the process that every runtime keeps a pod's namespaces with
CONTROLLERS = ("memory", "cpuacct", "pids")  # of version 1: the first there is shows which containers there are

Found = TypeVar("Found", Values, DeviceValues)

logger = logging.getLogger(__name__)


class NoCgroups(Exception):
    """There is no hierarchy to walk; the text says where it was looked for."""


class Containers:
    """The collector. `is_known`: whether the API server names a container; `disk_limit`: bytes it may take, None: no limit.

    `only_pods`: this is a node of Kubernetes, and containers of no pod are not measured.
    """

    def __init__(
        self, host: Host, is_known: Callable[[str], bool], disk_limit: Callable[[str], float | None], *, only_pods: bool = False
    ) -> None:
        self._cgroups = host.sys / "fs/cgroup"
        self._files, self._device_files = version2.FILES, version2.DEVICE_FILES
        self._proc = host.proc
        self._is_known = is_known
        self._only_pods = only_pods
        self._disk_limit = disk_limit
        self._processes = Processes(str(host.proc))
        self._networks = Networks(str(host.proc))
        self._devices = Devices(host.sys)
        self._hierarchy: Hierarchy | None = None
        self._sandboxes: dict[str, bool] = {}  # whether it is one, by id, as it was when last looked at
        self._settled: set[str] = set()  # those that are not looked at again
        self._garbled: set[str] = set()

    def collect(self, now: float) -> list[Reading]:
        """What there is to say of each container now."""
        hierarchy = self._hierarchy or self._find()
        found = {name: cgroup for name, cgroup in hierarchy.walk().items() if self._counts(cgroup)}
        self._hierarchy = hierarchy
        pids = self._processes.by_container({name: cgroup.path for name, cgroup in found.items()})
        self._sandboxes = {name: is_one for name, is_one in self._sandboxes.items() if name in found}
        self._settled &= found.keys()
        self._networks.begin()
        readings: list[Reading] = []
        for cgroup in found.values():
            its_pids = pids.get(cgroup.id, [])
            if not self._is_sandbox(cgroup, its_pids):
                readings += self._readings(cgroup.id, *self._values(hierarchy, cgroup.path), its_pids, now)
        return readings

    def _counts(self, cgroup: Cgroup) -> bool:
        """Whether it is measured at all."""
        return not self._only_pods or bool(cgroup.pod) or self._is_known(cgroup.id)

    def _find(self) -> Hierarchy:
        """The hierarchy of this machine, from where the agent's own node has its pods. NoCgroups when there is none."""
        if (self._cgroups / "cgroup.controllers").exists():
            self._files, self._device_files = version2.FILES, version2.DEVICE_FILES
            return Hierarchy(str(self._cgroups), self._start(self._cgroups))
        self._files, self._device_files = version1.FILES, version1.DEVICE_FILES
        for controller in CONTROLLERS:
            if (root := self._cgroups / controller).is_dir():
                return Hierarchy(str(root), self._start(root))
        raise NoCgroups(f"{self._cgroups} has neither cgroup.controllers nor {', '.join(CONTROLLERS)}")

    def _start(self, root: Path) -> str:
        try:
            start = names.node_root((self._proc / "self/cgroup").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""
        return start if start and root.joinpath(start[1:]).is_dir() else ""

    def _is_sandbox(self, cgroup: Cgroup, pids: list[int]) -> bool:
        """Whether it is one. Looked at in two ticks: in the first one its process may still be that of the runtime."""
        if not cgroup.pod:
            return False
        if cgroup.id not in self._settled and pids:
            if cgroup.id in self._sandboxes:
                self._settled.add(cgroup.id)
            self._sandboxes[cgroup.id] = len(pids) == 1 and self._processes.command(pids[0]) == SANDBOX
        return self._sandboxes.get(cgroup.id, False) and not self._is_known(cgroup.id)

    def _readings(self, id: str, values: Values, devices: DeviceValues, pids: list[int], now: float) -> Iterator[Reading]:
        """Of one container, what its files say and the rest; none when it is gone."""
        if not values or values.get("container_threads") == 0:
            return
        if pids:
            values["container_processes"] = float(len(pids))
            values |= self._networks.of(pids[0])
        limit = self._disk_limit(id)
        if limit is not None:
            values["container_disk_limit_bytes"] = limit
        for metric, value in values.items():
            yield Reading(metric, value, CONTAINER, id)
        for number, counts in devices.items():
            tags = (("device", self._devices.name(number, now)),)
            for metric, value in counts.items():
                yield Reading(metric, value, CONTAINER, id, "", "", tags)

    def _values(self, hierarchy: Hierarchy, path: str) -> tuple[Values, DeviceValues]:
        """What the files of a cgroup say; nothing when it is gone before all are read."""
        values: Values = {}
        devices: DeviceValues = {}
        found = [self._read(path, *file) for file in self._files]
        found_devices = [self._read(path, *file) for file in self._device_files]
        if (None in found or None in found_devices) and not hierarchy.has(path):
            return {}, {}
        for each in found:
            values |= each or {}
        for each_device in found_devices:
            for device, counts in (each_device or {}).items():
                devices.setdefault(device, {}).update(counts)
        derive(values)
        return values, devices

    def _read(self, path: str, controller: str, name: str, parse: Callable[[bytes], Found]) -> Found | None:
        """What a file says; None when it cannot be read or understood."""
        file = f"{self._cgroups}{controller}{path}/{name}"
        try:
            return parse(read(file))
        except OSError:  # its controller is off, or the container gone
            return None
        except (ValueError, KeyError, ArithmeticError) as error:
            if name not in self._garbled:
                self._garbled.add(name)
                logger.warning(
                    "cannot understand %s: %s: %s; containers are shown without it", file, type(error).__name__, error
                )
            return None


def derive(values: Values) -> None:
    """What is made of several values: the working set, memory with swap, version 1's cpu limit. What only that needed goes."""
    inactive = values.pop("inactive_file", None)
    used = values.get("container_memory_usage_bytes")
    if used is not None:
        if inactive is not None:
            values["container_memory_working_set_bytes"] = max(0.0, used - inactive)
        if "container_memory_swap" in values:
            values.setdefault("container_memory_memsw_usage_bytes", used + values["container_memory_swap"])
    quota, period = values.pop("cpu_quota", -1.0), values.pop("cpu_period", 0.0)
    if quota > 0 and period > 0:
        values["container_cpu_limit"] = quota / period
