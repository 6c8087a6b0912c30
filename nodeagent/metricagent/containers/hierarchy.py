"""The walk through a cgroup hierarchy that finds the containers, cheap enough for every tick.

A folder is listed again only when it may have changed. Modification times say nothing there (kernfs keeps none), but the link
count of a folder is 2 + its subfolders: when count and inode are as before and every subfolder known is still there, no other
can have come. A filesystem that does not count (1) is listed each time.

What is inside a container is not looked at, since it is counted in it already; except in one outside of any pod that has a
kubelet's cgroups in it: that is a machine in itself (kind), and its pods' containers are found instead.

Users make cgroups of any name below those that are left to them, so a pod is one only below the cgroup that a kubelet makes all
pods in, and that is not a user's. Of two containers of one name that counts whose kubelet's is nearest to the root.
"""

import os
import sys
from dataclasses import dataclass
from typing import NamedTuple

from metricagent.containers import names

_USERS = "user.slice"  # what systemd has all users' sessions in
_OUTSIDE = sys.maxsize  # the depth of what is not below a kubelet's pods
_LEAF, _COUNTED = 2, 2  # links of a folder without subfolders; from here on links count subfolders


class Cgroup(NamedTuple):
    """A container's cgroup: `path` is below the hierarchy's root, a slash in front; `pod` the pod's UID, "" outside of one."""

    id: str
    path: str
    pod: str


@dataclass(slots=True, frozen=True)
class _Listed:
    """What a folder had in it when it was listed, and by what a change is noticed."""

    inode: int
    links: int
    folders: tuple[str, ...]


class Hierarchy:
    """The containers below `start` ("" or "/path") of the hierarchy mounted at `root`."""

    def __init__(self, root: str, start: str = "") -> None:
        self._root = root
        self._start = start
        self._users = f"{start}/{_USERS}/"
        self._known: dict[str, _Listed] = {}

    def walk(self) -> dict[str, Cgroup]:
        """The containers by id. OSError when the root cannot be read; a part that cannot be is left out."""
        found: dict[str, Cgroup] = {}
        seen: dict[str, _Listed] = {}
        ranks: dict[str, tuple[int, bool]] = {}
        waiting = [(self._start, "", _OUTSIDE, os.stat(self._root + self._start))]  # noqa: PTH116 thousands of paths
        while waiting:
            path, pod, above, status = waiting.pop()
            for name, child in self._folders(path, status, seen):
                below, depth, container = f"{path}/{name}", above, names.container(name)
                users = below.startswith(self._users)
                if depth == _OUTSIDE and not users and names.has_pods(name):
                    depth = below.count("/")
                # A runtime that disagrees with the kubelet on who makes cgroups has both names in one, in its own service's.
                its_pod = pod or (names.pod(name) if depth != _OUTSIDE or (container and not users) else "")
                if container is None:
                    waiting.append((below, its_pod, depth, child))
                elif not its_pod and self._is_machine(below, child, seen):
                    waiting.append((below, "", depth, child))
                elif container not in found or (depth, not its_pod) < ranks[container]:
                    found[container] = Cgroup(container, below, its_pod)
                    ranks[container] = depth, not its_pod
        self._known = seen
        return found

    def has(self, path: str) -> bool:
        """Whether a cgroup is still there."""
        return os.path.isdir(self._root + path)  # noqa: PTH112 thousands of paths

    def _folders(self, path: str, status: os.stat_result, seen: dict[str, _Listed]) -> list[tuple[str, os.stat_result]]:
        """The folders in one, each with its status."""
        known = self._known.get(path)
        if known and known.inode == status.st_ino and known.links == status.st_nlink >= _COUNTED:
            found = self._stat(path, known.folders)
            if len(found) == len(known.folders):
                seen[path] = known
                return found
        try:
            with os.scandir(self._root + path) as entries:
                folders = tuple(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []  # it is gone, or is not for us
        found = self._stat(path, folders)
        seen[path] = _Listed(status.st_ino, status.st_nlink, folders)
        return found

    def _stat(self, path: str, folders: tuple[str, ...]) -> list[tuple[str, os.stat_result]]:
        """Those of the folders that are there."""
        found = []
        for name in folders:
            try:
                found.append((name, os.stat(f"{self._root}{path}/{name}")))  # noqa: PTH116 thousands of paths
            except OSError:
                continue
        return found

    def _is_machine(self, path: str, status: os.stat_result, seen: dict[str, _Listed]) -> bool:
        """Whether a container has a kubelet's cgroups in it."""
        if status.st_nlink == _LEAF:
            return False
        return any(name.startswith(names.KUBELET) for name, _ in self._folders(path, status, seen))
