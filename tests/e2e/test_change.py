"""A changed MetricsCluster: what happens to the pods, and what the status says when it goes wrong."""

from typing import Any

import pytest
import yaml

from . import kubernetes as k
from .changing import settled

pytestmark = pytest.mark.timeout(400)


def patch(spec: dict[str, Any]) -> None:
    k.kubectl("patch", "metricscluster", k.NAME, "--type=merge", "-p", yaml.safe_dump({"spec": spec}))


def condition(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = k.get("metricscluster", k.NAME)["status"]["conditions"]
    return next(condition for condition in found if condition["type"] == name)


def pods(part: str) -> dict[str, str]:
    found = k.get("pods", "-l", f"app.kubernetes.io/instance={k.NAME},app.kubernetes.io/component={part}")["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}


def test_an_image_that_is_not_there_is_told_and_the_next_one_mends_it() -> None:
    patch({"image": {"tag": "not-there", "pullPolicy": "Never"}})

    def told() -> bool:
        assert condition("Ready")["status"] == "False"
        assert "spec.image" in condition("Degraded")["message"]
        return bool(condition("StoreAvailable")["reason"] == "ImageNotPulled")

    k.eventually(told, seconds=120, what="the condition names the image")
    patch({"image": {"tag": "", "pullPolicy": "IfNotPresent"}})
    k.eventually(settled, seconds=120, what="the pods are replaced")


def test_a_setting_of_the_agents_replaces_the_agents_alone() -> None:
    store, agents = pods("store"), pods("agent")
    patch({"nodeAgent": {"collectors": {"swap": False}}})

    def replaced() -> bool:
        return not agents.items() & pods("agent").items() and condition("Progressing")["status"] == "False"

    k.eventually(replaced, seconds=90, what="new agents")
    assert pods("store") == store
    patch({"nodeAgent": {"collectors": {"swap": True}}})
    k.eventually(settled, seconds=90, what="agents again")


def test_paused() -> None:
    patch({"paused": True})
    k.eventually(lambda: condition("Progressing")["reason"] == "Paused", seconds=30, what="it is said")
    k.kubectl("delete", "service", f"{k.NAME}-agent")
    patch({"nodeAgent": {"maxUnavailable": "20%"}})
    generation = k.get("metricscluster", k.NAME)["metadata"]["generation"]
    k.eventually(lambda: condition("Ready")["observedGeneration"] == generation, seconds=30, what="the change is seen")
    assert f"{k.NAME}-agent" in k.refused("get", "service", f"{k.NAME}-agent")
    patch({"paused": False, "nodeAgent": {"maxUnavailable": "10%"}})
    k.eventually(
        lambda: k.get("service", "-l", f"app.kubernetes.io/instance={k.NAME}")["items"][2:], seconds=30, what="it is back"
    )
    k.eventually(settled, seconds=90, what="it goes on")
