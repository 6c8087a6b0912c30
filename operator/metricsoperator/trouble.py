"""Why pods do not run, in words that help: read from the pods of a part that is not available, its claim, and their events.

Pure. A part's pods may not even exist: then the events of its StatefulSet or DaemonSet say who refused them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from metricsoperator.reasons import Reason

Manifest = dict[str, Any]


class Trouble(NamedTuple):
    """A reason for programs, a message for people: what is wrong, and what to do."""

    reason: Reason
    message: str


_WAITING = {  # the kubelet's reason -> (ours, what to do)
    "ErrImagePull": (Reason.IMAGE_NOT_PULLED, "check spec.image and that the registry can be reached"),
    "ImagePullBackOff": (Reason.IMAGE_NOT_PULLED, "check spec.image and that the registry can be reached"),
    "ErrImageNeverPull": (Reason.IMAGE_NOT_PULLED, "load the image onto the node, or set spec.image.pullPolicy"),
    "InvalidImageName": (Reason.IMAGE_NOT_PULLED, "check spec.image.registry and spec.image.tag"),
    "CreateContainerConfigError": (Reason.CONTAINER_NOT_CREATED, "check that what the pod refers to exists"),
    "CreateContainerError": (Reason.CONTAINER_NOT_CREATED, "see the pod's events"),
    "RunContainerError": (Reason.CONTAINER_NOT_CREATED, "see the pod's events"),
}
_MOUNTING = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
# Who tells of it. Whoever may make Events can write these names too: what is read here leads nowhere but to a message.
_MOUNTERS = frozenset({"kubelet", "attachdetach-controller"})
_MAKERS = frozenset({"statefulset-controller", "daemonset-controller"})
YOUNG = 5.0  # seconds
OVERDUE = 60.0  # seconds after the moment at which a pod should have gone
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
_ORDER = (
    Reason.IMAGE_NOT_PULLED,
    Reason.CONTAINER_NOT_CREATED,
    Reason.CRASH_LOOP,
    Reason.UNSCHEDULABLE,
)


def trouble(pods: Iterable[Manifest], now: float) -> Trouble | None:
    """The most telling reason why these pods are not ready; None when they do not say. `now` in seconds.

    Of pods that were just made nothing is said: their volumes and images are still on the way.
    """
    found = [each for pod in grown(pods, now) for each in _of_pod(pod)]
    return min(found, key=lambda each: _ORDER.index(each.reason), default=None)


def grown(pods: Iterable[Manifest], now: float) -> list[Manifest]:
    """The pods that have been there long enough to have something to say, and are not about to go."""
    return [pod for pod in pods if now - _made(pod) >= YOUNG and "deletionTimestamp" not in pod["metadata"]]


def answering(pods: Iterable[Manifest]) -> bool:
    """Whether one of these pods is ready, whatever the numbers of its StatefulSet are about."""
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        for condition in pod.get("status", {}).get("conditions", [])
    )


def lost(pods: Iterable[Manifest], now: float) -> Trouble | None:
    """That a pod's node does not answer, so that no other pod can take its place; `now` in seconds.

    First the node controller says Ready=False of its pods, and leaves all else as the kubelet said it: no reason, containers
    that are ready. Minutes later they shall go, and stay for good: only their kubelet can end them.
    """
    for pod in pods:
        about, node = pod["metadata"], pod.get("spec", {}).get("nodeName", "")
        said = {each.get("type"): each for each in pod.get("status", {}).get("conditions", [])}
        ready, containers = said.get("Ready", {}), said.get("ContainersReady", {})
        silent = ready.get("status") == "False" and not ready.get("reason") and containers.get("status") == "True"
        until = about.get("deletionTimestamp")
        if until and not about.get("finalizers") and now - seconds(until) >= OVERDUE:
            what = f"pod {about['name']} should have gone by {until} and is still there: its node {node} does not end it"
        elif silent:
            what = f"pod {about['name']} is on node {node}, which does not answer"
        else:
            continue
        advice = f"bring the node back, or, if it is off for good, `kubectl taint node {node} {OUT_OF_SERVICE}`"
        return Trouble(Reason.NODE_LOST, f"{what}; see `kubectl get node {node}`; {advice}")
    return None


def _made(pod: Manifest) -> float:
    return seconds(pod["metadata"]["creationTimestamp"])


def seconds(stamp: str) -> float:
    """A time of Kubernetes (RFC 3339) as seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


def _of_pod(pod: Manifest) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition.get("reason") == "Unschedulable":
            advice = "add nodes, or change resources, nodeSelector or tolerations of the part's pod"
            text = f"pod {name} fits on no node; {advice} ({condition.get('message', '')})"
            yield Trouble(Reason.UNSCHEDULABLE, text)
    for container in status.get("containerStatuses", []):
        yield from _of_container(name, container)


def _of_container(pod: str, container: Manifest) -> Iterator[Trouble]:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, detail = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _WAITING:
        ours, advice = _WAITING[reason]
        yield Trouble(ours, f"pod {pod}, image {container['image']}: {reason}; {advice} ({detail})")
    elif reason == "CrashLoopBackOff":
        last = container.get("lastState", {}).get("terminated") or {}
        ended = f"exit code {last['exitCode']}, {last.get('reason', '')}" if "exitCode" in last else "it ended"
        yield Trouble(Reason.CRASH_LOOP, f"pod {pod} keeps ending ({ended}): see `kubectl logs {pod} --previous`")


def about_volumes(reason: str, message: str) -> bool:
    """Whether a pod that fits on no node does not for want of its volume: of that its claim says more."""
    return reason == Reason.UNSCHEDULABLE and any(word in message.lower() for word in ("volume", "storageclass"))


def pending(claim: Manifest, events: Iterable[Manifest]) -> Trouble | None:
    """Why a pod waits for its volume; None when the claim is bound."""
    if claim.get("status", {}).get("phase", "Pending") != "Pending":
        return None
    name, class_name = claim["metadata"]["name"], claim["spec"].get("storageClassName", "")
    of = f"of class {class_name}" if class_name else "without a class, and the cluster has no default class"
    advice = "see `kubectl get storageclass`, and spec.store.storage.className"
    return Trouble(Reason.VOLUME_PENDING, f"volume claim {name} {of} gets no volume; {advice}{_quoted(_latest(events))}")


def unmounted(events: Iterable[Manifest]) -> Trouble | None:
    """Why a pod that has a node does not begin, by the kubelet's events; None when it is not about volumes."""
    last = _latest(event for event in events if event.get("reason") in _MOUNTING and _by(event) in _MOUNTERS)
    if last is None:
        return None
    pod = last["involvedObject"]["name"]
    return Trouble(Reason.VOLUME_NOT_MOUNTED, f"pod {pod} does not get its volumes; check what they refer to{_quoted(last)}")


def refused(events: Iterable[Manifest], pods: Iterable[Manifest] = ()) -> Trouble | None:
    """Why a StatefulSet or DaemonSet has fewer pods than it wants, by its controller's events.

    They live for an hour: what was refused before the newest of its pods was made is over.
    """
    last = _latest(event for event in events if event.get("reason") == "FailedCreate" and _by(event) in _MAKERS)
    if last is None or _told(last) < max((_second(pod["metadata"]["creationTimestamp"]) for pod in pods), default=""):
        return None
    text, of = last.get("message", ""), f"{last['involvedObject']['kind']} {last['involvedObject']['name']}"
    if "exceeded quota" in text:
        advice = "raise the quota, or lower resources of the part's pod"
        return Trouble(Reason.QUOTA_EXCEEDED, f"pods of {of} exceed a quota of the namespace; {advice}{_quoted(last)}")
    advice = "see what admits pods here"
    if "PodSecurity" in text:
        advice = "label the namespace pod-security.kubernetes.io/enforce=privileged: agents mount folders of their node"
    return Trouble(Reason.PODS_REFUSED, f"pods of {of} are refused; {advice}{_quoted(last)}")


def _by(event: Manifest) -> str:
    """Who an Event says it is from."""
    return str(event.get("reportingComponent") or event.get("source", {}).get("component", ""))


def _latest(events: Iterable[Manifest]) -> Manifest | None:
    return max(events, key=_told, default=None)


def _told(event: Manifest) -> str:
    """When an Event was told last; "" where it does not say. Text, since others may say the year 0, which no datetime has."""
    return _second(str(event.get("lastTimestamp") or event.get("eventTime") or ""))


def _second(stamp: str) -> str:
    """A time without parts of a second, which some have and some have not: these sort as text."""
    return stamp[: len("2026-01-01T00:00:00")]


def _quoted(event: Manifest | None) -> str:
    return f" ({event['message']})" if event and event.get("message") else ""
