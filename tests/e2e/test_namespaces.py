"""An operator of all namespaces: the same name in two of them, and a namespace that is deleted with all in it."""

from collections.abc import Iterator

import pytest
import yaml

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)
ELSEWHERE = "elsewhere"


def operate(*arguments: str) -> None:
    k.kubectl("apply", "-f", "-", stdin=k.chart(*arguments))
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=90s")


@pytest.fixture
def everywhere() -> Iterator[None]:
    operate("--set", "watch.allNamespaces=true")
    yield
    k.kubectl("delete", "namespace", ELSEWHERE, "--ignore-not-found", "--timeout=80s")
    operate()
    beyond = f"{k.NAMESPACE}-metricscluster-operator"
    k.kubectl("delete", "clusterrole,clusterrolebinding", beyond, "--ignore-not-found")


def uids(namespace: str) -> set[str]:
    found = k.run("kubectl", "-n", namespace, "get", "pods", "-l", f"app.kubernetes.io/instance={k.NAME}", "-o", "yaml").stdout
    return {pod["metadata"]["uid"] for pod in yaml.safe_load(found)["items"]}


@pytest.mark.usefixtures("everywhere")
def test_two_of_one_name_and_a_namespace_that_goes(nodes: list[str]) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    k.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE, "labels": labels}})
    before = uids(k.NAMESPACE)
    document = k.example()
    document["metadata"]["namespace"] = ELSEWHERE
    k.apply(document)
    wait = ("kubectl", "-n", ELSEWHERE, "wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=80s")
    k.run(*wait)
    assert len(uids(ELSEWHERE)) == 1 + len(nodes)
    bound = ("get", "clusterrolebinding", "-l", f"metricscluster.io/namespace={ELSEWHERE}", "-o", "name")
    assert k.kubectl(*bound)
    k.kubectl("delete", "namespace", ELSEWHERE, "--timeout=85s")
    k.eventually(lambda: not k.kubectl(*bound), seconds=60, what="the rights of what was in it are taken back")
    assert uids(k.NAMESPACE) == before
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")
