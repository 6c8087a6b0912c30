"""A pod of this node as the API server describes it, and who knows all of them."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class PodContainer(NamedTuple):
    """A container of a pod: its name there, and the runtime's id (64 hex digits; "" while it has none)."""

    name: str
    id: str
    init: bool = False


class Pod(NamedTuple):
    """A pod. `ip` is "" while it has none, and the node's own on the host's network."""

    uid: str
    name: str
    namespace: str
    ip: str
    host_network: bool
    containers: tuple[PodContainer, ...]
    owner: str = ""  # the workload behind it: the Deployment, not its ReplicaSet; the CronJob, not its Job
    owner_kind: str = ""
    labels: tuple[tuple[str, str], ...] = ()  # those of the allow-list, by name
    annotations: tuple[tuple[str, str], ...] = ()  # of prometheus.io/ only


class Directory(Protocol):
    """The pods of this node, as far as they are known now; safe to ask from any thread."""

    def all(self) -> Iterable[Pod]:
        """All of them, those that ended a moment ago too."""

    def by_ip(self, ip: str) -> Pod | None:
        """The pod that sends from that address; None for the host's own, which several may share."""

    def by_container(self, id: str) -> tuple[Pod, PodContainer] | None:
        """The pod that a container belongs to."""
