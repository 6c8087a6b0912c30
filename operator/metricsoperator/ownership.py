"""Whose an object is: ours to write, somebody else's, or about to go; and whose a field of it is."""

import json

from metricsoperator import names
from metricsoperator.drift import Step
from metricsoperator.kinds import CLUSTER_CHILDREN
from metricsoperator.objects import Manifest, NameTaken, Refused, Retry
from metricsoperator.observed import Key, key_of
from metricsoperator.spec import MetricsCluster

_COLLECTOR = frozenset({"orphan", "foregroundDeletion"})  # finalizers of Kubernetes' own garbage collector, which never lasts


def title(manifest: Manifest) -> str:
    """Which object, in words."""
    about = manifest["metadata"]
    return f"{manifest['kind']} {'/'.join(part for part in (about.get('namespace', ''), about['name']) if part)}"


def alive(found: Manifest) -> bool:
    """Whether nobody has asked for its deletion."""
    return "deletionTimestamp" not in found["metadata"]


def owner_uid(found: Manifest) -> str | None:
    """The uid of what controls it; None where nothing does."""
    return next((str(owner["uid"]) for owner in found["metadata"].get("ownerReferences", []) if owner.get("controller")), None)


def check_owner(cluster: MetricsCluster, found: Manifest) -> None:
    """Return if the object is this resource's to write. NameTaken: it is somebody else's; Retry: it is about to go, or Refused
    where somebody holds that up.

    What has no namespace has no owner: it is ours by its labels, and those of a namesake before us are as we want them.
    """
    what = title(found)
    owners = [owner for owner in found["metadata"].get("ownerReferences", []) if owner.get("controller")]
    ours = [owner for owner in owners if owner["uid"] == cluster.uid]
    if found["kind"] in CLUSTER_CHILDREN and key_of(found) == Key(cluster.namespace, cluster.name):
        ours = [found]
    earlier = [owner for owner in owners if owner["kind"] == names.KIND and owner["name"] == cluster.name]
    if not alive(found) and (held := [one for one in found["metadata"].get("finalizers", []) if one not in _COLLECTOR]):
        raise Refused(f"cannot write {what}: it is being deleted, and whoever set {', '.join(held)} has to remove that", 409)
    if not alive(found) or (earlier and not ours):
        raise Retry(f"cannot write {what}: it is being deleted")
    if not ours:
        raise NameTaken(f"cannot write {what}: it exists and is not this MetricsCluster's; delete or rename it", found["kind"])


def rival(found: Manifest, path: tuple[Step, ...]) -> str:
    """Who else owns a field, by its managedFields, or else wrote last; "" where that is not known."""
    entries = [
        entry
        for entry in found["metadata"].get("managedFields", [])
        if entry["manager"] != names.FIELD_MANAGER and entry.get("subresource") != "status"
    ]
    own = [entry for entry in entries if _owns(entry.get("fieldsV1") or {}, path)]
    last = max(own or entries, key=lambda entry: str(entry.get("time", "")), default=None)
    return str(last["manager"]) if last else ""


def _owns(fields: Manifest, path: tuple[Step, ...]) -> bool:
    """Whether these fields, in the form of managedFields, have the path; one that is a whole has all below it."""
    for number, step in enumerate(path):
        inner = _inner(fields, step)
        if inner is None:
            return number > 0 and not fields
        fields = inner
    return True


def _inner(fields: Manifest, step: Step) -> Manifest | None:
    if not isinstance(step, tuple):
        return fields.get(f"f:{step}")
    keys = ((json.loads(name[2:]), inner) for name, inner in fields.items() if name.startswith("k:"))
    return next((inner for key, inner in keys if key.get(step[0]) == step[1]), None)
