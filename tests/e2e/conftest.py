"""One installation for all tests: the chart, the example, a client pod on every node. On failure: what the cluster shows.

E2E_REGISTRY and E2E_TAG name the images (localhost, e2e), E2E_HELM_ARGUMENTS are added to `helm template`, E2E_KEEP=1 leaves
everything in place.
"""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from . import kubernetes as k

CLIENT = {
    "image": f"{k.REGISTRY}/metricscluster-store:{k.TAG}",
    "imagePullPolicy": "IfNotPresent",
    "name": "client",
    "command": ["python3", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumeMounts": [{"name": "token", "mountPath": "/token", "readOnly": True}],
}


USER, PASSWORD = "ada", "correct horse battery staple"
OURS = "app.kubernetes.io/managed-by=metricscluster-operator"


def user_secret() -> str:
    """The Secret that the example names, with one user, as the command makes it."""
    command = (sys.executable, "-m", "metricscluster", "user", "add", USER, "--permission", "dcos:superuser")
    entry = k.run(*command, stdin=f"{PASSWORD}\n").stdout
    about = {"name": f"{k.NAME}-users", "namespace": k.NAMESPACE}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": {f"{USER}.json": entry}})


def client_pod(node: str) -> dict[str, Any]:
    token = {"secretName": f"{k.NAME}-keys", "items": [{"key": "admin-token", "path": "admin"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"client-{node}", "namespace": k.NAMESPACE, "labels": {"metricscluster.io/client": "true"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [CLIENT],
            "volumes": [{"name": "token", "secret": token}],
        },
    }


@pytest.fixture(scope="session", autouse=True)
def seconds_to_ready() -> Iterator[float]:
    """The installation; the value is the time from `kubectl apply` of the example to Ready."""
    if reason := k.missing():
        pytest.skip(reason)
    security = "pod-security.kubernetes.io"
    labels = {f"{security}/enforce": "privileged", f"{security}/warn": "restricted", f"{security}/audit": "restricted"}
    k.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": k.NAMESPACE, "labels": labels}})
    k.kubectl("apply", "-f", "-", stdin=k.chart())
    k.kubectl("apply", "-f", "-", stdin=user_secret())
    k.kubectl("wait", "--for=condition=Established", "crd/metricsclusters.metricscluster.io", "--timeout=30s")
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=60s")
    began = time.monotonic()
    k.kubectl("apply", "-f", str(k.ROOT / "examples/metricscluster.yaml"))
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")
    yield time.monotonic() - began
    if os.environ.get("E2E_KEEP") != "1":
        k.kubectl("delete", "namespace", "shop", "--ignore-not-found", "--wait=false")
        k.kubectl("delete", "metricscluster", "--all", "--timeout=60s")
        left = ("get", "clusterrolebinding", "-l", OURS, "-o", "name")
        k.eventually(lambda: not k.kubectl(*left), seconds=60, what="the rights in the cluster are taken back")
        k.kubectl("delete", "namespace", k.NAMESPACE, "--timeout=180s", seconds=200)
        k.kubectl("delete", "-f", "-", "--ignore-not-found", "--timeout=60s", stdin=k.chart())


@pytest.fixture(scope="session")
def nodes() -> list[str]:
    return [node["metadata"]["name"] for node in k.get("nodes")["items"]]


@pytest.fixture(scope="session")
def clients(nodes: list[str], seconds_to_ready: float) -> dict[str, str]:
    """Node -> the client pod on it."""
    k.apply(*(client_pod(node) for node in nodes))
    pods = {node: f"client-{node}" for node in nodes}
    k.kubectl("wait", "--for=condition=Ready", *(f"pod/{pod}" for pod in pods.values()), "--timeout=60s")
    return pods


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what needs a cluster without an installation, last what looks back at all others."""
    items.sort(key=lambda item: {"test_helm.py": 0, "test_rights.py": 2}.get(item.path.name, 1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and not k.missing():
        shown = [
            ("get", "metricscluster,pods,statefulset,daemonset,pvc", "-o", "wide"),
            ("get", "metricscluster", "-o", "yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            *(
                ("logs", "--tail=60", "--prefix", "--ignore-errors", "-l", f"app.kubernetes.io/component={part}")
                for part in PARTS
            ),
        ]
        for command in shown:
            done = k.run("kubectl", "-n", k.NAMESPACE, *command, check=False)
            report.sections.append((f"kubectl {' '.join(command)}", done.stdout + done.stderr))
    return report


PARTS = ("operator", "store", "agent")
