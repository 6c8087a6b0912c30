"""The objects of a MetricsCluster `fritz` that does what it is for, as an API server has them, for tests to break."""

import base64
import time
from pathlib import Path
from typing import Any

from fakekubectl import manifest
from storeserver import Store

Manifest = dict[str, Any]
WELL = {"Ready": "True", "StoreAvailable": "True", "AgentsAvailable": "True", "Progressing": "False", "Degraded": "False"}
TAINT = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


def condition(kind: str, status: str, reason: str = "Available", message: str = "") -> Manifest:
    since = "2026-11-21T11:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def cluster(*changed: Manifest, generation: int = 1, seen: int = 1, **spec: Any) -> Manifest:
    said = {kind: condition(kind, status) for kind, status in WELL.items()} | {one["type"]: one for one in changed}
    status = {
        "observedGeneration": seen,
        "conditions": list(said.values()),
        "store": {"endpoint": "http://fritz-store.monitoring.svc:8082", "readyReplicas": 1, "version": "1"},
        "nodeAgents": {"desired": 2, "ready": 2, "updated": 2},
    }
    found = manifest("MetricsCluster", "fritz", spec=spec, status=status)
    found["metadata"]["generation"] = generation
    return found


def pod(name: str, component: str, node: str = "n1", *, ready: bool = True, **container: Any) -> Manifest:
    said = {"name": component, "image": "i", "imageID": "sha256:1", "restartCount": 0} | container
    port = {"store": ("ops", 8083), "agent": ("metrics", 61091), "operator": ("ops", 8080)}[component]
    image = f"localhost/metricscluster-{component}:e2e"
    ours = {"name": component, "image": image, "ports": [{"name": port[0], "containerPort": port[1]}]}
    spec = {"nodeName": node, "containers": [ours]}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [said],
    }
    return manifest("Pod", name, component=component, spec=spec, status=status)


def node(
    name: str, *, labels: dict[str, str] | None = None, taints: list[Manifest] | None = None, ready: bool = True
) -> Manifest:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    about = {"name": name, "labels": labels or {}}
    return {"kind": "Node", "metadata": about, "spec": {"taints": taints or []}, "status": {"conditions": conditions}}


def operator(namespace: str = "", *, there: str = "monitoring", replicas: int = 1, available: int = 1) -> Manifest:
    """The Deployment of an operator that serves that namespace, "" for all."""
    variable = {"name": "METRICSOPERATOR_NAMESPACE", "value": namespace}
    template = {"spec": {"containers": [{"name": "operator", "env": [variable]}]}}
    spec = {"replicas": replicas, "template": template}
    status = {"availableReplicas": available} if available else {}
    return manifest("Deployment", "mc-operator", namespace=there, component="operator", spec=spec, status=status)


def world(folder: Path) -> dict[str, list[Manifest]]:
    claim = {"resources": {"requests": {"storage": "1Gi"}}}
    volume = manifest("PersistentVolumeClaim", "data-fritz-store-0", component="store", spec=claim, status={"phase": "Bound"})
    secret = {"admin-token": (folder / "admin").read_bytes(), "private.key": (folder / "private").read_bytes()}
    data = {name: base64.b64encode(value).decode() for name, value in secret.items()}
    event = manifest("Event", "fritz-store-0.1", reason="BackOff", message="again \x1b[31mand again", count=9, type="Warning")
    event |= {"involvedObject": {"kind": "Pod", "name": "fritz-store-0"}, "lastTimestamp": stamp(-60)}
    return {
        "metricsclusters": [cluster()],
        "pods": [pod("fritz-store-0", "store"), pod("fritz-agent-a", "agent"), pod("operator-1", "operator")],
        "daemonsets": [manifest("DaemonSet", "fritz-agent", component="agent", spec={"template": {"spec": {}}})],
        "statefulsets": [manifest("StatefulSet", "fritz-store", component="store")],
        "services": [
            *(manifest("Service", name, component="store") for name in ("fritz-store", "fritz-store-headless")),
            manifest("Service", "fritz-agent", component="agent"),
        ],
        "deployments": [operator()],
        "persistentvolumeclaims": [volume],
        "nodes": [node("n1"), node("n2", taints=[TAINT])],
        "secrets": [manifest("Secret", "fritz-keys", data=data)],
        "events": [event],
    }


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def ports(store: Store) -> dict[str, int]:
    return {"8082": store.port, "8083": store.operations_port, "61091": 1, "8080": 1}
