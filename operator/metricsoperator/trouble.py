"""Why pods do not run, in words that help: read from the pods of a part that is not available. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

Manifest = dict[str, Any]


class Trouble(NamedTuple):
    """A CamelCase reason for programs, a message for people."""

    reason: str
    message: str


_WAITING = {  # the kubelet's reason -> (ours, what to do)
    "ErrImagePull": ("ImageNotPulled", "check spec.image and that the registry can be reached"),
    "ImagePullBackOff": ("ImageNotPulled", "check spec.image and that the registry can be reached"),
    "ErrImageNeverPull": ("ImageNotPulled", "load the image onto the node, or set spec.image.pullPolicy"),
    "InvalidImageName": ("ImageNotPulled", "check spec.image.registry and spec.image.tag"),
    "CreateContainerConfigError": ("ContainerNotCreated", "check that what the pod refers to exists"),
    "CreateContainerError": ("ContainerNotCreated", "see the pod's events"),
    "RunContainerError": ("ContainerNotCreated", "see the pod's events"),
}
YOUNG = 5.0  # seconds
_ORDER = ("ImageNotPulled", "ContainerNotCreated", "CrashLoop", "Unschedulable")


def trouble(pods: Iterable[Manifest], now: float) -> Trouble | None:
    """The most telling reason why these pods are not ready; None when none is known. `now` in seconds.

    Of pods that were just made nothing is said: their volumes and images are still on the way.
    """
    found = [each for pod in pods if now - _made(pod) >= YOUNG for each in _of_pod(pod)]
    return min(found, key=lambda each: _ORDER.index(each.reason), default=None)


def _made(pod: Manifest) -> float:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()


def _of_pod(pod: Manifest) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition.get("reason") == "Unschedulable":
            yield Trouble("Unschedulable", f"pod {name} fits on no node: {condition.get('message', '')}")
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting") or {}
        reason, detail = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _WAITING:
            ours, advice = _WAITING[reason]
            yield Trouble(ours, f"pod {name}, image {container['image']}: {reason}; {advice} ({detail})")
        elif reason == "CrashLoopBackOff":
            last = container.get("lastState", {}).get("terminated") or {}
            ended = f"exit code {last['exitCode']}, {last.get('reason', '')}" if "exitCode" in last else "it ended"
            yield Trouble("CrashLoop", f"pod {name} keeps ending ({ended}): see `kubectl logs {name} --previous`")
