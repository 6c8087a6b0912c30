"""What is known of containers beside numbers: their pods, as labels, shown here and sent to the store as `info` lines.

The store keeps the last line of each place for good. A line is sent when a container appears, when its labels change, and again
every REPEAT seconds, since the store may be another one by now. Nothing is sent of a container whose pod is not known (the API
server is away): that would take labels away that the store has from earlier.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from metricagent.attribution import UNKNOWN_ID
from metricagent.pod import Directory, Pod, PodContainer
from metricwire.dcos import CONTAINER, POD_LABEL
from metricwire.errors import BadInput
from metricwire.exposition import plain
from metricwire.lineprotocol import Limits, encode_labels
from metricwire.samples import Labels, Place

REPEAT = 600.0  # seconds
KEPT = 120.0  # seconds that a container is remembered when nothing is measured at it; not less than three intervals

_LONGEST = Limits().name
_ANYWHERE = Place("c", "h")


def labels_of(pod: Pod, container: PodContainer) -> dict[str, str]:
    """The labels of a container; its pod's as `label_<key>`, as kube-state-metrics has them.

    What is empty is left out, and what no line can carry, so that it does not take the rest of its line with it.
    """
    found = {
        "pod": pod.name,
        "namespace": pod.namespace,
        "container": container.name,
        "pod_uid": pod.uid,
        "owner": pod.owner,
        "owner_kind": pod.owner_kind,
    }
    for key, value in pod.labels:
        found.setdefault(label_name(key), value)
    return {name: value for name, value in sorted(found.items()) if value and _is_carried(name, value)}


def _is_carried(name: str, value: str) -> bool:
    """Whether a line of the store's can say it."""
    if max(len(name.encode()), len(value.encode())) > _LONGEST:
        return False
    try:
        encode_labels(Labels(_ANYWHERE, ((name, value),)), 0)
    except BadInput:
        return False
    return True


def label_name(key: str) -> str:
    """What a pod's label is called here: `app.kubernetes.io/name` is `label_app_kubernetes_io_name`."""
    return POD_LABEL + plain(key)


class _Said(NamedTuple):
    labels: dict[str, str]
    at: float


class Labeller:
    """The labels of the containers of the host at `place`, as `directory` knows their pods; it is asked by one thread."""

    def __init__(self, place: Place, directory: Directory, interval: float) -> None:
        self._place = place
        self._directory = directory
        self._kept = max(KEPT, 3 * interval)
        self._measured: dict[str, float] = {}  # when something was measured last, by container
        self._said: dict[str, _Said] = {}

    def label(self, containers: Iterable[str], now: float) -> tuple[Mapping[Place, Mapping[str, str]], list[Labels]]:
        """The labels of all containers of late, and those to send now; `containers` are measured now.

        `now` in seconds of a clock that never jumps.
        """
        self._measured.update(dict.fromkeys(containers, now))
        self._measured.pop(UNKNOWN_ID, None)  # no container
        self._measured = {name: at for name, at in self._measured.items() if now - at <= self._kept}
        self._said = {name: said for name, said in self._said.items() if name in self._measured}
        known: dict[Place, Mapping[str, str]] = {}
        send: list[Labels] = []
        for name in self._measured:
            found = self._directory.by_container(name)
            if found is None:
                continue
            place = Place(self._place.cluster, self._place.host, CONTAINER, name)
            labels = known[place] = labels_of(*found)
            said = self._said.get(name)
            if said is None or said.labels != labels or now - said.at >= REPEAT:
                self._said[name] = _Said(labels, now)
                send.append(Labels(place, tuple(labels.items())))
        return known, send
