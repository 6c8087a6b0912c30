"""The objects of MetricsClusters as kubectl shows them, and which of them belong together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from metricscluster.kubectl import Kubectl
from metricscluster.reach import RESOURCE
from metricsoperator import names
from metricwire.errors import MetricsError

Manifest = dict[str, Any]
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
OURS = "app.kubernetes.io/name=metricscluster"
KINDS = ("pods", "statefulsets", "daemonsets", "persistentvolumeclaims")


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there; `nodes` None where they may not be seen. `unseen`: what could not be had, and why."""

    clusters: Sequence[Manifest]
    objects: dict[str, Sequence[Manifest]]  # by kind, as in KINDS, and `events`
    nodes: Sequence[Manifest] | None
    unseen: Sequence[str]

    def of(self, cluster: Manifest, kind: str, component: str = "") -> list[Manifest]:
        """Those of a MetricsCluster, and of one of its parts."""
        about = cluster["metadata"]
        return [
            one
            for one in self.objects.get(kind, ())
            if one["metadata"].get("namespace") == about["namespace"]
            and (labels := one["metadata"].get("labels") or {}).get(INSTANCE) == about["name"]
            and component in {"", labels.get(COMPONENT)}
        ]

    def operators(self) -> list[Manifest]:
        """The operator's pods, where they can be seen."""
        pods = self.objects.get("pods", ())
        return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(COMPONENT) == "operator"]

    def events(self, cluster: Manifest) -> list[Manifest]:
        """The warnings about a MetricsCluster and its objects, the latest first."""
        about = cluster["metadata"]
        parts = (names.store(about["name"]), names.agent(about["name"]), names.claim(about["name"]))
        found = [
            one
            for one in self.objects.get("events", ())
            if one["metadata"].get("namespace") == about["namespace"]
            and ((name := one["involvedObject"].get("name", "")) == about["name"] or name.startswith(parts))
        ]
        return sorted(found, key=last_seen, reverse=True)


def last_seen(event: Manifest) -> str:
    """When an Event was last seen: RFC 3339."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((one for one in times if one), None) or event["metadata"].get("creationTimestamp") or "")


def look(kube: Kubectl, scope: Sequence[str], name: str = "") -> Observed:
    """All MetricsClusters of the scope (`-n NS`, `-A`, or none for kubectl's namespace), or the one of that name.

    MetricsError when these cannot be seen; of the rest is said what cannot.
    """
    clusters = [kube.get(RESOURCE, name, *scope)] if name else kube.get(RESOURCE, *scope)["items"]
    asked = {kind: (kind, *scope, "-l", OURS) for kind in KINDS}
    asked["events"] = ("events", *scope, "--field-selector=type=Warning")
    asked["nodes"] = ("nodes",)
    unseen: list[str] = []

    def seen(arguments: tuple[str, ...]) -> list[Manifest] | None:
        try:
            found: list[Manifest] = kube.get(*arguments)["items"]
        except MetricsError as error:
            unseen.append(str(error))
            return None
        return found

    with ThreadPoolExecutor(len(asked)) as pool:
        found = dict(zip(asked, pool.map(seen, asked.values()), strict=True))
    nodes = found.pop("nodes")
    return Observed(clusters, {kind: items or [] for kind, items in found.items()}, nodes, sorted(unseen))
