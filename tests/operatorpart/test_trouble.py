from typing import Any

import pytest

from metricsoperator.reasons import Reason
from metricsoperator.trouble import about_volumes, answering, pending, refused, trouble, unmounted

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
        ([pod(**UNSCHEDULABLE)], "Unschedulable", "pod p fits on no node; add nodes"),
        ([pod("a", **UNSCHEDULABLE), pod("b", **CRASH), pod("c", **waiting("ErrImagePull"))], "ImageNotPulled", "pod c"),
    ],
)
def test_trouble(pods: list[dict[str, Any]], reason: str | None, says: str) -> None:
    found = trouble(pods, LATER)
    assert (found.reason if found else None) == reason
    assert found is None or says in found.message


def test_nothing_is_said_of_pods_that_were_just_made() -> None:
    assert trouble([pod(**UNSCHEDULABLE)], AT_ONCE) is None


def event(
    reason: str, message: str, at: str = "2026-01-01T00:00:00Z", kind: str = "StatefulSet", by: str = "statefulset-controller"
) -> dict[str, Any]:
    about = {"kind": kind, "name": "fritz-store"}
    return {"reason": reason, "message": message, "lastTimestamp": at, "involvedObject": about, "source": {"component": by}}


def test_a_pod_that_goes_says_nothing() -> None:
    going = pod(**CRASH)
    going["metadata"]["deletionTimestamp"] = MADE
    assert trouble([going], LATER) is None


def test_answering() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    going = pod(**ready)
    going["metadata"]["deletionTimestamp"] = MADE
    assert [answering(pods) for pods in ([], [pod()], [pod(**ready)], [going])] == [False, False, True, False]


@pytest.mark.parametrize(
    ("phase", "class_name", "events", "says"),
    [
        ("Bound", "standard", [], None),
        (
            "Pending",
            "",
            [],
            "without a class, and the cluster has no default class gets no volume; see `kubectl get storageclass`",
        ),
        ("Pending", "fast", [event("ProvisioningFailed", "not found")], "of class fast gets no volume; see"),
        ("Pending", "fast", [event("ProvisioningFailed", "not found")], "(not found)"),
    ],
)
def test_pending(phase: str, class_name: str, events: list[dict[str, Any]], says: str | None) -> None:
    spec = {"storageClassName": class_name} if class_name else {}
    found = pending({"metadata": {"name": "data"}, "spec": spec, "status": {"phase": phase}}, events)
    assert (found is None) == (says is None)
    assert found is None or (found.reason is Reason.VOLUME_PENDING and str(says) in found.message)


@pytest.mark.parametrize(
    ("message", "reason", "says"),
    [
        ("forbidden: exceeded quota: few", Reason.QUOTA_EXCEEDED, "raise the quota"),
        ('violates PodSecurity "restricted:latest"', Reason.PODS_REFUSED, "enforce=privileged"),
        ("denied by webhook", Reason.PODS_REFUSED, "see what admits pods here (denied by webhook)"),
    ],
)
def test_refused(message: str, reason: Reason, says: str) -> None:
    older = event("FailedCreate", "older", "2025-12-31T00:00:00Z")
    found = refused([event("FailedCreate", message), older, event("SuccessfulCreate", "x", "2026-01-02T00:00:00Z")])
    assert found is not None
    assert found.reason is reason
    assert says in found.message
    assert refused([event("SuccessfulCreate", "x")]) is None


def test_unmounted() -> None:
    mount = event("FailedMount", "Multi-Attach error", kind="Pod", by="kubelet")
    found = unmounted([mount, event("Unhealthy", "x", "2026-01-02T00:00:00Z")])
    assert found is not None
    assert (found.reason, "(Multi-Attach error)" in found.message) == (Reason.VOLUME_NOT_MOUNTED, True)
    assert unmounted([event("Unhealthy", "x")]) is None


def test_what_others_say_of_our_objects_is_no_cause() -> None:
    """Whoever may make Events can write what he likes, this much of it apart."""
    assert refused([event("FailedCreate", "exceeded quota", by="somebody")]) is None
    assert unmounted([event("FailedMount", "x", kind="Pod", by="statefulset-controller")]) is None
    newer = {"reportingComponent": "kubelet", "source": {}}
    assert unmounted([event("FailedMount", "x", kind="Pod") | newer]) is not None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims", True),
        ("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind", True),
        ("0/1 nodes are available: 1 Insufficient cpu", False),
    ],
)
def test_a_pod_that_fits_nowhere_for_want_of_its_volume(message: str, expected: bool) -> None:
    found = trouble([pod(conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": message}])], LATER)
    assert found is not None
    assert about_volumes(*found) is expected
