"""A larger volume: grown without a restart where its class can, told and left alone where it cannot."""

from typing import Any

import pytest
import yaml

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)
FIXED = "fixed"


def resize(name: str, size: str) -> None:
    spec = {"spec": {"store": {"storage": {"size": size}}}}
    k.kubectl("patch", "metricscluster", name, "--type=merge", "-p", yaml.safe_dump(spec))


def store_set(name: str) -> dict[str, Any]:
    found: dict[str, Any] = k.get("statefulset", f"{name}-store")
    return found


def template(name: str) -> str:
    return str(store_set(name)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])


def requested(name: str) -> str:
    return str(k.get("persistentvolumeclaim", f"data-{name}-store-0")["spec"]["resources"]["requests"]["storage"])


def expands(class_name: str) -> bool:
    found = {item["metadata"]["name"]: item for item in k.get("storageclass")["items"]}
    return bool(found.get(class_name, {}).get("allowVolumeExpansion"))


def test_a_volume_grows_and_the_pod_goes_on() -> None:
    claim = k.get("persistentvolumeclaim", f"data-{k.NAME}-store-0")
    if not expands(claim["spec"]["storageClassName"]):
        pytest.skip("the default class cannot grow")
    pod, old = k.get("pod", f"{k.NAME}-store-0")["metadata"]["uid"], store_set(k.NAME)["metadata"]["uid"]
    resize(k.NAME, "2Gi")
    k.eventually(lambda: template(k.NAME) == "2Gi", seconds=30, what="the template says what is wanted")
    assert requested(k.NAME) == "2Gi"
    assert store_set(k.NAME)["metadata"]["uid"] != old

    def adopted() -> bool:
        found = k.get("pod", f"{k.NAME}-store-0")["metadata"]
        assert found["uid"] == pod, "the pod goes on"
        return [owner["uid"] for owner in found.get("ownerReferences", [])] == [store_set(k.NAME)["metadata"]["uid"]]

    k.eventually(adopted, seconds=30, what="the new StatefulSet has the pod")

    def said() -> bool:
        volumes = k.get("metricscluster", k.NAME)["status"]["store"]["volumes"]
        return [(volume["name"], volume["requested"]) for volume in volumes] == [(f"data-{k.NAME}-store-0", "2Gi")]

    k.eventually(said, seconds=30, what="the status says how large the volume shall be")
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")


def test_a_volume_that_cannot_grow_is_told_and_left_alone() -> None:
    classes = [item["metadata"]["name"] for item in k.get("storageclass")["items"] if not item.get("allowVolumeExpansion")]
    if not classes:
        pytest.skip("every class can grow")
    document = k.example()
    document["metadata"]["name"] = FIXED
    document["spec"]["store"]["storage"]["className"] = classes[0]
    document["spec"]["nodeAgent"]["pod"] = {"nodeSelector": {"no": "node"}}
    k.apply(document)
    wait = ("wait", f"metricscluster/{FIXED}", "--timeout=90s")
    k.kubectl(*wait, "--for=condition=StoreAvailable")
    old = store_set(FIXED)["metadata"]["uid"]
    resize(FIXED, "2Gi")
    k.kubectl(*wait, "--for=jsonpath={.status.conditions[?(@.type=='Degraded')].reason}=VolumeCannotGrow")
    assert (requested(FIXED), template(FIXED), store_set(FIXED)["metadata"]["uid"]) == ("1Gi", "1Gi", old)
    resize(FIXED, "1Gi")
    k.kubectl(*wait, "--for=condition=Degraded=False")
    k.kubectl("delete", "metricscluster", FIXED, "--timeout=30s")
    k.kubectl("delete", "persistentvolumeclaim", f"data-{FIXED}-store-0", "--timeout=60s")
