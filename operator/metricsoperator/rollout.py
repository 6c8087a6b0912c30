"""The order of a change of images: the store first, the agents when it runs the new one and is ready. Pure.

So a new agent never meets an old store. At the first installation there is nothing to wait for, and other changes concern
one part alone.
"""

from typing import Any

from metricsoperator import names
from metricsoperator.observed import Observed
from metricsoperator.spec import MetricsCluster
from metricsoperator.status import store_rolled

Manifest = dict[str, Any]


def waiting(observed: Observed, cluster: MetricsCluster, manifest: Manifest, wanted: list[Manifest]) -> bool:
    """Whether this object has to stay as it is for now."""
    if (manifest["kind"], manifest["metadata"]["name"]) not in _agents(cluster):
        return False
    agents = observed.get("DaemonSet", cluster.namespace, names.agent(cluster.name))
    if agents is None or _version(agents) == _version(_wanted(wanted, "DaemonSet")):
        return False
    store = observed.get("StatefulSet", cluster.namespace, names.store(cluster.name))
    return store is None or _version(store) != _version(_wanted(wanted, "StatefulSet")) or not store_rolled(store)


def _agents(cluster: MetricsCluster) -> set[tuple[str, str]]:
    """What agents of one version belong with: the settings too, which older ones might not know."""
    return {(kind, names.agent(cluster.name)) for kind in ("ConfigMap", "DaemonSet")}


def _wanted(wanted: list[Manifest], kind: str) -> Manifest:
    return next(manifest for manifest in wanted if manifest["kind"] == kind)


def _version(workload: Manifest) -> str:
    """By our label: images and containers are what policies of others rewrite."""
    return str(workload["metadata"].get("labels", {}).get("app.kubernetes.io/version", ""))
