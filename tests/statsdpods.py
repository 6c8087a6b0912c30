"""A directory that always knows the same pods of a node."""

from collections.abc import Iterable

from metricagent.pod import Pod, PodContainer


def cid(letter: str) -> str:
    """A container's id."""
    return letter * 64


WEB = Pod("uid-web", "web-1", "shop", "10.244.1.7", False, (PodContainer("app", cid("a")),))
# An init container and two others.
DB = Pod(
    "uid-db",
    "db-0",
    "shop",
    "10.244.1.8",
    False,
    (PodContainer("migrate", cid("b"), init=True), PodContainer("db", cid("c")), PodContainer("sidecar", cid("d"))),
)
# Only its first init container has started.
STARTING = Pod(
    "uid-starting",
    "starting",
    "shop",
    "10.244.1.9",
    False,
    (PodContainer("one", cid("e"), init=True), PodContainer("two", "", init=True), PodContainer("app", "")),
)
PENDING = Pod("uid-pending", "pending", "shop", "10.244.1.10", False, (PodContainer("app", ""),))
SIX = Pod("uid-six", "six", "shop", "fd00:10:244::7", False, (PodContainer("app", cid("f")),))
ON_HOST = Pod("uid-proxy", "kube-proxy-x", "kube-system", "172.18.0.2", True, (PodContainer("kube-proxy", cid("0")),))


class Pods:
    """See metricagent.pod.Directory."""

    def __init__(self, *pods: Pod) -> None:
        self.pods = list(pods)

    def all(self) -> Iterable[Pod]:
        return list(self.pods)

    def by_ip(self, ip: str) -> Pod | None:
        return next((pod for pod in self.pods if pod.ip == ip and not pod.host_network), None)

    def by_container(self, id: str) -> tuple[Pod, PodContainer] | None:
        return next(((pod, one) for pod in self.pods for one in pod.containers if one.id and one.id == id), None)


NODE = (WEB, DB, STARTING, PENDING, SIX, ON_HOST)
