"""The chart with Helm, from nothing to nothing: install, test, upgrade, rollback, uninstall; what is measured stays.

These run before all others, which share one installation. E2E_PREVIOUS_TAG names images of the commit whose chart is upgraded
from (`git log -- charts/metricscluster`): check it out elsewhere, and there `make images TAG=previous`.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from charts import CHART, previous

from . import kubernetes as k
from .conftest import client_pod

pytestmark = pytest.mark.timeout(900)
NAMESPACE, CLUSTER, RELEASE = "helmed", "fresh", "metricscluster"
CRD = "crd/metricsclusters.metricscluster.io"
METRICSCLUSTER = {
    "apiVersion": "metricscluster.io/v1alpha1",
    "kind": "MetricsCluster",
    "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
    "spec": {"nodeAgent": {"interval": "5s"}, "store": {"storage": {"size": "1Gi"}}},
}
ON = ["--set", "metricsCluster.enabled=true", "--set-json", f"metricsCluster.spec={json.dumps(METRICSCLUSTER['spec'])}"]
ON += ["--set", f"metricsCluster.name={CLUSTER}"]


@pytest.fixture(scope="session", autouse=True)
def seconds_to_ready() -> None:
    """Not the installation that the other tests share: there must be none yet."""
    if reason := k.missing():
        pytest.skip(reason)


def kubectl(*arguments: str, seconds: float = 150) -> str:
    return k.run("kubectl", "-n", NAMESPACE, *arguments, seconds=seconds).stdout


def helm(verb: str, *arguments: str | Path, tag: str = k.TAG) -> str:
    renders = verb in {"install", "upgrade"}
    more = ["--set", f"image.registry={k.REGISTRY}", "--set", f"image.tag={tag}", *k.HELM_ARGUMENTS] if renders else []
    command = ["helm", "-n", NAMESPACE, verb, RELEASE, *map(str, arguments), *more]
    return k.run(*command, seconds=240).stdout


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """Fit for agents, and gone afterwards with all that was in it."""
    if k.run("kubectl", "get", CRD, check=False).returncode == 0:
        pytest.skip("there is an installation already")
    k.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        }
    )
    yield
    if os.environ.get("E2E_KEEP") != "1":
        k.run("helm", "-n", NAMESPACE, "uninstall", RELEASE, "--ignore-not-found", seconds=120)
        k.run("kubectl", "delete", CRD, "--ignore-not-found", "--timeout=60s")
        k.run("kubectl", "delete", "namespace", NAMESPACE, "--timeout=100s", seconds=120)
        left = "app.kubernetes.io/managed-by=metricscluster-operator"
        k.run("kubectl", "delete", "clusterrolebinding", "-l", left)


def known() -> bool:
    """Discovery, which kubectl asks, names a kind later than it is established."""
    return not k.run("kubectl", "-n", NAMESPACE, "get", "metricsclusters.metricscluster.io", check=False).returncode


def ready() -> None:
    kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=90s")
    kubectl("wait", "--for=condition=Ready", f"metricscluster/{CLUSTER}", "--timeout=120s")


def ask(path: str, body: str = "") -> str:
    """The store's answer, from a pod of the namespace."""
    script = """
import pathlib, sys, json, urllib.request
path, body = json.load(sys.stdin)
request = urllib.request.Request("http://fresh-store:8082" + path, body.encode() or None)
request.add_header("Authorization", "Bearer " + pathlib.Path("/token/admin").read_text().strip())
print(json.dumps(urllib.request.urlopen(request, timeout=10).read().decode()))
"""
    return str(k.python("client", script, stdin=json.dumps([path, body]), namespace=NAMESPACE))


def client() -> None:
    """The pod that asks."""
    pod = client_pod("")
    del pod["spec"]["nodeName"]
    pod["metadata"] |= {"name": "client", "namespace": NAMESPACE}
    pod["spec"]["volumes"][0]["secret"]["secretName"] = f"{CLUSTER}-keys"
    k.apply(pod)
    kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")


def identity(*kinds: str) -> dict[str, str]:
    """Which objects there are, to see later whether they are the same ones."""
    return {name: kubectl("get", name, "-o", "jsonpath={.metadata.uid}") for name in kinds}


KEPT = (f"metricscluster/{CLUSTER}", f"statefulset/{CLUSTER}-store", f"pvc/data-{CLUSTER}-store-0", f"secret/{CLUSTER}-keys")


def test_from_nothing_to_ready_and_uninstalled_again(record_property: Callable[[str, object], None]) -> None:
    """The kind and the first MetricsCluster in one release; what `helm uninstall` leaves goes on without it."""
    begun = time.monotonic()
    helm("install", CHART, *ON)
    ready()
    record_property("seconds from helm install to Ready", round(time.monotonic() - begun, 1))
    assert re.search(r"TEST SUITE: +metricscluster-test\n(.*\n)*?Phase: +Succeeded", helm("test"))
    before = identity(*KEPT, f"pod/{CLUSTER}-store-0")

    helm("upgrade", CHART, *ON, "--set", "operator.resyncSeconds=30")
    ready()
    assert identity(*before) == before, "an upgrade of the operator alone touches no store"

    client()
    helm("uninstall")
    kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    assert identity(*before) == before
    assert "uptime{" in ask("/metrics?metric=uptime"), "agents deliver, the store answers"

    helm("install", CHART, *ON)
    ready()
    assert identity(*before) == before, "the release takes back what it left"


def test_upgrade_from_the_chart_before_and_back(tmp_path: Path) -> None:
    if not (tag := os.environ.get("E2E_PREVIOUS_TAG")):
        pytest.skip("E2E_PREVIOUS_TAG names no images of the commit before")
    chart = previous(tmp_path)
    helm("install", chart, tag=tag)
    k.eventually(known, seconds=60, what="kubectl knows the kind")
    k.apply(METRICSCLUSTER)
    ready()
    client()
    now = int(time.time())
    ask("/api/write", f"kept,cluster={CLUSTER},hostname=h value=42.5 {now}\n")
    question = {"cluster": CLUSTER, "from": now - 60, "to": now + 60, "queries": [{"metric": "kept", "host": "h"}]}
    before = identity(*KEPT)

    def sample_is_there() -> bool:
        found = json.loads(ask("/api/query", json.dumps(question)))["results"][0][0]
        assert 42.5 in found.get("data", ()), found
        return True

    def follows(wanted: str) -> bool:
        image = kubectl("get", f"pod/{CLUSTER}-store-0", "-o", "jsonpath={.spec.containers[0].image}")
        assert image.endswith(f":{wanted}"), image
        return True

    for command, wanted in ((("upgrade", CHART), k.TAG), (("rollback", "1"), tag), (("upgrade", CHART), k.TAG)):
        helm(*command)
        kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=90s")
        k.eventually(partial(follows, wanted), seconds=90, what=f"the store runs {wanted}")
        ready()
        k.eventually(sample_is_there, seconds=60, what="the sample is answered")
        assert identity(*before) == before, "the resource, its volume and its keys are the same"
