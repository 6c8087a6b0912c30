"""What others break is mended, what is as wanted is left alone."""

from typing import Any

import pytest

from . import kubernetes as k

pytestmark = pytest.mark.timeout(240)
KINDS = "serviceaccount,networkpolicy,configmap,service,statefulset,daemonset"
OURS = f"app.kubernetes.io/instance={k.NAME}"


def versions() -> dict[str, str]:
    """Every object of ours -> its resourceVersion, which any write changes."""
    items = k.get(KINDS, "-l", OURS)["items"]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


def test_a_deleted_child_comes_back() -> None:
    old = k.get("service", "fritz-agent")["metadata"]["uid"]
    k.kubectl("delete", "service", "fritz-agent")

    def back() -> bool:
        return bool(k.get("service", "fritz-agent")["metadata"]["uid"] != old)

    k.eventually(back, seconds=5, what="the agents' Service is back")


def test_an_edited_child_is_put_right_and_additions_stay() -> None:
    change = '{"metadata": {"annotations": {"somebody": "else"}}, "spec": {"internalTrafficPolicy": "Cluster"}}'
    k.kubectl("patch", "service", "fritz-agent", "--type=merge", "-p", change)

    def right() -> Any:
        found = k.get("service", "fritz-agent")
        assert found["metadata"]["annotations"]["somebody"] == "else"
        return found["spec"]["internalTrafficPolicy"] == "Local"

    k.eventually(right, seconds=5, what="the agents' Service is as wanted")


def test_nothing_is_written_when_nothing_changes() -> None:
    before = versions()
    k.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=operator")
    k.kubectl("rollout", "status", "deployment/metricscluster-operator", "--timeout=60s")
    k.kubectl("delete", "poddisruptionbudget", "fritz-store")
    # The budget comes near the end of the order in which objects are looked at: the new operator has seen the others by then.
    k.eventually(lambda: k.get("poddisruptionbudget", "fritz-store"), seconds=60, what="the new operator works")
    assert versions() == before
