"""What is observed of a MetricsCluster's objects to its status. Pure: the time is an argument.

Ready = the store answers, and no more nodes lack an agent than nodeAgent.maxUnavailable tolerates, and everything could be
applied. Progressing = pods are still being replaced. Degraded = something is not as wanted; its message says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.reasons import Reason
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import AgentsState, Condition, ConditionType, KeysState, Status, StoreState, VolumeState
from metricsoperator.trouble import Trouble, seconds
from metricwire.units import quantity

Manifest = dict[str, Any]
_LONGEST = 1000  # characters of a message, within the schema's limit
STALLED = 300.0  # seconds that a volume may take to grow until somebody should look


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen: the workloads (None: not there yet), what could not be applied, what keeps pods from running."""

    stateful_set: Manifest | None = None
    daemon_set: Manifest | None = None
    faults: Sequence[Trouble] = ()
    troubles: dict[str, Trouble] = field(default_factory=dict)  # component -> why its pods do not run
    limits: Sequence[Trouble] = ()  # what cannot be had here, while all that runs is as wanted
    answering: bool = False  # a pod of the store is ready, whatever the StatefulSet's numbers are about
    waiting: bool = False  # the agents keep their image until the store runs the new one
    held: bool = False  # pods stay as they are, since a Secret that new ones need is missing
    volumes: tuple[VolumeState, ...] = ()
    keys: KeysState = field(default_factory=KeysState)


def observe(cluster: MetricsCluster, sight: Sight, before: Status, now: str) -> Status:
    """The status; conditions that stay as they are keep their transition time, others get `now` (RFC 3339)."""
    store, agents = sight.stateful_set or {}, sight.daemon_set or {}
    volumes = tuple(_since(volume, before, now) for volume in sight.volumes)
    store_said = _store_available(cluster, store, sight)
    agents_said = _agents_available(cluster, agents, sight.troubles.get(names.AGENT))
    said = [
        _ready(store_said, agents_said, sight.faults),
        store_said,
        agents_said,
        _progressing(cluster, sight, before),
        _degraded(cluster, sight, (store_said, agents_said), _stalled(cluster, volumes, now)),
    ]
    counts = agents.get("status", {})
    desired, ready = counts.get("desiredNumberScheduled", 0), counts.get("numberReady", 0)
    running = store.get("metadata", {}).get("labels", {}).get("app.kubernetes.io/version")
    return Status(
        observed_generation=cluster.generation,
        conditions=_dated(said, cluster.generation, before, now),
        store=StoreState(
            endpoint=cluster.store_url,
            ready_replicas=max(store.get("status", {}).get("readyReplicas", 0), int(sight.answering)),
            version=running if store_rolled(store) else before.store.version,
            volumes=volumes,
        ),
        node_agents=AgentsState(
            desired=desired, ready=ready, updated=counts.get("updatedNumberScheduled", 0), nodes=f"{ready}/{desired}"
        ),
        keys=sight.keys,
    )


def invalid(generation: int, text: str, before: Status, now: str) -> Status:
    """The status of a resource that cannot be understood; what runs is left alone."""
    said = [_condition(of, holds, Reason.INVALID_SPEC, text) for of, holds in _INVALID]
    return msgspec.structs.replace(before, observed_generation=generation, conditions=_dated(said, generation, before, now))


_INVALID: tuple[tuple[ConditionType, bool], ...] = (("Ready", False), ("Degraded", True))


def _condition(type: ConditionType, holds: bool, reason: Reason, message: str) -> Condition:
    return Condition(type=type, status="True" if holds else "False", reason=str(reason), message=message[:_LONGEST])


def _dated(said: list[Condition], generation: int, before: Status, now: str) -> tuple[Condition, ...]:
    old = {condition.type: condition for condition in before.conditions}
    since = {
        each.type: old[each.type].last_transition_time if each.type in old and old[each.type].status == each.status else now
        for each in said
    }
    return tuple(
        msgspec.structs.replace(each, last_transition_time=since[each.type], observed_generation=generation) for each in said
    )


def _seen_by_controller(workload: Manifest) -> bool:
    """Whether the workload's numbers are about what it says now."""
    observed = workload.get("status", {}).get("observedGeneration", 0)
    return bool(workload) and observed >= workload["metadata"].get("generation", 1)


def store_ready(store: Manifest) -> bool:
    """Whether the StatefulSet has its pod, and says so of what it is now."""
    return _seen_by_controller(store) and store["status"].get("readyReplicas", 0) > 0


def _store_available(cluster: MetricsCluster, store: Manifest, sight: Sight) -> Condition:
    if store_ready(store) or sight.answering:
        return _condition("StoreAvailable", True, Reason.AVAILABLE, "The store answers.")
    if trouble := sight.troubles.get(names.STORE):
        return _condition("StoreAvailable", False, trouble.reason, trouble.message)
    if not store:
        return _condition("StoreAvailable", False, Reason.STORE_NOT_READY, "The store is being started.")
    pod = f"{names.store(cluster.name)}-0"
    text = f"The store is not ready yet; `kubectl describe pod -n {cluster.namespace} {pod}` shows what it waits for."
    return _condition("StoreAvailable", False, Reason.STORE_NOT_READY, text)


def _agents_available(cluster: MetricsCluster, agents: Manifest, trouble: Trouble | None) -> Condition:
    counts = agents.get("status", {})
    desired, ready = counts.get("desiredNumberScheduled", 0), counts.get("numberReady", 0)
    text = f"{ready} of {desired} nodes have a ready agent."
    if "observedGeneration" not in counts:
        reason, text = trouble or (Reason.AGENTS_NOT_READY, "The agents are being started.")
        return _condition("AgentsAvailable", False, reason, text)
    if desired == 0:
        none = "No node fits nodeSelector, affinity and tolerations of spec.nodeAgent.pod: no agent is wanted anywhere."
        return _condition("AgentsAvailable", False, Reason.NO_NODES, none)
    if ready >= desired - _tolerated(cluster, desired):
        return _condition("AgentsAvailable", True, Reason.AVAILABLE, text)
    if trouble:
        return _condition("AgentsAvailable", False, trouble.reason, f"{text} {trouble.message}")
    return _condition("AgentsAvailable", False, Reason.AGENTS_NOT_READY, text)


def _tolerated(cluster: MetricsCluster, desired: int) -> int:
    """Nodes that may lack an agent, rounded down: of a few nodes none may."""
    allowed = cluster.spec.node_agent.max_unavailable
    return desired * int(allowed[:-1]) // 100 if allowed.endswith("%") else int(allowed)


def _ready(store: Condition, agents: Condition, faults: Sequence[Trouble]) -> Condition:
    """What is first in the way, with that reason and message."""
    for fault in faults:
        return _condition("Ready", False, fault.reason, fault.message)
    for part in (store, agents):
        if part.status != "True":
            return _condition("Ready", False, Reason(part.reason), part.message)
    return _condition("Ready", True, Reason.READY, f"{store.message} {agents.message}")


def _progressing(cluster: MetricsCluster, sight: Sight, before: Status) -> Condition:
    store, agents = sight.stateful_set or {}, sight.daemon_set or {}
    if cluster.spec.paused:
        return _condition("Progressing", False, Reason.PAUSED, "spec.paused is true: nothing is changed.")
    until_secrets = "What runs stays as it is until the Secrets are there that new pods need; Degraded says which."
    until_store = "The agents get their new image when the store runs its own and is ready."
    if sight.held or sight.waiting:
        reason, text = (Reason.SECRET_MISSING, until_secrets) if sight.held else (Reason.WAITING_FOR_STORE, until_store)
        return _condition("Progressing", True, reason, text)
    made_anew = sight.answering and "observedGeneration" not in store.get("status", {})  # around its pod, which goes on
    parts = (("the store", store_rolled(store) or made_anew), ("the agents", _agents_rolled(agents)))
    if replaced := [part for part, rolled in parts if not rolled]:
        text = f"Pods of {' and '.join(replaced)} are being {'replaced' if before.store.version else 'started'}."
        return _condition("Progressing", True, Reason.ROLLING_OUT, text)
    for volume in sight.volumes:
        if growing(volume):
            text = f"Volume {volume.name} has {volume.capacity} of {volume.requested}: {volume.state}."
            return _condition("Progressing", True, Reason.VOLUME_GROWING, text)
    if sight.keys.next_signs:
        text = f"Keys of generation {sight.keys.next} count already, and sign from {sight.keys.next_signs}."
        return _condition("Progressing", True, Reason.ROTATING_KEYS, text)
    return _condition("Progressing", False, Reason.UP_TO_DATE, "All pods are as the resource says.")


def growing(volume: VolumeState) -> bool:
    """Whether the volume has less than its claim asks for."""
    return bool(volume.requested and volume.capacity) and quantity(str(volume.capacity)) < quantity(str(volume.requested))


def store_rolled(store: Manifest) -> bool:
    """Whether the store's pod is as the StatefulSet says now, and ready."""
    status = store.get("status", {})
    return (
        _seen_by_controller(store)
        and status.get("updatedReplicas", 0) >= 1
        and status.get("readyReplicas", 0) >= 1
        and status.get("currentRevision") == status.get("updateRevision")
    )


def _agents_rolled(agents: Manifest) -> bool:
    status = agents.get("status", {})
    return _seen_by_controller(agents) and status.get("updatedNumberScheduled", 0) >= status.get("desiredNumberScheduled", 0)


def _since(volume: VolumeState, before: Status, now: str) -> VolumeState:
    """With the time since when it grows to what it asks for now."""
    if not growing(volume):
        return volume
    wish = volume.name, volume.requested
    known = [each.growing_since for each in before.store.volumes if (each.name, each.requested) == wish and each.growing_since]
    return msgspec.structs.replace(volume, growing_since=known[0] if known else now)


def _stalled(cluster: MetricsCluster, volumes: Sequence[VolumeState], now: str) -> list[Trouble]:
    """A volume that has been growing for so long that somebody should look."""
    found = []
    for volume in volumes:
        if volume.growing_since is None or seconds(now) - seconds(volume.growing_since) < STALLED:
            continue
        pod = f"{names.store(cluster.name)}-0"
        if volume.state == "FileSystemResizePending":
            cause = f"its node has yet to grow the filesystem, with some drivers only for a new pod: `kubectl delete pod {pod}`"
        elif volume.state == "Bound":
            cause = "nobody has begun: see whether a resizer of the StorageClass's driver runs (external-resizer)"
        else:
            cause = f"{volume.state}: see the log of the driver's resizer"
        text = f"volume {volume.name} still has {volume.capacity} of {volume.requested}; {cause}, and `kubectl describe pvc`"
        found.append(Trouble(Reason.VOLUME_NOT_GROWN, text))
    return found


def _damaged(cluster: MetricsCluster, keys: KeysState) -> list[Trouble]:
    """A private half that cannot sign is replaced as soon as there is room for other keys; one that was lost was at once."""
    lost = [Trouble(Reason.KEYS_DAMAGED, _lost(cluster, keys))] if keys.lost else []
    if not keys.unusable:
        return lost
    text = f"Secret {names.keys(cluster.name)} is damaged, {' and '.join(keys.unusable)} cannot be used: new keys"
    if keys.old_ends:
        text += f" are made when the old ones stop to count, at {keys.old_ends}; a shorter spec.auth.keys.overlap is sooner"
    else:
        text += f" sign from {keys.next_signs or 'about now'}"
    return [Trouble(Reason.KEYS_DAMAGED, text), *lost]


def _lost(cluster: MetricsCluster, keys: KeysState) -> str:
    ends = f", at {keys.old_ends} at the latest" if keys.old_ends else ""
    return (
        f"keys of Secret {names.keys(cluster.name)} were lost, and new ones were made: tokens by the lost ones stop to count"
        f"{ends}; whoever copied {names.ADMIN_TOKEN} fetches it again, and whoever logged in does so again"
    )


def _degraded(cluster: MetricsCluster, sight: Sight, parts: Sequence[Condition], stalled: Sequence[Trouble]) -> Condition:
    pods = list(sight.troubles.values())
    if len(pods) > 1 and pods[0].reason is pods[1].reason and pods[0] != pods[1]:
        pods = [Trouble(pods[0].reason, f"{pods[0].message}; the agents' pods too")]
    wrong = [*sight.faults, *pods, *sight.limits, *stalled, *_damaged(cluster, sight.keys)]
    if wrong:
        said = list(dict.fromkeys(each.message for each in wrong))
        text = said[0] if len(said) == 1 else " ".join(f"{each.rstrip('.')}." for each in said)
        return _condition("Degraded", True, wrong[0].reason, text)
    counts = (sight.daemon_set or {}).get("status", {})
    available = [part.status == "True" for part in parts]
    if available[1] and counts.get("numberReady", 0) < counts.get("desiredNumberScheduled", 0):
        return _condition("Degraded", True, Reason.AGENTS_MISSING, parts[1].message)
    waits = "" if all(available) else " Ready says what is still waited for."
    return _condition("Degraded", False, Reason.NO_FAULT_KNOWN, f"No fault is known.{waits}")
