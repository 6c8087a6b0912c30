"""What the operator has seen last of the API server's objects: filled by watches and by regular lists, read by reconciling.

Our labels are anybody's to use, and what they are on may be large: of an object no more is kept than reconciling needs.
"""

from typing import Any, NamedTuple

import msgspec

from metricsoperator import names
from metricsoperator.kinds import CLUSTER_CHILDREN

Manifest = dict[str, Any]
PARTIAL = "partial"
LARGEST = 512 * 1024  # bytes of an object as JSON; ours, with as many metrics and annotations as a resource takes, have less
_RESOURCE = ("name", "namespace", "uid", "generation", "resourceVersion", "deletionTimestamp")
_POD = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "finalizers", "ownerReferences")
_LABELS = ("app.kubernetes.io/instance", names.NAMESPACE_LABEL)
Place = tuple[str, str, str]  # kind, namespace ("" where it has none), name


class Key(NamedTuple):
    """Which MetricsCluster."""

    namespace: str
    name: str


def key_of(item: Manifest) -> Key | None:
    """The MetricsCluster that an object is or belongs to: by its controller, where there can be none by its labels and name.

    None of somebody else's, whatever its labels say.
    """
    about = item["metadata"]
    if item["kind"] == names.KIND:
        return Key(about["namespace"], about["name"])
    if item["kind"] in CLUSTER_CHILDREN:
        labels = about.get("labels", {})
        key = Key(labels.get(names.NAMESPACE_LABEL, ""), labels.get("app.kubernetes.io/instance", ""))
        return key if names.is_cluster_binding(about["name"], key.name, key.namespace) else None
    for owner in about.get("ownerReferences", []):
        if owner.get("controller") and owner["kind"] == names.KIND and owner["apiVersion"].startswith(f"{names.GROUP}/"):
            return Key(about["namespace"], owner["name"])
    return None


def needed(item: Manifest) -> Manifest | None:
    """What reconciling needs of an object; nothing of one that belongs to no MetricsCluster.

    Of one that is large, or of a name that no MetricsCluster wants, that is what deleting it takes; it says so by `partial`.
    """
    key, about = key_of(item), item["metadata"]
    if key is None or PARTIAL in item:
        return item if key else None
    if item["kind"] == names.KIND:
        return item | {"metadata": _part(about, _RESOURCE)}
    whole = item | {"metadata": {field: value for field, value in about.items() if field != "managedFields"}}
    wanted = item["kind"] in CLUSTER_CHILDREN or about["name"] in names.children(key.name)
    if wanted and len(msgspec.json.encode(whole)) <= LARGEST:
        return whole
    short = _part(about, _RESOURCE) | {"labels": _part(about.get("labels", {}), _LABELS)}
    short["ownerReferences"] = [owner for owner in about.get("ownerReferences", []) if owner.get("controller")]
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": short, PARTIAL: True}


def needed_of_pod(pod: Manifest) -> Manifest:
    """What sight, trouble and orphans read of a pod: a part may have thousands, each of 14 kB."""
    about, status = pod["metadata"], pod.get("status", {})
    short = _part(about, _POD)
    if "labels" in about:
        short["labels"] = _part(about["labels"], _LABELS)
    return {
        "kind": pod["kind"],
        "metadata": short,
        "spec": _part(pod.get("spec", {}), ("nodeName",)),
        "status": {
            "conditions": [_part(each, ("type", "status", "reason", "message")) for each in status.get("conditions", [])],
            "containerStatuses": [
                _part(each, ("name", "image", "state", "lastState")) for each in status.get("containerStatuses", [])
            ],
        },
    }


def _part(of: Manifest, fields: tuple[str, ...]) -> Manifest:
    return {field: of[field] for field in fields if field in of}


def _place(item: Manifest) -> Place:
    about = item["metadata"]
    return item["kind"], about.get("namespace", ""), about["name"]


def _older(one: Manifest, other: Manifest) -> bool:
    """Whether metadata is of an earlier state of the same object: a watch may be behind the answer to our own request."""
    return bool(one["uid"] == other["uid"] and int(one["resourceVersion"]) < int(other["resourceVersion"]))


class Observed:
    """The last known state of every object of ours. Not older than a lister's interval, whatever watches miss."""

    def __init__(self) -> None:
        self._items: dict[Place, tuple[int, Manifest]] = {}  # when it was seen, and what is needed of it
        self._gone: dict[Place, tuple[int, str]] = {}  # when it was seen to go, and its uid; until the next list
        self._clock = 0
        self.served: frozenset[str] = frozenset()  # the kinds of monitors that the API server has

    def tick(self) -> int:
        """A moment: what is put afterwards is newer than a list that began then."""
        self._clock += 1
        return self._clock

    def put(self, item: Manifest) -> None:
        """The object was seen like this. One that belongs to no MetricsCluster, or no more, is not kept."""
        place = _place(item)
        known = self._items.get(place)
        if known is not None and _older(item["metadata"], known[1]["metadata"]):
            return
        kept = needed(item)
        if kept is None:
            self._items.pop(place, None)
        else:
            self._items[place] = (self.tick(), kept)

    def drop(self, item: Manifest) -> None:
        """The object was seen to go."""
        if self._items.pop(_place(item), None):
            self._gone[_place(item)] = self.tick(), item["metadata"]["uid"]

    def replace(self, kind: str, items: list[Manifest], since: int) -> None:
        """A list of a kind that began at `since`: what it lacks is gone, unless it was seen later than that.

        What was seen to go later than that is gone, whatever the list says.
        """
        went = {place: uid for place, (when, uid) in self._gone.items() if place[0] == kind and when > since}
        self._gone = {place: gone for place, gone in self._gone.items() if place[0] != kind}
        there = {_place(item) for item in items}
        for place, (when, _) in list(self._items.items()):
            if place[0] == kind and place not in there and when <= since:
                del self._items[place]
        for item in items:
            if went.get(_place(item)) != item["metadata"]["uid"]:
                self.put(item)

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """One object; None too where it is too large to be kept."""
        found = self._items.get((kind, namespace, name))
        return found[1] if found and PARTIAL not in found[1] else None

    def too_large(self, kind: str, namespace: str, name: str) -> bool:
        """Whether it is there, and too large to be kept."""
        found = self._items.get((kind, namespace, name))
        return found is not None and PARTIAL in found[1]

    def keys(self) -> set[Key]:
        """All MetricsClusters, those too of which no more than objects without a namespace is left."""
        found = (key_of(item) for (kind, namespace, _), (_, item) in self._items.items() if kind == names.KIND or not namespace)
        return {key for key in found if key is not None}

    def children(self, key: Key) -> list[Manifest]:
        """All objects that belong to a MetricsCluster, of some no more than their metadata."""
        return [item for _, item in self._items.values() if item["kind"] != names.KIND and key_of(item) == key]
