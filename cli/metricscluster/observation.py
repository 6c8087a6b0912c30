"""The objects of MetricsClusters as kubectl shows them, and which of them belong together."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from metricscluster.kubectl import Kubectl
from metricscluster.reach import RESOURCE
from metricsoperator import names
from metricsoperator.settings import OPTIONS
from metricwire.errors import MetricsError

Manifest = dict[str, Any]
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
OURS = "app.kubernetes.io/name=metricscluster"
KINDS = ("pods", "statefulsets", "daemonsets", "services", "persistentvolumeclaims")
_OPERATOR = f"{OURS},{COMPONENT}=operator"


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there; `nodes` None where they may not be seen. `unseen`: what could not be had, and why."""

    clusters: Sequence[Manifest]
    objects: Mapping[str, Sequence[Manifest]]  # by kind, as in KINDS, and `events`; without those that may not be seen
    nodes: Sequence[Manifest] | None
    unseen: Sequence[str]
    operators: Sequence[Manifest] = ()  # Deployments and their pods
    everywhere: bool = False  # whether operators were looked for in all namespaces

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

    def operator_pods(self) -> list[Manifest]:
        """The pods of operators."""
        return [one for one in self.operators if one["kind"] == "Pod"]

    def serving(self, namespace: str) -> list[Manifest]:
        """The Deployments of operators that serve this namespace."""
        return [one for one in self.operators if one["kind"] == "Deployment" and _served(one) in {"", namespace}]

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


def _served(deployment: Manifest) -> str:
    """The namespace that an operator serves; "" for all."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env") or ():
            if variable["name"] == OPTIONS["--namespace"][1]:
                return str(variable.get("value", ""))
    return ""


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

    with ThreadPoolExecutor(len(asked) + 1) as pool:
        operators = pool.submit(_operators, kube, scope)
        found = dict(zip(asked, pool.map(seen, asked.values()), strict=True))
    nodes = found.pop("nodes")
    there, why = operators.result()
    objects = {kind: items for kind, items in found.items() if items is not None}
    observed = Observed(clusters, objects, nodes, unseen, there, everywhere=not why)
    if why and not all(observed.serving(one["metadata"]["namespace"]) for one in clusters):
        unseen.append(f"{why}; so it is not checked whether an operator runs")
    unseen.sort()
    return observed


def _operators(kube: Kubectl, scope: Sequence[str]) -> tuple[list[Manifest], str]:
    """Deployments and pods of operators in all namespaces; where these may not be seen those of the scope, and why."""
    try:
        return kube.get("deployments,pods", "-A", "-l", _OPERATOR)["items"], ""
    except MetricsError as error:
        why = str(error)
    try:
        return kube.get("deployments,pods", *scope, "-l", _OPERATOR)["items"], why
    except MetricsError as error:
        return [], str(error)
