"""Whose an object is: ours to write, somebody else's, or about to go."""

from metricsoperator import names
from metricsoperator.kinds import CLUSTER_CHILDREN
from metricsoperator.objects import Manifest, NameTaken, Retry
from metricsoperator.observed import Key, key_of
from metricsoperator.spec import MetricsCluster


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
    """Return if the object is this resource's to write. NameTaken: it is somebody else's; Retry: it is about to go.

    What has no namespace has no owner: it is ours by its labels, and those of a namesake before us are as we want them.
    """
    what = title(found)
    owners = [owner for owner in found["metadata"].get("ownerReferences", []) if owner.get("controller")]
    ours = [owner for owner in owners if owner["uid"] == cluster.uid]
    if found["kind"] in CLUSTER_CHILDREN and key_of(found) == Key(cluster.namespace, cluster.name):
        ours = [found]
    earlier = [owner for owner in owners if owner["kind"] == names.KIND and owner["name"] == cluster.name]
    if not alive(found) or (earlier and not ours):
        raise Retry(f"cannot write {what}: it is being deleted")
    if not ours:
        raise NameTaken(f"cannot write {what}: it exists and is not this MetricsCluster's; delete or rename it", found["kind"])
