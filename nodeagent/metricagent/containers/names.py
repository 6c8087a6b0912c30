"""What names of cgroups say: which one is a container, of which pod, and below which the pods of this node are.

    container    <id>, <runtime>-<id>, <runtime>-<id>.scope, <slice>:<runtime>:<id>     <id>: 64 hexadecimal digits
    pod          pod<uid>, kubepods[-<class>]-pod<uid with _ for ->.slice
    node's pods  kubepods, kubepods.slice, <parent>-kubepods.slice

<runtime> is one of RUNTIMES; what monitors a container (crio-conmon-<id>.scope) is none. Pure.
"""

import re

RUNTIMES = ("cri-containerd", "crio", "docker", "libpod", "nerdctl")
_ID = "[0-9a-f]{64}"
_CONTAINER = re.compile(rf"(?:(?:[^/]*:)?(?:{'|'.join(RUNTIMES)})[-:])?({_ID})(?:\.scope)?", re.ASCII)
_ANY_CONTAINER = re.compile(rf"/(?:[^/]*:)?(?:(?:{'|'.join(RUNTIMES)})[-:])?({_ID})(?:\.scope)?(?=/|\Z)", re.ASCII)
_UP = re.compile(r"(?:/\.\.)+")
_POD = re.compile(
    r"(?:.*-)?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?::.*)?"
)
_NODE = re.compile(r"(?:.*-)?kubepods(?:\.slice)?")
KUBELET = ("kubepods", "kubelet")  # what a container that is a machine of its own, as kind's, has in it


def container(name: str) -> str | None:
    """The id of the container whose cgroup has this name; None when it is no container's."""
    if len(name) < 64:
        return None
    found = _CONTAINER.fullmatch(name)
    return found[1] if found else None


def pod(name: str) -> str:
    """The UID of the pod whose cgroup has this name; "" when it is no pod's."""
    if "pod" not in name:
        return ""
    found = _POD.fullmatch(name)
    return found[1].replace("_", "-") if found else ""


def containers_in(text: str) -> tuple[tuple[str, str], ...]:
    """Id and path of all containers in a /proc/<pid>/cgroup, the outermost first in each of its hierarchies."""
    paths = [line.split(":", 2)[-1] for line in text.split("\n")]
    return tuple(dict.fromkeys((found[1], path[: found.end()]) for path in paths for found in _ANY_CONTAINER.finditer(path)))


def is_at(path: str, seen: str, own: str) -> bool:
    """Whether the cgroup at `path` of the hierarchy is the one that a process has as `seen`; `own`: what the agent has itself.

    From within a cgroup namespace one sees the way from its root, /../ as often as needed; what is above the mounted hierarchy,
    as for a node that is a container (kind), is in front of every path. It is never enough that the ends are alike: users make
    cgroups of any name below their own.
    """
    if seen.startswith("/../"):
        return path.endswith(_UP.sub("", seen))
    return seen == path or (seen.endswith(path) and own.startswith(seen.removesuffix(path) + "/"))


def has_pods(name: str) -> bool:
    """Whether a cgroup of this name is the one that a kubelet makes all pods in."""
    return "kubepods" in name and _NODE.fullmatch(name) is not None


def node_root(text: str) -> str:
    """The cgroup that has the kubelet's in it, from the /proc/self/cgroup of one of its pods: "" or "/kind-node-1".

    Two nodes in one machine see the containers of both; each measures what is below its own. "": the whole machine.
    """
    for line in text.splitlines():
        parts = line.split(":", 2)[-1].split("/")
        if ".." in parts:
            continue
        levels = [level for level, part in enumerate(parts) if _NODE.fullmatch(part)]
        if levels:
            return "/".join(parts[: levels[-1]])
    return ""
