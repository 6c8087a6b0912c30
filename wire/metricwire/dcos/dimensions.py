"""Whose datapoints they are, in DC/OS' words (spec/dcos-metrics-api.md "On Kubernetes"), from a place and its labels.

A container's labels are those of its info line: pod, namespace, container, pod_uid, owner, owner_kind, and `label_<name>` for
those of the pod. What is not known is left out.
"""

from collections.abc import Mapping
from typing import Any

from metricwire.samples import Place

CONTAINER = "container"  # the type of place
APPLICATION = "app"  # its subtype for what the workload itself sent; the subtype's id is the kind of metric
POD_LABEL = "label_"  # what labels of its pod begin with
LABEL_OF = {
    "executor_id": "pod_uid",
    "framework_name": "owner",
    "framework_id": "owner_kind",
    "framework_role": "namespace",
    "task_name": "pod",
}
TASK = ("namespace", "pod", "container")
SAID = {*LABEL_OF.values(), *TASK}  # labels that have a dimension of their own


def dimensions(place: Place, labels: Mapping[str, str]) -> dict[str, Any]:
    """Of a host or a container, in the order of the specification."""
    found: dict[str, Any] = {"mesos_id": place.host, "hostname": place.host, "cluster_id": place.cluster}
    said: set[str] = set()
    if place.type == CONTAINER:
        found |= {"container_id": place.type_id} | _of_container(labels)
        said = SAID
    further = _further(labels, said)
    return found | {"labels": further} if further else found


def tags(place: Place, labels: Mapping[str, str]) -> dict[str, str]:
    """Of a container's datapoints: its ids again. The executor is the pod, the source the task."""
    return _known(
        {
            "container_id": place.type_id,
            "framework_id": labels.get("owner_kind", ""),
            "executor_id": labels.get("pod_uid", ""),
            "executor_name": labels.get("pod", ""),
            "source": _task(labels),
        }
    )


def _known(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if value}


def _of_container(labels: Mapping[str, str]) -> dict[str, str]:
    return _known({name: labels.get(label, "") for name, label in LABEL_OF.items()} | {"task_id": _task(labels)})


def _task(labels: Mapping[str, str]) -> str:
    """namespace/pod/container; "" unless all three are known."""
    parts = [labels.get(name, "") for name in TASK]
    return "/".join(parts) if all(parts) else ""


def _further(labels: Mapping[str, str], said: set[str]) -> dict[str, str]:
    """Labels of the pod by their names there, and whatever else an info line said; the pod's win."""
    rest = {name: value for name, value in labels.items() if name not in said}
    pod = {name.removeprefix(POD_LABEL): rest.pop(name) for name in list(rest) if name.startswith(POD_LABEL)}
    return dict(sorted((rest | pod).items()))
