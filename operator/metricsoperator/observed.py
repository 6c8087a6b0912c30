"""What the operator has seen last of the API server's objects: filled by watches and by regular lists, read by reconciling."""

from typing import Any, NamedTuple

from metricsoperator import names

Manifest = dict[str, Any]


class Key(NamedTuple):
    """Which MetricsCluster."""

    namespace: str
    name: str


def key_of(item: Manifest) -> Key:
    """The MetricsCluster that an object is, or belongs to by its labels."""
    about = item["metadata"]
    if item["kind"] == names.KIND:
        return Key(about["namespace"], about["name"])
    labels = about.get("labels", {})
    namespace = about.get("namespace") or labels.get(names.NAMESPACE_LABEL, "")
    return Key(namespace, labels.get("app.kubernetes.io/instance", ""))


def _place(item: Manifest) -> tuple[str, str, str]:
    """Kind, namespace ("" where it has none) and name."""
    about = item["metadata"]
    return item["kind"], about.get("namespace", ""), about["name"]


def _older(one: Manifest, other: Manifest) -> bool:
    """Whether metadata is of an earlier state of the same object: a watch may be behind the answer to our own request."""
    return bool(one["uid"] == other["uid"] and int(one["resourceVersion"]) < int(other["resourceVersion"]))


class Observed:
    """The last known state of every object of ours. Not older than a lister's interval, whatever watches miss."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, str], tuple[int, Manifest]] = {}  # (kind, namespace, name) -> (when, object)
        self._clock = 0
        self.served: frozenset[str] = frozenset()  # the kinds of monitors that the API server has

    def tick(self) -> int:
        """A moment: what is put afterwards is newer than a list that began then."""
        self._clock += 1
        return self._clock

    def put(self, item: Manifest) -> None:
        """The object was seen like this."""
        about = item["metadata"]
        about.pop("managedFields", None)  # half of an object's size, and never read
        place = _place(item)
        known = self._items.get(place)
        if known is None or not _older(about, known[1]["metadata"]):
            self._items[place] = (self.tick(), item)

    def drop(self, item: Manifest) -> None:
        """The object was seen to go."""
        self._items.pop(_place(item), None)

    def replace(self, kind: str, items: list[Manifest], since: int) -> None:
        """A list of a kind that began at `since`: what it lacks is gone, unless it was seen later than that."""
        there = {_place(item) for item in items}
        for place, (when, _) in list(self._items.items()):
            if place[0] == kind and place not in there and when <= since:
                del self._items[place]
        for item in items:
            self.put(item)

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """One object."""
        found = self._items.get((kind, namespace, name))
        return found[1] if found else None

    def keys(self) -> set[Key]:
        """All MetricsClusters, those too of which no more than objects without a namespace is left."""
        left = {key_of(item) for (_, namespace, _), (_, item) in self._items.items() if not namespace}
        return left | {Key(namespace, name) for kind, namespace, name in self._items if kind == names.KIND}

    def children(self, key: Key) -> list[Manifest]:
        """All objects that belong to a MetricsCluster by their labels."""
        return [item for _, item in self._items.values() if item["kind"] != names.KIND and key_of(item) == key]
