"""Which processes are in which container, from /proc/<pid>/cgroup.

The cgroup's own list, cgroup.procs, is no help in a pod: of processes outside of the reader's PID namespace it has no ids.
Everyone may read /proc/<pid>/cgroup, and every line of it ends in the container's path, whatever namespace it is seen from.

A process seldom changes its cgroup, and then when it starts: each is looked at in the first two ticks, then once in EVERY.
"""

import os
from collections.abc import Container, Mapping
from typing import NamedTuple

from metricagent.containers import names
from metricagent.containers.files import read

EVERY = 6  # ticks


class _Seen(NamedTuple):
    containers: tuple[str, ...]  # that it is in, the outermost first
    again: bool  # it is new, and is looked at once more


class Processes:
    """The processes in `proc`, the host's procfs."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._seen: dict[int, _Seen] = {}
        self._turn = 0

    def by_container(self, ids: Container[str]) -> Mapping[str, list[int]]:
        """The process ids of each container among `ids`; none of those without any that can be seen."""
        self._turn = (self._turn + 1) % EVERY
        before, self._seen = self._seen, {}
        found: dict[str, list[int]] = {}
        for name in os.listdir(self._proc):  # noqa: PTH208 a name for each process
            if not name.isdecimal():
                continue
            pid = int(name)
            known = before.get(pid)
            if known is None or known.again or pid % EVERY == self._turn:
                known = self._look(name, new=known is None)
            if known is None:
                continue
            self._seen[pid] = known
            for container in known.containers:
                if container in ids:
                    found.setdefault(container, []).append(pid)
                    break
        return found

    def command(self, pid: int) -> str:
        """What a process is called; "" when it is gone."""
        try:
            return read(f"{self._proc}/{pid}/comm").decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _look(self, pid: str, *, new: bool) -> _Seen | None:
        try:
            text = read(f"{self._proc}/{pid}/cgroup")
        except OSError:
            return None  # it ended meanwhile, or is not for us
        return _Seen(names.containers_in(text.decode("utf-8", "replace")) if len(text) > 64 else (), new)
