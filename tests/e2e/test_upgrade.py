"""A new image: the store first, the agents when it is ready. E2E_NEXT_TAG names images that the cluster has besides."""

import os

import pytest
import yaml

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)
NEXT = os.environ.get("E2E_NEXT_TAG", "")


def tag(kind: str, name: str) -> str:
    found = k.get(kind, name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return str(found.rpartition(":")[2])


def store_runs(wanted: str) -> bool:
    pod = k.get("pod", f"{k.NAME}-store-0")
    ready = [each["status"] for each in pod["status"].get("conditions", []) if each["type"] == "Ready"]
    return pod["spec"]["containers"][0]["image"].endswith(f":{wanted}") and ready == ["True"]


@pytest.mark.skipif(not NEXT, reason="E2E_NEXT_TAG names no images")
def test_the_store_first() -> None:
    for wanted, patched in ((NEXT, NEXT), (k.TAG, "")):
        k.kubectl(
            "patch", "metricscluster", k.NAME, "--type=merge", "-p", yaml.safe_dump({"spec": {"image": {"tag": patched}}})
        )
        k.eventually(
            lambda wanted=wanted: tag("statefulset", f"{k.NAME}-store") == wanted, seconds=30, what="the store's image"
        )
        k.eventually(
            lambda wanted=wanted: store_runs(wanted) or tag("daemonset", f"{k.NAME}-agent") == wanted,
            seconds=90,
            what="the store runs it",
        )
        assert store_runs(wanted), "before the agents have it"
        k.eventually(lambda wanted=wanted: tag("daemonset", f"{k.NAME}-agent") == wanted, seconds=60, what="the agents follow")
        k.kubectl("wait", f"metricscluster/{k.NAME}", "--for=condition=Progressing=False", "--timeout=120s")
        k.kubectl("wait", f"metricscluster/{k.NAME}", "--for=condition=Ready", "--timeout=60s")
