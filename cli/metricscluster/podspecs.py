"""Where the containers of a workload are, and what they still lack to send their metrics. Plain data: no YAML, no I/O."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HOST, PORT = "STATSD_UDP_HOST", "STATSD_UDP_PORT"  # as on DC/OS
NODE_ADDRESS = "status.hostIP"

Path = tuple[str | int, ...]  # keys and indexes, from an object inwards
Entry = dict[str, Any]  # of `env`

_TEMPLATE: Path = ("spec", "template", "spec")
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")
POD_SPECS: Mapping[str, Path] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    **dict.fromkeys(_TEMPLATES, _TEMPLATE),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
}
"""By kind, where its pods are described."""
_GROUPS = frozenset({"", "apps", "batch", "extensions"})  # Kubernetes' own; other kinds of these names are others' business


class Agents(NamedTuple):
    """Where the agent of a pod's own node takes StatsD: behind a Service, or "" for the node's address."""

    service: str
    port: int

    def entries(self) -> list[Entry]:
        """The two variables, as entries of `env`."""
        node = {"valueFrom": {"fieldRef": {"fieldPath": NODE_ADDRESS}}}
        return [
            {"name": HOST} | ({"value": self.service} if self.service else node),
            {"name": PORT, "value": str(self.port)},
        ]


class Container(NamedTuple):
    """A container of a workload, and where it is."""

    path: Path
    label: str  # for people: Deployment web, container app
    found: Mapping[str, Any]

    def lacks(self, wanted: list[Entry]) -> list[Entry]:
        """The entries to add: none to a container that has one of these variables otherwise, which may be meant so."""
        return [] if self.otherwise(wanted) else [entry for entry in wanted if entry["name"] not in self._has()]

    def otherwise(self, wanted: list[Entry]) -> list[str]:
        """The names of variables that are there and not what is wanted."""
        there = self._has()
        return [entry["name"] for entry in wanted if entry["name"] in there and not _same(there[entry["name"]], entry)]

    def _has(self) -> dict[Any, Mapping[str, Any]]:
        env = self.found.get("env")
        entries = [entry for entry in env if isinstance(entry, Mapping)] if isinstance(env, list) else []
        return {entry["name"]: entry for entry in entries if isinstance(entry.get("name"), str)}


def containers(found: object) -> Iterator[Container]:
    """All containers, init containers and so sidecars of an object; of a List, those of its items."""
    if not isinstance(found, Mapping):
        return
    kind, items = found.get("kind"), found.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            told = {"kind": kind.removesuffix("List"), "apiVersion": found.get("apiVersion")} if kind != "List" else {}
            if isinstance(item, Mapping):
                for path, label, container in containers({**told, **item}):
                    yield Container(("items", index, *path), label, container)
    elif is_workload(kind, found.get("apiVersion")):
        path = POD_SPECS[str(kind)]
        spec = at(found, path)
        name = at(found, ("metadata", "name")) or at(found, ("metadata", "generateName")) or "without a name"
        for key in ("initContainers", "containers"):
            there = spec.get(key) if isinstance(spec, Mapping) else None
            for index, container in enumerate(there if isinstance(there, list) else ()):
                if isinstance(container, Mapping):
                    label = f"{kind} {name}, container {container.get('name', index)}"
                    yield Container((*path, key, index), label, container)


def is_workload(kind: object, api_version: object) -> bool:
    """Whether it is a kind of Kubernetes' own that has containers."""
    known = isinstance(kind, str) and kind in POD_SPECS
    return known and isinstance(api_version, str) and api_version.rpartition("/")[0] in _GROUPS


def at(found: object, path: Path) -> Any:
    """What is there, or None."""
    for key in path:
        if isinstance(key, int):
            found = found[key] if isinstance(found, list) and key < len(found) else None
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _same(there: Mapping[str, Any], wanted: Entry) -> bool:
    """The API server adds `apiVersion: v1` to a field's reference; a Service has its name with `.svc` too."""
    if "value" in wanted:
        spellings = {wanted["value"], f"{wanted['value']}.svc"} if wanted["name"] == HOST else {wanted["value"]}
        return there.get("value") in spellings and not there.get("valueFrom")
    reference = at(there, ("valueFrom", "fieldRef"))
    return isinstance(reference, Mapping) and reference.get("fieldPath") == NODE_ADDRESS and not there.get("value")
