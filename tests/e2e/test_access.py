"""A pod with its own ServiceAccount token may do what RBAC grants it, no more."""

import json
from typing import Any

import pytest

from . import kubernetes as k
from .asking import AGENT, STORE, Answer, Question, ask_all
from .conftest import CLIENT

pytestmark = pytest.mark.timeout(240)
NAME = "asker"
TOKEN = "/own/token"
URLS = [f"{STORE}/system/v1/metrics/v0/ping", f"{AGENT}/system/v1/metrics/v0/ping", f"{STORE}/api/query"]
QUERY = json.dumps({"cluster": k.NAME, "from": 0, "to": 1, "queries": []})


@pytest.fixture
def asker(nodes: list[str], seconds_to_ready: float) -> str:
    """A pod whose token is for us."""
    source = {"serviceAccountToken": {"audience": "metricscluster", "expirationSeconds": 3600, "path": "token"}}
    spec: dict[str, Any] = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "nodeName": nodes[0],
        "terminationGracePeriodSeconds": 1,
        "containers": [CLIENT | {"volumeMounts": [{"name": "own", "mountPath": "/own", "readOnly": True}]}],
        "volumes": [{"name": "own", "projected": {"sources": [source]}}],
    }
    about = {"name": NAME, "namespace": k.NAMESPACE}
    k.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
        {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec},
    )
    k.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")
    return NAME


def answers(pod: str) -> list[Answer]:
    return ask_all(pod, [Question(url, QUERY if "query" in url else None, token_file=TOKEN) for url in URLS])


def test_rbac_says_who_may_ask(asker: str) -> None:
    def refused() -> bool:
        return [answer.status for answer in answers(asker)] == [403] * 3

    k.eventually(refused, seconds=20, what="no right, no answer")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "e2e-asker"}
    paths = ["/system/v1/metrics/v0/*", "/api/query"]
    k.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role["name"]},
            "rules": [{"nonResourceURLs": paths, "verbs": ["get", "post"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role["name"]},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": k.NAMESPACE}],
        },
    )
    try:
        k.eventually(lambda: [answer.status for answer in answers(asker)] == [200] * 3, seconds=30, what="the right counts")
        k.kubectl("delete", "clusterrolebinding", role["name"])
        k.eventually(refused, seconds=30, what="the right is gone again")
    finally:
        k.kubectl("delete", "clusterrole,clusterrolebinding", role["name"], "--ignore-not-found")
