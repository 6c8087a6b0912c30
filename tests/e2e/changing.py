"""A MetricsCluster changed, and waited for until everything is as it says."""

import json
from typing import Any

from . import kubernetes as k


def patch(spec: dict[str, Any]) -> None:
    """A merge patch of the spec: None takes a field back."""
    k.kubectl("patch", "metricscluster", k.NAME, "--type=merge", "-p", json.dumps({"spec": spec}))


def settled() -> bool:
    """Whether what the resource says now is so."""
    found = k.get("metricscluster", k.NAME)
    now = found["metadata"]["generation"]
    said = {each["type"]: each for each in found.get("status", {}).get("conditions", [])}
    fresh = all(each["observedGeneration"] == now for each in said.values())
    return fresh and said["Ready"]["status"] == "True" and said["Progressing"]["status"] == "False"


def change(spec: dict[str, Any], *, seconds: float = 150) -> dict[str, Any]:
    """The resource after the change has come to an end."""
    patch(spec)
    k.eventually(settled, seconds=seconds, what=f"{json.dumps(spec)} is done")
    found: dict[str, Any] = k.get("metricscluster", k.NAME)
    return found


def volumes(kind: str, name: str) -> set[str]:
    return {volume["name"] for volume in k.get(kind, name)["spec"]["template"]["spec"]["volumes"]}
