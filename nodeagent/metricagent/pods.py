"""The pods of this node, as far as they are known: kept up to date by the event loop (podwatch.py), asked by any thread.

A pod that was deleted is known for a while longer: its last samples are still on their way. When nothing was heard of the API
server for long, all are forgotten: addresses have other owners by then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metricagent.pod import Pod, PodContainer
from metricagent.podobject import Described

ENDED_KEPT = 120.0  # seconds that a pod is known after its end
UNHEARD_KEPT = 3600.0  # seconds that pods are known when nothing is heard of them


@dataclass(frozen=True, slots=True)
class _Known:
    """All pods at one moment, by what they are asked for."""

    pods: Mapping[str, Described] = field(default_factory=dict)  # by UID
    by_ip: Mapping[str, Pod] = field(default_factory=dict)
    by_container: Mapping[str, tuple[Pod, PodContainer]] = field(default_factory=dict)
    storage: Mapping[str, float] = field(default_factory=dict)  # by container


class Pods:
    """A Directory (metricagent.pod). Times are seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._known = _Known()
        self._gone: dict[str, float] = {}  # when each pod that is no more was deleted
        self._heard = float("-inf")

    def __len__(self) -> int:
        return len(self._known.pods)

    def all(self) -> Iterable[Pod]:
        """All of them, those that ended a moment ago too."""
        return [each.pod for each in self._known.pods.values()]

    def running(self) -> Iterable[Pod]:
        """Those that were not deleted and have not come to an end. For the event loop only."""
        return [each.pod for uid, each in self._known.pods.items() if uid not in self._gone and not each.ended]

    def by_ip(self, ip: str) -> Pod | None:
        """The running pod that sends from that address; None for one that several have, as the host's own."""
        return self._known.by_ip.get(ip)

    def by_container(self, id: str) -> tuple[Pod, PodContainer] | None:
        """The pod that a container belongs to."""
        return self._known.by_container.get(id)

    def has_container(self, id: str) -> bool:
        """Whether any pod has that container."""
        return id in self._known.by_container

    def storage_limit(self, id: str) -> float | None:
        """Bytes of ephemeral storage that a container may use; None without a limit."""
        return self._known.storage.get(id)

    def replace(self, found: Iterable[Described], now: float) -> None:
        """These are all pods that there are."""
        pods = {each.pod.uid: each for each in found}
        for uid in self._known.pods.keys() - pods.keys():
            self._gone.setdefault(uid, now)
        self._gone = {uid: at for uid, at in self._gone.items() if uid not in pods}
        self._keep({uid: each for uid, each in self._known.pods.items() if uid in self._gone} | pods)
        self.heard(now)

    def put(self, found: Described, now: float) -> None:
        """A pod is new, or not as before."""
        self._gone.pop(found.pod.uid, None)
        self._keep({**self._known.pods, found.pod.uid: found})
        self.heard(now)

    def remove(self, found: Described, now: float) -> None:
        """A pod was deleted; `found` is what it was last."""
        self._gone[found.pod.uid] = now
        self._keep({**self._known.pods, found.pod.uid: found})
        self.heard(now)

    def heard(self, now: float) -> None:
        """The API server lives, and what is known is so."""
        self._heard = now

    def expire(self, now: float) -> None:
        """Forget what was deleted a while ago, and everything when nothing was heard for long."""
        if now - self._heard > UNHEARD_KEPT:
            self._gone = {}
            self._keep({})
            return
        old = [uid for uid, at in self._gone.items() if now - at > ENDED_KEPT]
        if old:
            for uid in old:
                del self._gone[uid]
            self._keep({uid: each for uid, each in self._known.pods.items() if uid not in old})

    def _keep(self, pods: dict[str, Described]) -> None:
        """Only a pod that runs has its address: who gets it next must not be taken for one that ended before.
        An address of two that run is nobody's: which of them sends cannot be told.

        Of two with one container the one that runs counts.
        """
        by_ip: dict[str, Pod] = {}
        shared: set[str] = set()
        by_container: dict[str, tuple[Pod, PodContainer]] = {}
        storage: dict[str, float] = {}

        def runs(each: Described) -> bool:
            return each.pod.uid not in self._gone and not each.ended

        for each in sorted(pods.values(), key=runs):
            if runs(each) and not each.pod.host_network:
                shared |= by_ip.keys() & each.ips
                by_ip.update(dict.fromkeys(each.ips, each.pod))
            by_container.update((container.id, (each.pod, container)) for container in each.pod.containers if container.id)
            storage |= each.storage
        for ip in shared:
            del by_ip[ip]
        self._known = _Known(pods, by_ip, by_container, storage)
