"""`kubectl apply` of the example: what is there afterwards."""

import base64

import pytest

from . import kubernetes as k
from .changing import settled

pytestmark = pytest.mark.timeout(240)


def test_ready_within_a_minute(seconds_to_ready: float, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nfrom kubectl apply to Ready: {seconds_to_ready:.1f} s")
        print(k.kubectl("get", "metricscluster", "-o", "wide"))
    assert seconds_to_ready < 60


def test_objects(nodes: list[str]) -> None:
    selector = f"app.kubernetes.io/instance={k.NAME}"
    kinds = (
        "serviceaccount,networkpolicy,configmap,service,poddisruptionbudget,statefulset,daemonset,secret,persistentvolumeclaim"
    )
    found = {f"{item['kind']}/{item['metadata']['name']}" for item in k.get(kinds, "-l", selector)["items"]}
    assert found == {
        "ServiceAccount/fritz-store",
        "ServiceAccount/fritz-agent",
        "NetworkPolicy/fritz-store",
        "NetworkPolicy/fritz-agent",
        "ConfigMap/fritz-store",
        "ConfigMap/fritz-agent",
        "Service/fritz-store",
        "Service/fritz-store-headless",
        "Service/fritz-agent",
        "PodDisruptionBudget/fritz-store",
        "StatefulSet/fritz-store",
        "DaemonSet/fritz-agent",
        "Secret/fritz-keys",
        "PersistentVolumeClaim/data-fritz-store-0",
    }
    bindings = k.get("clusterrolebinding", "-l", f"{selector},app.kubernetes.io/managed-by=metricscluster-operator")["items"]
    assert sorted(binding["roleRef"]["name"] for binding in bindings) == [
        "monitoring-metricscluster-pods",
        "monitoring-metricscluster-reviews",
    ]
    agents = k.get("pods", "-l", f"{selector},app.kubernetes.io/component=agent")["items"]
    assert sorted(pod["spec"]["nodeName"] for pod in agents) == sorted(nodes)


def test_status(nodes: list[str]) -> None:
    k.eventually(settled, seconds=60, what="nothing more is under way")
    status = k.get("metricscluster", k.NAME)["status"]
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert {name: condition["status"] for name, condition in conditions.items()} == {
        "Ready": "True",
        "StoreAvailable": "True",
        "AgentsAvailable": "True",
        "Progressing": "False",
        "Degraded": "False",
    }
    assert all(condition["observedGeneration"] == status["observedGeneration"] for condition in conditions.values())
    assert status["store"] == {
        "endpoint": f"http://fritz-store.{k.NAMESPACE}.svc:8082",
        "readyReplicas": 1,
        "version": k.TAG,
        "volumes": [{"name": f"data-{k.NAME}-store-0", "requested": "1Gi", "capacity": "1Gi", "state": "Bound"}],
    }
    assert status["keys"] == {"generation": 1, "unusable": [], "lost": False}
    count = len(nodes)
    assert status["nodeAgents"] == {"desired": count, "ready": count, "updated": count, "nodes": f"{count}/{count}"}


def test_keys_are_made_once() -> None:
    entries = k.get("secret", f"{k.NAME}-keys")["data"]
    assert sorted(entries) == [
        "admin-token",
        "agent-token",
        "login-private-other.pem",
        "login-private.pem",
        "login-public-other.pem",
        "login-public.pem",
        "private.key",
        "public-other.key",
        "public.key",
    ]
    assert len(base64.b64decode(base64.b64decode(entries["public.key"]))) == 32
    k.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=operator")
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=60s")
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")
    assert k.get("secret", f"{k.NAME}-keys")["data"] == entries


def test_explain_reads_like_documentation() -> None:
    text = k.kubectl("explain", "metricscluster.spec.store.storage")
    assert "it can grow where the StorageClass allows it" in " ".join(text.split())
