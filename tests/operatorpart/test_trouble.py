from typing import Any

import pytest

from metricsoperator.reasons import Reason
from metricsoperator.trouble import OVERDUE, about_volumes, answering, lost, pending, refused, trouble, unmounted

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


@pytest.mark.parametrize(
    ("at", "made", "counts"),
    [
        ("2026-01-01T00:00:00Z", [], True),
        ("2026-01-01T00:00:00Z", ["2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z"], True),
        ("2026-01-01T00:00:00Z", ["2025-12-31T23:00:00Z", "2026-01-01T00:00:01Z"], False),
    ],
)
def test_what_was_refused_before_the_newest_pod_is_over(at: str, made: list[str], counts: bool) -> None:
    pods = [{"metadata": {"creationTimestamp": stamp}} for stamp in made]
    assert (refused([event("FailedCreate", "x", at)], pods) is not None) == counts


def test_when_an_event_was_is_told_in_one_of_two_ways_or_not_at_all() -> None:
    undated = event("FailedCreate", "undated") | {"lastTimestamp": None}
    precise = event("FailedCreate", "exceeded quota") | {"lastTimestamp": None, "eventTime": "2026-01-01T00:00:00.500000Z"}
    found = refused([undated, event("FailedCreate", "x", "0000-01-01T00:00:00Z"), precise], [pod()])
    assert found is not None
    assert found.reason is Reason.QUOTA_EXCEEDED


def conditions(ready: str, reason: str | None, containers: str) -> dict[str, Any]:
    said = {"type": "Ready", "status": ready} | ({"reason": reason} if reason else {})
    return {"conditions": [said, {"type": "ContainersReady", "status": containers}]}


SILENT = conditions("False", None, "True")


@pytest.mark.parametrize(
    ("about", "status", "says"),
    [
        ({}, SILENT, "pod p is on node n7, which does not answer; see `kubectl get node n7`; bring the node back"),
        ({}, conditions("True", None, "True"), None),
        ({}, conditions("False", "ContainersNotReady", "False"), None),
        ({}, conditions("False", "ReadinessGatesNotReady", "True"), None),
        ({}, {}, None),
        (
            {"deletionTimestamp": MADE},
            SILENT,
            f"pod p should have gone by {MADE} and is still there: its node n7 does not end it",
        ),
        ({"deletionTimestamp": MADE}, conditions("True", None, "True"), "node.kubernetes.io/out-of-service"),
        ({"deletionTimestamp": MADE, "finalizers": ["others.example/held"]}, conditions("True", None, "True"), None),
        ({"deletionTimestamp": "2026-01-01T00:00:01Z"}, SILENT, "which does not answer"),
        ({"deletionTimestamp": "2026-01-01T00:00:01Z"}, conditions("True", None, "True"), None),
    ],
)
def test_a_pod_whose_node_does_not_answer(about: dict[str, Any], status: dict[str, Any], says: str | None) -> None:
    on = pod(**status) | {"spec": {"nodeName": "n7"}}
    on["metadata"] |= about
    found = lost([on], LATER)
    assert LATER == 1767225600.0 + OVERDUE
    assert (found is None) == (says is None)
    assert found is None or (found.reason is Reason.NODE_LOST and str(says) in found.message)


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
