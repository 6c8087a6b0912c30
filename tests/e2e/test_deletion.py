"""Deleting a MetricsCluster takes everything with it but the volume, and does not need the operator."""

import pytest

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)
KINDS = "serviceaccount,networkpolicy,configmap,service,poddisruptionbudget,statefulset,daemonset,secret,pod"
ALSO = "also"
SELECTOR = f"app.kubernetes.io/instance={ALSO}"


def operators(count: int) -> None:
    """So many of them, and none that is still about to end: it may go on working for a moment."""
    k.kubectl("scale", "deployment/metricscluster-operator", f"--replicas={count}")
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=60s")
    pods = ("pod", "-l", "app.kubernetes.io/component=operator")
    k.eventually(lambda: len(k.get(*pods)["items"]) == count, seconds=60, what=f"{count} operators")


def grow() -> None:
    """A larger volume: it grows, to the end, or where its class cannot, the status says why."""
    k.kubectl("patch", "metricscluster", ALSO, "--type=merge", "-p", '{"spec": {"store": {"storage": {"size": "2Gi"}}}}')

    def done() -> bool:
        claim = k.get("persistentvolumeclaim", f"data-{ALSO}-store-0")
        conditions = k.get("metricscluster", ALSO)["status"]["conditions"]
        told = any(condition["reason"] == "VolumeCannotGrow" for condition in conditions if condition["type"] == "Degraded")
        found = k.get("statefulset", "-l", SELECTOR)["items"]  # made anew around its pod, which nobody owns in between
        templates = [each["spec"]["volumeClaimTemplates"][0] for each in found]
        sizes = [each["spec"]["resources"]["requests"]["storage"] for each in (claim, *templates)]
        return told or sizes == ["2Gi", "2Gi"]

    k.eventually(done, seconds=30, what="the claim and the StatefulSet have grown")


def test_nothing_stays_but_the_volume(nodes: list[str]) -> None:
    """A second MetricsCluster beside the first, deleted while no operator runs; the first is not touched."""
    document = k.example()
    document["metadata"]["name"] = ALSO
    k.apply(document)
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{ALSO}", "--timeout=60s")
    assert len(k.get("pod", "-l", SELECTOR)["items"]) == 1 + len(nodes)
    grow()
    operators(0)
    k.kubectl("delete", "statefulset", f"{ALSO}-store", "--cascade=orphan")  # as the operator does to grow, had it ended then
    k.kubectl("delete", "metricscluster", ALSO, "--timeout=30s")

    def gone() -> bool:
        left = [f"{item['kind']}/{item['metadata']['name']}" for item in k.get(KINDS, "-l", SELECTOR)["items"]]
        assert left == [f"Pod/{ALSO}-store-0"], left
        return True

    k.eventually(gone, seconds=90, what="all objects of the deleted MetricsCluster are gone but a pod that nobody owns")
    claim = k.get("persistentvolumeclaim", f"data-{ALSO}-store-0")
    assert "deletionTimestamp" not in claim["metadata"]
    bound = ("get", "clusterrolebinding", "-l", SELECTOR, "-o", "name")
    assert k.kubectl(*bound), "what has no namespace waits for the operator"
    operators(1)
    k.eventually(lambda: not k.kubectl(*bound), seconds=60, what="the rights of the deleted MetricsCluster are taken back")
    pods = ("pod", "-l", SELECTOR)
    k.eventually(lambda: not k.get(*pods)["items"], seconds=150, what="the pod that nobody owned is gone")
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")
    k.kubectl("delete", "persistentvolumeclaim", f"data-{ALSO}-store-0", "--timeout=30s")
