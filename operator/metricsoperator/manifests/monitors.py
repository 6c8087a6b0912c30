"""Monitors, by which the Prometheus operator (monitoring.coreos.com) learns what to scrape.

All samples come from the store, whatever way they took there; of the agents no more than their own state is taken, else every
sample would be there twice.
"""

from metricsoperator import names
from metricsoperator.manifests.metadata import Manifest, Site, metadata
from metricsoperator.spec import MetricsCluster

API_VERSION = "monitoring.coreos.com/v1"


def monitors(cluster: MetricsCluster, site: Site, served: frozenset[str]) -> list[Manifest]:
    """Those that are wanted, of the kinds that the API server has."""
    if cluster.spec.prometheus.monitor == "Never":
        return []
    made = [_service_monitor(cluster, site), _pod_monitor(cluster, site)]
    return [manifest for manifest in made if manifest["kind"] in served]


def _service_monitor(cluster: MetricsCluster, site: Site) -> Manifest:
    """The store's samples keep their own labels: of what is shown, not of what shows it."""
    labels = names.selector(cluster.name, names.STORE) | {names.MONITORED_LABEL: "true"}
    endpoint = {
        "port": "ops",
        "path": "/metrics",
        "interval": cluster.spec.prometheus.interval,
        "honorLabels": True,
    }
    return _monitor(
        cluster, site, "ServiceMonitor", names.STORE, {"selector": {"matchLabels": labels}, "endpoints": [endpoint]}
    )


def _pod_monitor(cluster: MetricsCluster, site: Site) -> Manifest:
    """Each agent's own state, with its node as `hostname`, as samples have it."""
    endpoint = {
        "port": "metrics",
        "path": "/metrics",
        "interval": cluster.spec.prometheus.interval,
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "hostname", "action": "replace"}],
        "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "metricagent_.+", "action": "keep"}],
    }
    chosen = {"matchLabels": names.selector(cluster.name, names.AGENT)}
    return _monitor(cluster, site, "PodMonitor", names.AGENT, {"selector": chosen, "podMetricsEndpoints": [endpoint]})


def _monitor(cluster: MetricsCluster, site: Site, kind: str, component: str, spec: Manifest) -> Manifest:
    about = metadata(cluster, component, f"{cluster.name}-{component}", site)
    about["labels"] = cluster.spec.prometheus.labels | about["labels"]
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": about, "spec": spec}
