from typing import Any

import pytest

from metricsoperator.trouble import trouble

MADE, LATER, AT_ONCE = "2026-01-01T00:00:00Z", 1767225660.0, 1767225601.0


def pod(name: str = "p", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": MADE}, "status": status}


def waiting(reason: str, message: str = "why", **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"image": "i:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}]}


UNSCHEDULABLE = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/2 nodes"}]}
CRASH = waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1, "reason": "Error"}})


@pytest.mark.parametrize(
    ("pods", "reason", "says"),
    [
        ([], None, ""),
        ([pod()], None, ""),
        ([pod(**waiting("ContainerCreating"))], None, ""),
        ([pod(**waiting("ImagePullBackOff"))], "ImageNotPulled", "image i:1: ImagePullBackOff; check spec.image"),
        ([pod(**waiting("ErrImageNeverPull"))], "ImageNotPulled", "load the image"),
        (
            [pod(**waiting("CreateContainerConfigError"))],
            "ContainerNotCreated",
            "refers to exists (why)",
        ),
        ([pod(**CRASH)], "CrashLoop", "keeps ending (exit code 1, Error): see `kubectl logs p --previous`"),
        ([pod(**waiting("CrashLoopBackOff"))], "CrashLoop", "keeps ending (it ended)"),
        ([pod(**UNSCHEDULABLE)], "Unschedulable", "pod p fits on no node: 0/2 nodes"),
        ([pod("a", **UNSCHEDULABLE), pod("b", **CRASH), pod("c", **waiting("ErrImagePull"))], "ImageNotPulled", "pod c"),
    ],
)
def test_trouble(pods: list[dict[str, Any]], reason: str | None, says: str) -> None:
    found = trouble(pods, LATER)
    assert (found.reason if found else None) == reason
    assert found is None or says in found.message


def test_nothing_is_said_of_pods_that_were_just_made() -> None:
    assert trouble([pod(**UNSCHEDULABLE)], AT_ONCE) is None
