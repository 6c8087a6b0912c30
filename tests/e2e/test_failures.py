"""What keeps a part from running is told by its reason, once as an event, and Ready is True again when it is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from . import kubernetes as k
from .changing import settled

pytestmark = pytest.mark.timeout(600)
WAIT = ("wait", f"metricscluster/{k.NAME}", "--timeout=120s")
STORE = f"{k.NAME}-store-0"


def patch(spec: dict[str, Any]) -> None:
    k.kubectl("patch", "metricscluster", k.NAME, "--type=merge", "-p", yaml.safe_dump({"spec": spec}))


def events(reason: str) -> list[dict[str, Any]]:
    fields = f"involvedObject.kind=MetricsCluster,involvedObject.name={k.NAME},reason={reason}"
    found: list[dict[str, Any]] = k.get("events", "--field-selector", fields)["items"]
    return found


@contextmanager
def told(reason: str) -> Iterator[None]:
    """Within: what was broken has this reason. Afterwards it is mended, by itself."""
    k.kubectl(*WAIT, f"--for=jsonpath={{.status.conditions[?(@.type=='Ready')].reason}}={reason}")
    k.eventually(lambda: events(reason), seconds=10, what="an event")  # the status is written first
    assert [(event["type"], event["count"]) for event in events(reason)] == [("Warning", 1)]
    condition = next(each for each in k.get("metricscluster", k.NAME)["status"]["conditions"] if each["type"] == "Degraded")
    assert (condition["status"], condition["reason"]) == ("True", reason)
    yield
    k.kubectl(*WAIT, "--for=condition=Ready")
    k.kubectl(*WAIT, "--for=condition=Degraded=False")
    k.kubectl(*WAIT, "--for=condition=Progressing=False")


def test_unschedulable() -> None:
    patch({"store": {"pod": {"nodeSelector": {"no": "node"}}}})
    with told("Unschedulable"):
        patch({"store": {"pod": {"nodeSelector": None}}})


def test_a_secret_that_is_missing() -> None:
    """What runs goes on until it is there."""
    uid = k.get("pod", STORE)["metadata"]["uid"]
    patch({"auth": {"publicKeys": [{"secretName": "backend"}]}})
    k.kubectl(*WAIT, "--for=jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=SecretMissing")
    k.eventually(lambda: events("SecretMissing"), seconds=10, what="an event")
    conditions = {each["type"]: each for each in k.get("metricscluster", k.NAME)["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Degraded"]["reason"]) == ("True", "SecretMissing")
    assert k.get("pod", STORE)["metadata"]["uid"] == uid
    key = k.get("secret", f"{k.NAME}-keys")["data"]["public.key"]
    about = {"name": "backend", "namespace": k.NAMESPACE}
    k.apply({"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": {"jwt-public-key": key}})
    k.kubectl(*WAIT, "--for=condition=Degraded=False")
    k.kubectl(*WAIT, "--for=condition=Progressing=False")
    assert k.get("pod", STORE)["metadata"]["uid"] != uid
    patch({"auth": {"publicKeys": []}})
    k.kubectl(*WAIT, "--for=condition=Progressing=False")
    k.kubectl("delete", "secret", "backend")


def test_a_quota() -> None:
    about = {"name": "few", "namespace": k.NAMESPACE}
    k.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": about, "spec": {"hard": {"pods": "1"}}})
    k.eventually(lambda: k.get("resourcequota", "few").get("status", {}).get("used"), seconds=30, what="the quota counts")
    k.kubectl("delete", "pod", STORE, "--wait=false")
    with told("QuotaExceeded"):
        k.kubectl("delete", "resourcequota", "few")


def test_a_namespace_that_refuses_the_agents() -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    k.kubectl("label", "namespace", k.NAMESPACE, "--overwrite", f"{enforce}=restricted")
    k.kubectl("delete", "pod", "-l", f"app.kubernetes.io/instance={k.NAME},app.kubernetes.io/component=agent")
    with told("PodsRefused"):
        k.kubectl("label", "namespace", k.NAMESPACE, "--overwrite", f"{enforce}=privileged")


def test_a_volume_without_a_class() -> None:
    name = "unbound"
    document = k.example()
    document["metadata"]["name"] = name
    document["spec"]["store"]["storage"]["className"] = "there-is-none"
    document["spec"]["nodeAgent"]["pod"] = {"nodeSelector": {"no": "node"}}
    k.apply(document)
    reason = "--for=jsonpath={.status.conditions[?(@.type=='StoreAvailable')].reason}=VolumePending"
    k.kubectl("wait", f"metricscluster/{name}", "--timeout=60s", reason)
    k.kubectl("delete", "metricscluster", name, "--timeout=30s")
    k.kubectl("delete", "persistentvolumeclaim", f"data-{name}-store-0", "--timeout=60s")


def test_an_operator_that_starts_repeats_no_event() -> None:
    def said() -> list[tuple[str, int]]:
        fields = "involvedObject.kind=MetricsCluster"
        return sorted(
            (event["metadata"]["name"], event["count"]) for event in k.get("events", "--field-selector", fields)["items"]
        )

    k.eventually(settled, seconds=60, what="nothing more is under way that is worth an event")
    before = said()
    assert before
    k.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=operator")
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=60s")
    k.kubectl("delete", "service", f"{k.NAME}-agent")
    k.eventually(lambda: k.get("service", f"{k.NAME}-agent"), seconds=60, what="the new operator works")
    assert said() == before
