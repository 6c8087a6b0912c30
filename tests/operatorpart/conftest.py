"""What the tests of the operator share: resources, golden files, an API server made of a dictionary."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Keep, Manifest, Refused, Retry, everything
from metricsoperator.spec import MetricsCluster, parse

GOLDEN = Path(__file__).parents[1] / "golden"
SITE = Site("registry.example/metrics", "1.2.3", cluster_roles="monitoring-metricscluster")
UID = "00000000-0000-4000-8000-000000000001"


def document(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    about = {"name": "fritz", "namespace": "monitoring", "uid": UID, "generation": 1, "resourceVersion": "1"} | metadata
    return {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": about, "spec": spec or {}}


def cluster(spec: dict[str, Any] | None = None) -> MetricsCluster:
    return parse(document(spec))


FULL: dict[str, Any] = {
    "clusterName": "fritz-hpc",
    "image": {"registry": "mirror.example", "tag": "2.0.0", "pullPolicy": "Always", "pullSecrets": [{"name": "mirror"}]},
    "metrics": [
        {"name": "flops_any", "frequency": "60s", "aggregation": "sum", "unit": "F/s"},
        {"name": "cpu_user", "aggregation": "none"},
    ],
    "store": {
        "storage": {"size": "20Gi", "className": "fast", "whenDeleted": "Delete"},
        "retention": {"memory": "7d"},
        "limits": {"series": 2000, "bodyBytes": "1Mi", "memory": "1Gi"},
        "tls": {"secretName": "store-tls"},
        "service": {"type": "LoadBalancer", "annotations": {"lb.example/internal": "true"}},
        "pod": {
            "resources": {"requests": {"cpu": 2}, "limits": {"memory": "3Gi"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "storage", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 60}],
            "priorityClassName": "high",
            "labels": {"team": "hpc", "app.kubernetes.io/name": "other"},
            "annotations": {"note": "kept"},
        },
    },
    "nodeAgent": {
        "interval": "30s",
        "collectors": {"network": False},
        "containers": {"labels": ["app", "example.com/team"]},
        "statsd": {"port": 18125, "hostPort": True, "bytesPerPod": 100000},
        "textfile": {"directory": "/var/lib/metrics"},
        "scrape": {"enabled": True, "interval": "1m", "seriesPerPod": 500, "bytesPerPod": 65536},
        "nvidia": {"runtimeClassName": "nvidia"},
        "spool": {"size": "128Mi"},
        "maxUnavailable": "3",
        "pod": {"tolerations": []},
    },
    "auth": {
        "kubernetes": False,
        "publicKeys": [{"secretName": "cc-backend"}],
        "anonymousMetrics": False,
        "loginUsers": {"secretName": "users"},
        "loginKeys": [{"secretName": "login", "privateKey": "tls.key", "publicKey": "tls.pub"}],
        "anonymousAgents": True,
    },
    "prometheus": {"labels": {"release": "prometheus"}, "interval": "15s", "namespaces": ["observability"]},
    "nats": {
        "url": "tls://nats.messaging:4222,nats://10.0.0.1",
        "subscriptions": [{"subject": "hpc-nats"}, {"subject": "metrics.>", "cluster": "alex", "stream": "METRICS"}],
        "username": "metricstore",
        "credentialsSecret": "nats-login",
        "caSecret": "nats-ca",
    },
}


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a golden file; UPDATE_GOLDEN=1 writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; UPDATE_GOLDEN=1 pytest writes it"

    return compare


class Server:
    """The API server as reconciling sees it: objects by kind and name, each write counted, faults on demand."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, str], Manifest] = {}
        self.writes: list[tuple[str, str, str]] = []  # (verb, kind, name)
        self.faults: dict[str, Exception] = {}  # kind -> what a write of it meets
        self.version = 100

    def keep(self, item: Manifest) -> Manifest:
        self.version += 1
        about = item["metadata"]
        about.setdefault("uid", f"uid-{self.version}")
        about["resourceVersion"] = str(self.version)
        self.items[item["kind"], about.get("namespace", ""), about["name"]] = item
        return copy.deepcopy(item)

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.items.get((kind, namespace, name)))

    async def list(self, kind: str, namespace: str, labels: str, fields: str = "", keep: Keep = everything) -> list[Manifest]:
        found = [item for (of, where, _), item in self.items.items() if of == kind and namespace in ("", where)]
        if labels:
            wanted = dict(pair.split("=") for pair in labels.split(","))
            found = [item for item in found if wanted.items() <= item["metadata"].get("labels", {}).items()]
        if fields:
            name = dict(pair.split("=") for pair in fields.split(","))["involvedObject.name"]
            found = [item for item in found if item["involvedObject"]["name"] == name]
        return [kept for item in found if (kept := keep(copy.deepcopy(item)))]

    async def create(self, manifest: Manifest) -> Manifest:
        self._write("create", manifest)
        about = manifest["metadata"]
        if (manifest["kind"], about.get("namespace", ""), about["name"]) in self.items:
            raise Refused("it exists", 409)
        return self.keep(copy.deepcopy(manifest))

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        self._write("status" if subresource else "apply", manifest)
        about = manifest["metadata"]
        found = self.items.get((manifest["kind"], about.get("namespace", ""), about["name"]), {"metadata": {}})
        merged = copy.deepcopy(found) | copy.deepcopy(manifest)
        merged["metadata"] = found["metadata"] | merged["metadata"]
        return self.keep(merged)

    async def merge(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        found = self.items[kind, namespace, name]
        self._write("merge", found)
        version = change.get("metadata", {}).get("resourceVersion", found["metadata"]["resourceVersion"])
        if version != found["metadata"]["resourceVersion"]:
            raise Retry("the object has been modified")
        return self.keep(_merged(found, change))

    async def delete(self, manifest: Manifest, *, orphan: bool = False) -> None:
        self._write("orphan" if orphan else "delete", manifest)
        about = manifest["metadata"]
        del self.items[manifest["kind"], about.get("namespace", ""), about["name"]]

    def _write(self, verb: str, manifest: Manifest) -> None:
        if fault := self.faults.get(manifest["kind"]):
            raise fault
        self.writes.append((verb, manifest["kind"], manifest["metadata"]["name"]))


def _merged(found: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    kept = {name: value for name, value in (found or {}).items() if name not in change}
    return kept | {name: _merged((found or {}).get(name), value) for name, value in change.items() if value is not None}


@pytest.fixture
def server() -> Server:
    return Server()


def builtins(value: Any) -> Any:
    return msgspec.to_builtins(value)
