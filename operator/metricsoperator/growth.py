"""The store's volume: grown in its claim, then in the StatefulSet's template, which is made anew around the running pod.

A template for claims cannot be changed, so the StatefulSet is deleted with its pod left alone (`orphan`) and applied again with
the size that is wanted; its controller adopts the pod. Ended in between, the next turn finds no StatefulSet and makes it; if
the MetricsCluster is gone by then, metricsoperator.orphans deletes the pod. What a class refuses, and a size below the present
one, changes nothing and is told.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from metricsoperator import names
from metricsoperator.fields import LARGEST_VOLUME, SIZE_PATTERN
from metricsoperator.kinds import KINDS
from metricsoperator.objects import Manifest, Objects, Refused
from metricsoperator.observed import Observed
from metricsoperator.ownership import alive, owner_uid
from metricsoperator.reasons import Reason
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import VolumeState
from metricsoperator.trouble import Trouble
from metricwire.units import quantity

log = logging.getLogger(__name__)

_KIND = "PersistentVolumeClaim"
_RESIZING = ("FileSystemResizePending", "Resizing", "ControllerResizeError", "NodeResizeError")  # the most telling first


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What the template for claims shall say ("": what the resource says), the claim as it is now, what cannot be done."""

    claim: Manifest | None = None
    template: str = ""
    limits: Sequence[Trouble] = ()


async def look(objects: Objects, cluster: MetricsCluster) -> Manifest | None:
    """The claim of the store; None where there is none yet."""
    return await objects.get(_KIND, cluster.namespace, names.claim(cluster.name))


def volumes(claim: Manifest | None) -> tuple[VolumeState, ...]:
    """The volumes of the status."""
    if claim is None:
        return ()
    status = claim.get("status", {})
    true = {each["type"] for each in status.get("conditions", []) if each.get("status") == "True"}
    state = next((each for each in _RESIZING if each in true), status.get("phase", "Pending"))
    capacity = status.get("capacity", {}).get("storage")
    return (VolumeState(name=claim["metadata"]["name"], requested=_requested(claim), capacity=capacity, state=state),)


async def grow(objects: Objects, observed: Observed, cluster: MetricsCluster, claim: Manifest | None) -> Growth:
    """Take the step that is due."""
    wanted, present = cluster.spec.store.storage.size, template(observed, cluster)
    if claim is None or not _is_ours(observed, cluster, claim):
        return Growth(claim=claim, template=present)
    if quantity(_requested(claim)) > quantity(wanted):
        text = (
            f"volume claim {names.claim(cluster.name)} has {_requested(claim)}, spec.store.storage.size is {wanted}: volumes"
            f" cannot shrink; {_advice(_requested(claim))}"
        )
        return Growth(claim=claim, template=present, limits=[Trouble(Reason.VOLUME_CANNOT_SHRINK, text)])
    if quantity(_requested(claim)) < quantity(wanted):
        try:
            claim = await _enlarge(objects, cluster)
        except Refused as error:
            text = (
                f"volume claim {names.claim(cluster.name)} cannot grow to {wanted}: {error}; set spec.store.storage.size back"
                f" to {_requested(claim)}, or let the StorageClass grow (allowVolumeExpansion)"
            )
            return Growth(claim=claim, template=present, limits=[Trouble(Reason.VOLUME_CANNOT_GROW, text)])
    ours = _ours(observed, cluster)
    if ours and alive(ours) and quantity(present) != quantity(wanted):
        log.info("making StatefulSet %s anew around its pod, for volume claims of %s", names.store(cluster.name), wanted)
        await objects.delete(ours, orphan=True)
        observed.drop(ours)
    return Growth(claim=claim, limits=_failed(claim))


def template(observed: Observed, cluster: MetricsCluster) -> str:
    """Size in the template for claims of the StatefulSet; "" where there is none of ours."""
    ours = _ours(observed, cluster)
    return str(ours["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]) if ours else ""


def _ours(observed: Observed, cluster: MetricsCluster) -> Manifest | None:
    found = observed.get("StatefulSet", cluster.namespace, names.store(cluster.name))
    return found if found is not None and owner_uid(found) == cluster.uid else None


def _is_ours(observed: Observed, cluster: MetricsCluster, claim: Manifest) -> bool:
    """Whether a claim of that name is of our StatefulSet, or where there is none, of one that we had."""
    if observed.get("StatefulSet", cluster.namespace, names.store(cluster.name)) is not None:
        return _ours(observed, cluster) is not None
    labels: dict[str, str] = claim["metadata"].get("labels", {})
    return names.selector(cluster.name, names.STORE).items() <= labels.items()


def _failed(claim: Manifest) -> list[Trouble]:
    """What the volume's driver says it cannot do."""
    status = claim.get("status", {})
    if not str(status.get("allocatedResourceStatuses", {}).get("storage", "")).endswith("Infeasible"):
        return []
    said = dict.fromkeys(each.get("message", "") for each in status.get("conditions", []) if each["type"] in _RESIZING)
    cause = " ".join(filter(None, said)) or "its driver refuses"
    text = f"volume claim {claim['metadata']['name']} cannot grow to {_requested(claim)}: {cause}"
    return [Trouble(Reason.VOLUME_CANNOT_GROW, f"{text}; see `kubectl describe pvc {claim['metadata']['name']}`")]


def _advice(present: str) -> str:
    """What to do about a claim that has more than the resource says."""
    if quantity(present) > quantity(LARGEST_VOLUME):
        return f"it has more than the {LARGEST_VOLUME} that the size can say: make a new volume, or leave it so"
    return f"set the size to {present if re.fullmatch(SIZE_PATTERN, present) else quantity(present)}"


def _requested(claim: Manifest) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


async def _enlarge(objects: Objects, cluster: MetricsCluster) -> Manifest:
    name, wanted = names.claim(cluster.name), cluster.spec.store.storage.size
    log.info("growing volume claim %s/%s to %s", cluster.namespace, name, wanted)
    return await objects.apply(
        {
            "apiVersion": KINDS[_KIND].api_version,
            "kind": _KIND,
            "metadata": {"name": name, "namespace": cluster.namespace},
            "spec": {"resources": {"requests": {"storage": wanted}}},
        }
    )
