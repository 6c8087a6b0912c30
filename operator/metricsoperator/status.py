"""What is observed of a MetricsCluster's objects to its status. Pure: the time is an argument.

Ready = the store answers, and no more nodes lack an agent than nodeAgent.maxUnavailable tolerates, and everything could be
applied. Progressing = pods are still being replaced. Degraded = something is not as wanted; its message says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import AgentsState, Condition, ConditionType, Status, StoreState
from metricsoperator.trouble import Trouble

Manifest = dict[str, Any]
_LONGEST = 1000  # characters of a message, within the schema's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen: the workloads (None: not there yet), what could not be applied, what keeps pods from running."""

    stateful_set: Manifest | None = None
    daemon_set: Manifest | None = None
    faults: Sequence[Trouble] = ()
    troubles: dict[str, Trouble] = field(default_factory=dict)  # component -> why its pods do not run
    limits: Sequence[Trouble] = ()  # what cannot be had here, while all that runs is as wanted


def observe(cluster: MetricsCluster, sight: Sight, before: Status, now: str) -> Status:
    """The status; conditions that stay as they are keep their transition time, others get `now` (RFC 3339)."""
    store, agents = sight.stateful_set or {}, sight.daemon_set or {}
    store_said = _store_available(cluster, store, sight.troubles.get(names.STORE))
    agents_said = _agents_available(cluster, agents, sight.troubles.get(names.AGENT))
    said = [
        _ready(store_said, agents_said, sight.faults),
        store_said,
        agents_said,
        _progressing(cluster, store, agents),
        _degraded(sight, store_said, agents_said),
    ]
    counts = agents.get("status", {})
    desired, ready = counts.get("desiredNumberScheduled", 0), counts.get("numberReady", 0)
    running = store.get("metadata", {}).get("labels", {}).get("app.kubernetes.io/version")
    return Status(
        observed_generation=cluster.generation,
        conditions=_dated(said, cluster.generation, before, now),
        store=StoreState(
            endpoint=names.store_url(cluster.name, cluster.namespace),
            ready_replicas=store.get("status", {}).get("readyReplicas", 0),
            version=running if _store_rolled(store) else before.store.version,
        ),
        node_agents=AgentsState(
            desired=desired, ready=ready, updated=counts.get("updatedNumberScheduled", 0), nodes=f"{ready}/{desired}"
        ),
    )


def invalid(generation: int, text: str, before: Status, now: str) -> Status:
    """The status of a resource that cannot be understood; what runs is left alone."""
    said = [_condition("Ready", False, "InvalidSpec", text), _condition("Degraded", True, "InvalidSpec", text)]
    return msgspec.structs.replace(before, observed_generation=generation, conditions=_dated(said, generation, before, now))


def _condition(type: ConditionType, holds: bool, reason: str, message: str) -> Condition:
    return Condition(type=type, status="True" if holds else "False", reason=reason, message=message[:_LONGEST])


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


def _store_available(cluster: MetricsCluster, store: Manifest, trouble: Trouble | None) -> Condition:
    ready = _seen_by_controller(store) and store["status"].get("readyReplicas", 0) > 0
    if ready:
        return _condition("StoreAvailable", True, "Available", "The store answers.")
    if trouble:
        return _condition("StoreAvailable", False, trouble.reason, trouble.message)
    pod = f"{names.store(cluster.name)}-0"
    text = f"The store is not ready yet; `kubectl describe pod -n {cluster.namespace} {pod}` shows what it waits for."
    return _condition("StoreAvailable", False, "NotReady", text)


def _agents_available(cluster: MetricsCluster, agents: Manifest, trouble: Trouble | None) -> Condition:
    counts = agents.get("status", {})
    desired, ready = counts.get("desiredNumberScheduled", 0), counts.get("numberReady", 0)
    text = f"{ready} of {desired} nodes have a ready agent."
    if not _seen_by_controller(agents):
        return _condition("AgentsAvailable", False, "NotReady", "The agents are being started.")
    if desired == 0:
        return _condition("AgentsAvailable", False, "NoNodes", "No node fits spec.nodeAgent.pod.nodeSelector and tolerations.")
    if ready >= desired - _tolerated(cluster, desired):
        return _condition("AgentsAvailable", True, "Available", text)
    if trouble:
        return _condition("AgentsAvailable", False, trouble.reason, f"{text} {trouble.message}")
    return _condition("AgentsAvailable", False, "NotReady", text)


def _tolerated(cluster: MetricsCluster, desired: int) -> int:
    """Nodes that may lack an agent, rounded down: of a few nodes none may."""
    allowed = cluster.spec.node_agent.max_unavailable
    return desired * int(allowed[:-1]) // 100 if allowed.endswith("%") else int(allowed)


def _ready(store: Condition, agents: Condition, faults: Sequence[Trouble]) -> Condition:
    for fault in faults:
        return _condition("Ready", False, fault.reason, fault.message)
    for part in (store, agents):
        if part.status != "True":
            return _condition("Ready", False, f"{part.type.removesuffix('Available')}{part.reason}", part.message)
    return _condition("Ready", True, "Ready", f"{store.message} {agents.message}")


def _progressing(cluster: MetricsCluster, store: Manifest, agents: Manifest) -> Condition:
    if cluster.spec.paused:
        return _condition("Progressing", False, "Paused", "spec.paused is true: nothing is changed.")
    waiting = [
        part for part, rolled in (("the store", _store_rolled(store)), ("the agents", _agents_rolled(agents))) if not rolled
    ]
    if waiting:
        return _condition("Progressing", True, "RollingOut", f"Pods of {' and '.join(waiting)} are being replaced.")
    return _condition("Progressing", False, "UpToDate", "All pods are as the resource says.")


def _store_rolled(store: Manifest) -> bool:
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


def _degraded(sight: Sight, store: Condition, agents: Condition) -> Condition:
    wrong = [*sight.faults, *sight.troubles.values(), *sight.limits]
    if wrong:
        return _condition("Degraded", True, wrong[0].reason, " ".join(each.message for each in wrong))
    counts = (sight.daemon_set or {}).get("status", {})
    if agents.status == "True" and counts.get("numberReady", 0) < counts.get("desiredNumberScheduled", 0):
        return _condition("Degraded", True, "AgentsMissing", agents.message)
    return _condition("Degraded", False, "AsWanted", "Nothing is known to be wrong.")
