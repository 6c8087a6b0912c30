"""Which processes are in which container, from /proc/<pid>/cgroup.

The cgroup's own list, cgroup.procs, is no help in a pod: of processes outside of the reader's PID namespace it has no ids.
Everyone may read /proc/<pid>/cgroup, and a line of it has the container's path, as it is seen from the agent's namespace.

A process seldom changes its cgroup, and then when it starts: each is looked at in the first two ticks, then once in EVERY.
One that got the id of another is told by its folder's inode, which a listing says for nothing.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from metricagent.containers import names
from metricagent.containers.files import read

EVERY = 6  # ticks


class _Seen(NamedTuple):
    containers: tuple[tuple[str, str], ...]  # id and path of those that it is in, the outermost first
    again: bool  # it is new, and is looked at once more
    inode: int


class Processes:
    """The processes in `proc`, the host's procfs."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._seen: dict[int, _Seen] = {}
        self._turn = 0

    def by_container(self, paths: Mapping[str, str]) -> Mapping[str, list[int]]:
        """The process ids of each container, `paths` being where each is by id; none of those without any that can be seen."""
        self._turn = (self._turn + 1) % EVERY
        before, self._seen = self._seen, {}
        found: dict[str, list[int]] = {}
        own = self._own()
        for pid, inode in self._listed():
            known = before.get(pid)
            new = known is None or known.inode != inode
            if known is None or new or known.again or pid % EVERY == self._turn:
                known = self._look(pid, inode, new=new)
            if known is None:
                continue
            self._seen[pid] = known
            for container, seen in known.containers:
                path = paths.get(container)
                if path is not None and names.is_at(path, seen, own):
                    found.setdefault(container, []).append(pid)
                    break
        return found

    def command(self, pid: int) -> str:
        """What a process is called; "" when it is gone."""
        try:
            return read(f"{self._proc}/{pid}/comm").decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _listed(self) -> Iterator[tuple[int, int]]:
        """The processes there are now, and the inodes of their folders."""
        with os.scandir(self._proc) as entries:
            for entry in entries:
                if entry.name.isdecimal():
                    yield int(entry.name), entry.inode()

    def _own(self) -> str:
        """Where the agent itself is; "" when that is not to be seen."""
        try:
            text = read(f"{self._proc}/self/cgroup").decode("utf-8", "replace")
        except OSError:
            return ""
        return max((line.split(":", 2)[-1] for line in text.split("\n")), key=len)

    def _look(self, pid: int, inode: int, *, new: bool) -> _Seen | None:
        try:
            text = read(f"{self._proc}/{pid}/cgroup")
        except OSError:
            return None  # it ended meanwhile, or is not for us
        return _Seen(names.containers_in(text.decode("utf-8", "replace")) if len(text) > 64 else (), new, inode)
