"""What is wrong with a MetricsCluster and what to do about it, from what is observed of it. Pure: the time is an argument.

The operator's conditions come first, as their messages say what to do; what an operator that is away cannot say is read from
the pods, the nodes and the store's own numbers.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from metricscluster.figures import figure
from metricscluster.moments import unix
from metricscluster.observation import Manifest, Observed
from metricscluster.remedies import remedy
from metricscluster.selfmetrics import NEARLY, SETTLED, StoreState
from metricsoperator import names
from metricsoperator.reasons import Reason
from metricsoperator.trouble import about_volumes, answering, trouble
from metricwire.units import duration, quantity

RESTARTS = 3  # of a container that are worth a word
FRESH = 5  # intervals for which the store shows a sample
_LABELS = "app.kubernetes.io/name=metricscluster,app.kubernetes.io/component=operator"
_OPERATOR = f"kubectl get pods -A -l {_LABELS}"
_TAINTS = {"NoSchedule", "NoExecute"}


class Finding(NamedTuple):
    """Something that is wrong; `grave` when the MetricsCluster does not do what it is for."""

    reason: str
    what: str
    todo: str
    grave: bool = False


def conditions(cluster: Manifest) -> dict[str, dict[str, Any]]:
    """By type."""
    return {one["type"]: one for one in (cluster.get("status") or {}).get("conditions", [])}


def cluster_name(cluster: Manifest) -> str:
    """The cluster tag of its samples."""
    return str(cluster.get("spec", {}).get("clusterName") or cluster["metadata"]["name"])


def findings(cluster: Manifest, seen: Observed, state: StoreState | None, now: float) -> list[Finding]:
    """The gravest first; empty when all is well."""
    found = [*_operator(cluster["metadata"]["namespace"], seen, now)]
    found += [one for one in _said(cluster, seen) if not found or one.reason != "NotObserved"]
    found += _objects(cluster, seen)
    numbers = (*_store(cluster, seen, state), *_silent(cluster, seen, state, now)) if state else ()
    for finding in (*_pods(cluster, seen, now), *numbers):
        told = {one.reason for one in found}
        volume = Reason.VOLUME_PENDING in told and about_volumes(finding.reason, finding.what)
        if finding.reason not in told and not volume and not any(finding.what in one.what for one in found):
            found.append(finding)
    return sorted(found, key=lambda one: not one.grave)


def moving(found: Iterable[Finding]) -> bool:
    """Whether an operator that runs may be about to change this picture."""
    reasons = {one.reason for one in found}
    return bool(reasons & {"NotObserved", "ObjectsMissing"}) and not reasons & {"OperatorMissing", "OperatorNotRunning"}


def healthy(found: list[Finding]) -> bool:
    """Whether it does what it is for."""
    return not any(one.grave for one in found)


def _said(cluster: Manifest, seen: Observed) -> Iterator[Finding]:
    """What the operator says, if it speaks of this generation."""
    said = conditions(cluster)
    if _unobserved(cluster):
        observed = (cluster.get("status") or {}).get("observedGeneration") or "none"
        what = f"the operator has not looked at generation {cluster['metadata'].get('generation', 1)} of it (seen: {observed})"
        yield Finding("NotObserved", what, f"see whether an operator runs that serves this namespace: {_OPERATOR}", True)
    ready, degraded = said.get("Ready", {}), said.get("Degraded", {})
    if said and ready.get("status") != "True":
        yield _by(ready, grave=True)
    if degraded.get("status") == "True" and degraded.get("message", "") not in ready.get("message", ""):
        yield _by(degraded, grave=False)
    if said.get("Progressing", {}).get("reason") == "Paused":
        yield Finding("Paused", "spec.paused is true: nothing is changed", "set it to false to go on")


def _unobserved(cluster: Manifest) -> bool:
    """Whether it has changed since the operator looked at it."""
    observed: int = (cluster.get("status") or {}).get("observedGeneration", 0)
    generation: int = cluster["metadata"].get("generation", 1)
    return observed < generation


def _by(condition: Mapping[str, str], *, grave: bool) -> Finding:
    reason = condition.get("reason", "Unknown")
    return Finding(reason, condition.get("message", ""), remedy(reason), grave)


def _operator(namespace: str, seen: Observed, now: float) -> Iterator[Finding]:
    """Whether somebody keeps the resource: without, conditions stay as they are whatever becomes of the parts."""
    serving = seen.serving(namespace)
    if not serving and seen.everywhere:
        what = f"no operator serves namespace {namespace}: nothing is changed or repaired, and the conditions are of before"
        yield Finding("OperatorMissing", what, "install the chart, for this namespace or with watch.allNamespaces", True)
    elif serving and not any((one.get("status") or {}).get("availableReplicas") for one in serving):
        about, spec = serving[0]["metadata"], serving[0]["spec"]
        of = f"deployment {about['namespace']}/{about['name']}"
        pods = [one for one in seen.operator_pods() if one["metadata"]["namespace"] == about["namespace"]]
        why, todo = "none of its pods is available", f"kubectl describe pods -n {about['namespace']} -l {_LABELS}"
        if spec.get("replicas") == 0:
            why, todo = "it is scaled to 0", f"kubectl scale -n {about['namespace']} deployment/{about['name']} --replicas=1"
        elif found := trouble(pods, now):
            why = found.message
        what = f"the operator does not run, {of}: {why}; nothing is repaired, and the conditions are of before"
        yield Finding("OperatorNotRunning", what, todo, True)


def _objects(cluster: Manifest, seen: Observed) -> Iterator[Finding]:
    """What every MetricsCluster has and this one lacks, once an operator has looked at it."""
    name = cluster["metadata"]["name"]
    wanted = (
        ("statefulsets", "StatefulSet", names.store(name)),
        ("daemonsets", "DaemonSet", names.agent(name)),
        *(("services", "Service", one) for one in (names.store(name), names.store_headless(name), names.agent(name))),
    )
    there = {kind: {one["metadata"]["name"] for one in seen.of(cluster, kind)} for kind in seen.objects}
    lacking = [f"{kind} {one}" for plural, kind, one in wanted if plural in there and one not in there[plural]]
    said = conditions(cluster)
    expected = said and said.get("Ready", {}).get("reason") != Reason.INVALID_SPEC
    if lacking and expected and "deletionTimestamp" not in cluster["metadata"]:
        what = f"{', '.join(lacking)}: not there; what needs it fails"
        yield Finding("ObjectsMissing", what, "see the log of the operator, which makes them again in seconds", True)


def _pods(cluster: Manifest, seen: Observed, now: float) -> Iterator[Finding]:
    for component in (names.STORE, names.AGENT):
        pods = seen.of(cluster, "pods", component)
        if found := trouble(pods, now):
            yield Finding(found.reason, found.message, remedy(found.reason), component == names.STORE)
        elif component == names.STORE and "pods" in seen.objects and not (answering(pods) or _explained(cluster)):
            what = "no pod of the store is ready" if pods else "there is no pod of the store"
            yield Finding(Reason.STORE_NOT_READY, what, remedy(Reason.STORE_NOT_READY), True)
        for pod in pods:
            for container in pod.get("status", {}).get("containerStatuses", []):
                yield from _restarted(pod["metadata"], container, component)


def _explained(cluster: Manifest) -> bool:
    """Whether the operator says why the store does not answer, or has never looked."""
    ready, store = (conditions(cluster).get(kind, {}) for kind in ("Ready", "StoreAvailable"))
    if not ready or ready["reason"] == Reason.INVALID_SPEC:
        return True
    return store.get("status") == "False" and ready["reason"] == store["reason"] and not _unobserved(cluster)


def _restarted(about: Mapping[str, str], container: Manifest, component: str) -> Iterator[Finding]:
    count = container.get("restartCount", 0)
    last = (container.get("lastState") or {}).get("terminated") or {}
    name = about["name"]
    if last.get("reason") == "OOMKilled":
        field = "spec.store.limits.memory" if component == names.STORE else "spec.nodeAgent.pod.resources"
        yield Finding("OutOfMemory", f"pod {name} was killed for lack of memory, {count} restarts", f"raise {field}")
    elif count >= RESTARTS:
        why = f"exit code {last['exitCode']}" if "exitCode" in last else "it is not known why"
        logs = f"kubectl logs -n {about['namespace']} {name} --previous"
        yield Finding("Restarted", f"pod {name} has restarted {count} times, the last time with {why}", logs)


def _store(cluster: Manifest, seen: Observed, state: StoreState) -> Iterator[Finding]:
    if state.read_only:
        yield Finding("ReadOnly", "the store takes no samples: its volume is full", "raise spec.store.storage.size", True)
    elif 0 < state.free < (1 - NEARLY) * max(state.used + state.free, _volume(cluster, seen)):
        room = f"{figure(state.free, 'bytes')} are free"
        yield Finding("VolumeNearlyFull", f"the store's volume is nearly full: {room}", "raise spec.store.storage.size")
    if state.series_limit and state.series > NEARLY * state.series_limit:
        what = f"{state.series:,} of {state.series_limit:,} series are there; lines that would start others are refused then"
        yield Finding(
            "SeriesNearlyAtLimit", what, "GET /api/cardinality says where they come from; or raise spec.store.limits.series"
        )
    if state.damaged:
        todo = f"kubectl logs -n {cluster['metadata']['namespace']} {names.store(cluster['metadata']['name'])}-0 names them"
        yield Finding("Damaged", f"{state.damaged} places of the store's volume could not be read", todo)
    if state.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(state.rejected.items()))
        what = f"the store has refused lines since it started: {reasons}"
        yield Finding("LinesRefused", what, "the answers to those who write say which lines, and why")


def _volume(cluster: Manifest, seen: Observed) -> int:
    """Size of the store's volume, with what the store does not count: the archive. 0: not known."""
    claims = seen.of(cluster, "persistentvolumeclaims", names.STORE)
    sizes = [(claim.get("status") or {}).get("capacity", {}).get("storage", "0") for claim in claims]
    return max(map(quantity, sizes), default=0)


def _silent(cluster: Manifest, seen: Observed, state: StoreState, now: float) -> Iterator[Finding]:
    """Agents that have been ready for a while, and of whose nodes the store has nothing fresh."""
    spec = cluster.get("spec", {})
    agents = spec.get("nodeAgent", {})
    elsewhere = agents.get("delivery", {}).get("by") == "NATS" and not spec.get("nats", {}).get("subscriptions")
    if state.hosts is None or state.read_only or elsewhere or agents.get("collectors", {}).get("load") is False:
        return
    patience = SETTLED + FRESH * duration(agents.get("interval", "10s"))
    pods = [pod for pod in seen.of(cluster, "pods", names.AGENT) if _ready_since(pod, now) < now - patience]
    silent = {_node(pod): pod["metadata"]["name"] for pod in pods if _node(pod) not in state.hosts}
    if silent:
        node = min(silent)
        what = f"the store has nothing fresh from {len(silent)} of {len(pods)} nodes with a ready agent, such as {node}"
        todo = f"read why that agent cannot deliver: kubectl logs -n {cluster['metadata']['namespace']} {silent[node]}"
        yield Finding("NothingDelivered", what, todo, not state.hosts)


def _ready_since(pod: Manifest, now: float) -> float:
    """Unix time; now for one that is not ready."""
    for said in pod.get("status", {}).get("conditions", []):
        if said["type"] == "Ready" and said["status"] == "True":
            return unix(said.get("lastTransitionTime") or "") or now
    return now


class Lack(NamedTuple):
    """A node without a ready agent, and why."""

    node: str
    why: str


def lacks(cluster: Manifest, seen: Observed, now: float) -> list[Lack]:
    """Nodes without a ready agent, by name; those where none is wanted too."""
    pods = {_node(pod): pod for pod in seen.of(cluster, "pods", names.AGENT)}
    sets = seen.of(cluster, "daemonsets", names.AGENT)
    wanted = sets[0]["spec"]["template"]["spec"] if sets else {}
    known = {node["metadata"]["name"]: node for node in seen.nodes or ()}
    found = []
    for name in sorted(known.keys() | {node for node in pods if node}):
        pod = pods.get(name)
        if pod is None:
            found.append(Lack(name, _unwanted(known[name], wanted) if sets else "there is no DaemonSet yet"))
        elif not _is_ready(pod):
            said = trouble([pod], now)
            found.append(Lack(name, said.message if said else _waits(pod, known.get(name))))
    return found


def _node(pod: Manifest) -> str:
    """The node that a DaemonSet's pod is on, or is meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = (spec.get("affinity") or {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", []):
        for field in term.get("matchFields", []):
            if field.get("key") == "metadata.name":
                return str(field["values"][0])
    return ""


def _is_ready(pod: Manifest) -> bool:
    said = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in said)


def _waits(pod: Manifest, node: Manifest | None) -> str:
    if node is not None and not _is_ready(node):
        return "the node itself is not ready"
    return f"pod {pod['metadata']['name']} is not ready: {pod.get('status', {}).get('phase', 'Unknown')}"


def _unwanted(node: Manifest, wanted: Mapping[str, Any]) -> str:
    """Why a DaemonSet gives a node no pod."""
    labels = node["metadata"].get("labels") or {}
    for key, value in (wanted.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"no agent is wanted there: spec.nodeAgent.pod.nodeSelector asks for {key}={value}"
    for taint in node["spec"].get("taints", []):
        if taint["effect"] in _TAINTS and not any(_tolerates(one, taint) for one in wanted.get("tolerations") or ()):
            shown = f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            return f"no agent is wanted there: spec.nodeAgent.pod.tolerations lacks the node's taint {shown}"
    return "no pod yet, or spec.nodeAgent.pod.affinity leaves the node out"


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    same = toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
    return toleration["key"] == taint["key"] and same
