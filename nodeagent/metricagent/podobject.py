"""A Pod object of the Kubernetes API, as far as it is needed: JSON to the Pod that the agent knows. Pure.

Only the fields below are decoded, and nothing of the rest is kept: a pod is 10 KB of JSON, of which 200 bytes are of use here.
"""

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from metricagent.pod import Pod, PodContainer
from metricwire.errors import BadInput
from metricwire.units import quantity

ANNOTATIONS = tuple(f"prometheus.io/{name}" for name in ("path", "port", "scheme", "scrape"))  # the ones that are kept
ANNOTATION_KEPT = 1100  # characters of one, more than any that can be used has: a pod may have 256 KiB of them
STORAGE = "ephemeral-storage"
TEMPLATE_HASHES = {"pod-template-hash": "Deployment", "rollouts-pod-template-hash": "Rollout"}  # whose ReplicaSets have which
ENDED = ("Succeeded", "Failed")  # phases: it runs no more, and its address may be another's
WEEK = 7 * 24 * 60  # minutes

_CONTAINER = re.compile(r"[a-z0-9.+-]+://([0-9a-f]{64})")
_WORKLOAD = re.compile(r"[A-Za-z0-9._:-]{1,253}")  # what an object may be called
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")
_CRON_JOB = re.compile(r"(.+)-([0-9]{8,10})")


class _Owner(msgspec.Struct):
    kind: str
    name: str
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Resources(msgspec.Struct):
    limits: dict[str, str | int | float] | None = None


class _Container(msgspec.Struct):
    name: str
    resources: _Resources | None = None


class _Spec(msgspec.Struct, rename="camel"):
    host_network: bool | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _Running(msgspec.Struct, rename={"container_id": "containerID"}):
    name: str
    container_id: str | None = None


class _Address(msgspec.Struct):
    ip: str = ""


class _Status(msgspec.Struct, rename={"pod_ip": "podIP", "pod_ips": "podIPs", "containers": "containerStatuses"}):
    phase: str = ""
    pod_ip: str = ""
    pod_ips: list[_Address] | None = None
    containers: list[_Running] | None = None
    initContainerStatuses: list[_Running] | None = None  # noqa: N815 the API's names
    ephemeralContainerStatuses: list[_Running] | None = None  # noqa: N815


class PodObject(msgspec.Struct):
    """What is decoded of a Pod."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class ListMetadata(msgspec.Struct, rename={"resource_version": "resourceVersion", "next": "continue"}):
    """What a page of a list says of itself."""

    resource_version: str = ""
    next: str = ""  # what to ask for the next page with; "": it is the last


class PodList(msgspec.Struct):
    """The answer to a list of pods: a page of PodObjects, to be decoded one by one, since a pod can have 1.5 MB."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class Described(NamedTuple):
    """A pod, and what is not for everybody: its addresses, the storage limits of its containers in bytes, whether it ended."""

    pod: Pod
    ips: tuple[str, ...]
    storage: dict[str, float]
    ended: bool


def describe(found: PodObject, labels: Collection[str]) -> Described:
    """The pod that an object is of, with those of its labels whose keys are among `labels`."""
    meta, status = found.metadata, found.status
    notes = meta.annotations or {}
    owner, kind = _owner(meta)
    ips = tuple(dict.fromkeys(ip for ip in (status.pod_ip, *(each.ip for each in status.pod_ips or ())) if ip))
    containers = tuple(_containers(status))
    pod = Pod(
        uid=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        ip=status.pod_ip,
        host_network=bool(found.spec.host_network),
        containers=containers,
        owner=owner,
        owner_kind=kind,
        labels=tuple(sorted((key, value) for key, value in (meta.labels or {}).items() if key in labels)),
        annotations=tuple((name, notes[name][:ANNOTATION_KEPT]) for name in ANNOTATIONS if name in notes),
    )
    limits = _storage(found.spec)
    storage = {each.id: limits[each.name] for each in containers if each.id and each.name in limits}
    return Described(pod, ips, storage, status.phase in ENDED)


def _containers(status: _Status) -> Iterator[PodContainer]:
    for each in status.initContainerStatuses or ():
        yield PodContainer(each.name, _id(each), init=True)
    for each in (*(status.containers or ()), *(status.ephemeralContainerStatuses or ())):
        yield PodContainer(each.name, _id(each))


def _id(container: _Running) -> str:
    """`containerd://<id>` without its runtime; "" for what is no id."""
    found = _CONTAINER.fullmatch(container.container_id or "")
    return found[1] if found else ""


def _owner(meta: _Metadata) -> tuple[str, str]:
    """Name and kind of the workload behind a pod: what made its owner, where the name of that says so, else its owner.

    A Deployment calls its ReplicaSets <its name>-<hash>, and their pods have the hash as a label. A CronJob calls its Jobs <its
    name>-<minutes since 1970 when it was due>, and they start within days of it; `kubectl create job --from` takes any name.
    The server takes any text for the owner of a pod: what can be no object's name or kind is as if there were none.
    """
    owner = next((each for each in meta.owner_references or () if each.controller), None)
    if owner is None or not _WORKLOAD.fullmatch(owner.name) or not _KIND.fullmatch(owner.kind):
        return "", ""
    if owner.kind == "ReplicaSet":
        for label, kind in TEMPLATE_HASHES.items():
            suffix = "-" + (meta.labels or {}).get(label, "")
            if len(suffix) > 1 and owner.name.endswith(suffix) and owner.name != suffix:
                return owner.name.removesuffix(suffix), kind
    named = _CRON_JOB.fullmatch(owner.name) if owner.kind == "Job" and meta.creation_timestamp else None
    if named and meta.creation_timestamp and abs(int(named[2]) - meta.creation_timestamp.timestamp() / 60) < WEEK:
        return named[1], "CronJob"
    return owner.name, owner.kind


def _storage(spec: _Spec) -> dict[str, float]:
    """The limits of ephemeral storage, in bytes, by container."""
    found = {}
    for container in (*(spec.init_containers or ()), *(spec.containers or ())):
        limit = ((container.resources and container.resources.limits) or {}).get(STORAGE)
        if limit is not None:
            try:
                found[container.name] = float(quantity(str(limit)))
            except BadInput:
                continue  # a form that Kubernetes knows and we do not: as if there were none
    return found
