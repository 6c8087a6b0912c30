"""`metricscluster status`: what it makes of objects, and of a cluster in which much is broken.

A real store answers behind the forwarded port; kubectl is a program that says what kubectl says. The same on a real cluster:
tests/e2e/test_command.py.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakekubectl import FakeKubectl, manifest
from fakeworld import TAINT, cluster, condition, node, operator, pod, ports, world
from metricscluster.findings import findings, healthy, lacks
from metricscluster.observation import Observed, look
from metricscluster.page import Seen, page
from metricscluster.remedies import REMEDIES, remedy
from metricscluster.selfmetrics import StoreState, parse, store_state
from metricscluster.terminal import Paint
from metricsoperator.reasons import Reason
from storeserver import Store

Command = Callable[..., tuple[int, str, str]]
Manifest = dict[str, Any]
NOW = 1_795_262_400.0  # 2026-11-21T12:00:00Z
STATE = StoreState("1", 100, 1000, 5000, {}, 12.5, 10, 90, 0, read_only=False)
STORE = pod("fritz-store-0", "store")


def observed(found: Manifest, *pods: Manifest, nodes: list[Manifest] | None = None, **wanted: Any) -> Observed:
    sets = [manifest("DaemonSet", "fritz-agent", component="agent", spec={"template": {"spec": wanted}})]
    return Observed([found], {"pods": pods, "daemonsets": sets}, nodes, (), (operator(),), everywhere=True)


# what is wrong


def test_nothing_is_wrong_with_what_is_well() -> None:
    found = cluster()
    assert findings(found, observed(found, pod("fritz-store-0", "store")), STATE, NOW) == []


def reasons(found: Manifest, *pods: Manifest, state: StoreState | None = STATE) -> list[tuple[str, bool]]:
    return [(one.reason, one.grave) for one in findings(found, observed(found, *pods), state, NOW)]


def test_what_the_operator_says_comes_first() -> None:
    ready = condition("Ready", "False", "ImageNotPulled", "pod fritz-store-0, image x: ErrImagePull; check spec.image")
    waiting = pod("fritz-store-0", "store", ready=False, state={"waiting": {"reason": "ErrImagePull"}})
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    assert reasons(cluster(ready), waiting) == [("ImageNotPulled", True)]


def test_what_an_operator_that_is_away_cannot_say_is_seen() -> None:
    waiting = pod("fritz-store-0", "store", ready=False, state={"waiting": {"reason": "ErrImagePull"}})
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    assert reasons(cluster(generation=2), waiting) == [("NotObserved", True), ("ImageNotPulled", True)]


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"restartCount": 1, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}, "OutOfMemory"),
        ({"restartCount": 7, "lastState": {"terminated": {"exitCode": 1}}}, "Restarted"),
        ({"restartCount": 7}, "Restarted"),
        ({"restartCount": 1}, None),
    ],
)
def test_restarts(container: Manifest, reason: str | None) -> None:
    assert reasons(cluster(), pod("fritz-store-0", "store", **container)) == ([(reason, False)] if reason else [])


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"read_only": True}, [("ReadOnly", True)]),
        ({"used": 95, "free": 5}, [("VolumeNearlyFull", False)]),
        ({"series": 950}, [("SeriesNearlyAtLimit", False)]),
        ({"damaged": 1}, [("Damaged", False)]),
        ({"rejected": {"too old": 3}}, [("LinesRefused", False)]),
    ],
)
def test_what_the_store_says_of_itself(changed: dict[str, Any], found: list[tuple[str, bool]]) -> None:
    assert reasons(cluster(), STORE, state=StoreState(**(STATE.plain() | changed))) == found


@pytest.mark.parametrize(
    ("capacity", "free", "found"), [("1Ti", 7, ["VolumeNearlyFull"]), ("1Ti", 200, []), ("1Gi", 30, []), (None, 30, [])]
)
def test_a_volume_is_nearly_full_whatever_is_on_it(capacity: str | None, free: int, found: list[str]) -> None:
    """The archive too, of which the store's numbers do not tell; GiB."""
    status = {"capacity": {"storage": capacity}} if capacity else {}
    claim = manifest("PersistentVolumeClaim", "data-fritz-store-0", component="store", status=status)
    seen = observed(cluster(), STORE)
    seen = replace(seen, objects={**seen.objects, "persistentvolumeclaims": [claim]})
    state = replace(STATE, used=60 * 2**30, free=free * 2**30)
    assert [one.reason for one in findings(cluster(), seen, state, NOW)] == found


@pytest.mark.parametrize(
    ("hosts", "since", "spec", "found"),
    [
        ({"n1"}, "11:00:00", {}, [("NothingDelivered", False)]),
        ({"strange"}, "11:00:00", {}, [("NothingDelivered", False)]),
        (set(), "11:00:00", {}, [("NothingDelivered", True)]),
        ({"n1", "n2"}, "11:00:00", {}, []),
        (set(), "11:58:30", {}, []),
        (set(), "11:58:30", {"nodeAgent": {"interval": "1s"}}, [("NothingDelivered", True)]),
        (set(), "11:00:00", {"nodeAgent": {"collectors": {"load": False}}}, []),
        (set(), "11:00:00", {"nodeAgent": {"delivery": {"by": "NATS"}}}, []),
        (None, "11:00:00", {}, []),
    ],
)
def test_agents_that_are_ready_and_do_not_deliver(
    hosts: set[str] | None, since: str, spec: dict[str, Any], found: list[tuple[str, bool]]
) -> None:
    """A wrong authority of TLS, a network policy: the operator cannot see it, and the store does not miss anybody."""
    agents = [pod(f"fritz-agent-{name}", "agent", name) for name in ("n1", "n2")]
    for agent in agents:
        agent["status"]["conditions"][0]["lastTransitionTime"] = f"2026-11-21T{since}Z"
    state = StoreState(**(STATE.plain() | {"hosts": None if hosts is None else frozenset(hosts)}))
    assert reasons(cluster(**spec), STORE, *agents, state=state) == found


@pytest.mark.parametrize(
    ("operators", "everywhere", "reason"),
    [
        ([operator()], True, None),
        ([operator("monitoring")], True, None),
        ([operator(there="operators"), operator("shop")], True, None),
        ([], True, "OperatorMissing"),
        ([operator("shop", there="shop")], True, "OperatorMissing"),
        ([operator(replicas=0, available=0)], True, "OperatorNotRunning"),
        ([operator(available=0)], False, "OperatorNotRunning"),
        ([], False, None),  # nobody knows
    ],
)
def test_without_an_operator_it_is_not_healthy(operators: list[Manifest], everywhere: bool, reason: str | None) -> None:
    seen = Observed([cluster()], {"pods": [STORE]}, None, (), operators, everywhere=everywhere)
    found = findings(cluster(), seen, STATE, NOW)
    assert [(one.reason, one.grave) for one in found] == ([(reason, True)] if reason else [])


def test_it_is_said_how_to_start_an_operator_again() -> None:
    seen = Observed([cluster()], {"pods": [STORE]}, None, (), [operator(replicas=0, available=0)], everywhere=True)
    [found] = findings(cluster(), seen, STATE, NOW)
    assert "deployment monitoring/mc-operator: it is scaled to 0" in found.what
    assert found.todo == "kubectl scale -n monitoring deployment/mc-operator --replicas=1"


def test_the_operators_own_trouble_is_told() -> None:
    waiting = pod("mc-operator-1", "operator", ready=False, state={"waiting": {"reason": "ErrImagePull"}})
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    seen = Observed([cluster()], {"pods": [STORE]}, None, (), [operator(available=0), waiting], everywhere=True)
    [found] = findings(cluster(), seen, STATE, NOW)
    assert "deployment monitoring/mc-operator: pod mc-operator-1, image i: ErrImagePull" in found.what


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("services", "fritz-store", "Service fritz-store: not there"),
        ("services", "fritz-agent", "Service fritz-agent: not there"),
        ("statefulsets", "fritz-store", "StatefulSet fritz-store: not there"),
        ("daemonsets", "fritz-agent", "DaemonSet fritz-agent: not there"),
    ],
)
def test_what_is_not_there_is_missed(folder: Path, kind: str, name: str, said: str) -> None:
    found = world(folder)
    found[kind] = [one for one in found[kind] if one["metadata"]["name"] != name]
    wrong = findings(cluster(), Observed([cluster()], found, None, (), [operator()], everywhere=True), STATE, NOW)
    assert [(one.reason, one.grave) for one in wrong] == [("ObjectsMissing", True)]
    assert wrong[0].what.startswith(said)
    del found[kind]  # they may not be seen
    assert not findings(cluster(), Observed([cluster()], found, None, (), [operator()], everywhere=True), STATE, NOW)


def test_conditions_of_before_are_not_believed() -> None:
    for pods in ((), (pod("fritz-store-0", "store", ready=False),)):
        seen = Observed([cluster()], {"pods": pods}, None, (), [], everywhere=False)
        assert [one.reason for one in findings(cluster(), seen, None, NOW)] == ["StoreNotReady"]


def test_a_cause_is_told_once() -> None:
    """As the operator tells it: of a claim that waits its pod says too; and what Ready says of agents, Degraded says again."""
    ready = condition("Ready", "False", "VolumePending", "volume claim data-fritz-store-0 gets no volume")
    waits = pod("fritz-store-0", "store", ready=False)
    waits["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    waits["status"]["conditions"].append({"reason": "Unschedulable", "message": "unbound immediate PersistentVolumeClaims"})
    assert reasons(cluster(ready), waits) == [("VolumePending", True)]
    agents = condition("Ready", "False", "ImageNotPulled", "0 of 2 nodes have a ready agent. check spec.image")
    degraded = condition("Degraded", "True", "ImageNotPulled", "check spec.image")
    assert reasons(cluster(agents, degraded), pod("fritz-store-0", "store")) == [("ImageNotPulled", True)]


def test_what_follows_from_a_told_cause_is_not_told() -> None:
    waiting = pod("fritz-store-0", "store", ready=False)
    said = [condition(kind, "False", "SecretMissing", "make Secret x") for kind in ("Ready", "StoreAvailable")]
    assert reasons(cluster(*said), waiting) == [("SecretMissing", True)]
    invalid = cluster(condition("Ready", "False", "InvalidSpec", "spec.x: expected y"))
    seen = Observed([invalid], {"pods": [], "services": [], "statefulsets": []}, None, (), (operator(),), everywhere=True)
    assert [one.reason for one in findings(invalid, seen, None, NOW)] == ["InvalidSpec"]
    assert [one.reason for one in findings(cluster(), seen, None, NOW)] == ["ObjectsMissing", "StoreNotReady"]


def test_what_is_told_already_is_not_told_again_in_the_page() -> None:
    long = "pod fritz-store-0, image x: ErrImagePull"
    kinds = ("Ready", "StoreAvailable")
    found = cluster(*(condition(kind, "False", "ImageNotPulled", long) for kind in kinds))
    events = [
        manifest("Event", f"fritz.{at}", reason=reason, message=long, type="Warning")
        for at, reason in enumerate(("ImageNotPulled", "NameTaken"))
    ]
    for event in events:
        event |= {"involvedObject": {"kind": "MetricsCluster", "name": "fritz"}, "lastTimestamp": "2026-11-21T11:59:00Z"}
    seen = Observed([found], {"events": events}, None, (), (operator(),), everywhere=True)
    shown = page(Seen(found, None, "", findings(found, seen, None, NOW), []), seen, NOW, Paint(on=False), 200)
    assert [line.split()[-2:] for line in shown if "StoreAvailable" in line] == [["as", "Ready"]]
    assert [line for line in shown if "MetricsCluster fritz:" in line] == [
        f"  events  60s ago, MetricsCluster fritz: NameTaken: {long}"
    ]


def test_every_reason_has_a_remedy_in_words() -> None:
    well = {"Ready", "Available", "UpToDate", "NoFaultKnown"}
    assert {str(reason) for reason in REMEDIES} == {str(reason) for reason in Reason} - well
    assert remedy("CrashLoop").startswith("read its last words: ")
    assert remedy("FromTheFuture") == "docs/troubleshooting.md has more under FromTheFuture"


def test_degraded_and_paused_are_notes() -> None:
    degraded = condition("Degraded", "True", "ClusterRightsMissing", "no names")
    paused = condition("Progressing", "False", "Paused")
    found = findings(cluster(degraded, paused), observed(cluster(), STORE), STATE, NOW)
    assert [one.reason for one in found] == ["ClusterRightsMissing", "Paused"]
    assert healthy(found)


@pytest.mark.parametrize(
    ("there", "wanted", "why"),
    [
        (node("n2", taints=[TAINT]), {}, "spec.nodeAgent.pod.tolerations lacks the node's taint gpu=a100:NoSchedule"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"key": "gpu", "value": "v100"}]}, "lacks the node's taint"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"operator": "Exists"}]}, "no pod yet"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"key": "gpu", "operator": "Exists"}]}, "no pod yet"),
        (node("n2", taints=[TAINT | {"effect": "PreferNoSchedule"}]), {}, "no pod yet"),
        (node("n2", labels={"a": "c"}), {"nodeSelector": {"a": "b"}}, "spec.nodeAgent.pod.nodeSelector asks for a=b"),
    ],
)
def test_why_a_node_has_no_agent(there: Manifest, wanted: Manifest, why: str) -> None:
    seen = observed(cluster(), pod("fritz-agent-a", "agent"), nodes=[node("n1"), there], **wanted)
    [lack] = lacks(cluster(), seen, NOW)
    assert lack.node == "n2"
    assert why in lack.why


def test_a_pod_that_waits_for_its_node_counts_for_it() -> None:
    waiting = pod("fritz-agent-a", "agent", ready=False)
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    waiting["spec"] |= {"nodeName": None, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]}}}}  # fmt: skip
    waiting["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    }
    [lack] = lacks(cluster(), observed(cluster(), waiting, nodes=[node("n2")]), NOW)
    assert (lack.node, "fits on no node" in lack.why) == ("n2", True)
    assert lacks(cluster(), observed(cluster(), nodes=[node("n1", ready=False)]), NOW)


# the command


def test_the_numbers_of_a_real_store(store: Store) -> None:
    from metricscluster.client import Client

    found = store_state(parse(Client(f"http://127.0.0.1:{store.operations_port}").ask("/metrics/self")), time.time())
    assert (found.series, found.series_limit, found.stored, found.read_only, found.rejected) == (1, 1_000_000, 1, False, {})
    assert found.rate > 0
    assert found.hosts is None
    assert found.used > 0
    assert found.free > 0


def test_status_of_a_healthy_one(command: Command, kubectl: FakeKubectl, store: Store, folder: Path) -> None:
    kubectl.answer(world(folder), ports=ports(store))
    status, out, err = command("status", "-n", "monitoring")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("monitoring/fritz  healthy  cluster fritz, age ")
    assert lines[1].split() == ["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]
    assert "          1 of 1,000,000 series, " in out
    assert "  agents  2 of 2 nodes have a ready one, 2 are as the resource says now" in lines
    assert any(line.startswith("          node n2: no agent is wanted there: ") for line in lines)
    assert r" ago, 9 times, Pod fritz-store-0: BackOff: again \x1b[31mand again" in out
    assert "\x1b" not in out


def test_status_for_programs(command: Command, kubectl: FakeKubectl, store: Store, folder: Path) -> None:
    kubectl.answer(world(folder), ports=ports(store))
    [found] = json.loads(command("status", "fritz", "-n", "monitoring", "-o", "json")[1])
    assert (found["name"], found["healthy"], found["wrong"], found["unseen"]) == ("fritz", True, [], [])
    assert found["store"]["self"]["series"] == 1
    assert [one["node"] for one in found["nodeAgents"]["lacking"]] == ["n2"]


def test_status_shows_what_it_can_and_says_what_not(command: Command, kubectl: FakeKubectl, folder: Path) -> None:
    found = world(folder)
    found["metricsclusters"] = [cluster(condition("Ready", "False", "StoreNotReady", "The store is not ready yet."))]
    failures = {
        "get nodes": 'Error from server (Forbidden): nodes is forbidden: User "ada" cannot list resource "nodes"',
        "port-forward": "error: pod is not running",
    }
    kubectl.answer(found, failures=failures)
    status, out, err = command("status", "-A")
    assert (status, err) == (1, "")
    assert "monitoring/fritz  not healthy" in out
    assert "wrong   StoreNotReady: The store is not ready yet." in out
    assert "its own numbers are missing: cannot reach pod monitoring/fritz-store-0: pod is not running" in out
    assert out.endswith('not seen: cannot get nodes: nodes is forbidden: User "ada" cannot list resource "nodes"\n')


def test_status_without_an_operator(command: Command, kubectl: FakeKubectl, store: Store, folder: Path) -> None:
    found = world(folder)
    found["deployments"] = []
    kubectl.answer(found, ports=ports(store))
    status, out, _ = command("status", "-n", "monitoring")
    assert status == 1
    assert "monitoring/fritz  not healthy" in out
    assert "  wrong   OperatorMissing: no operator serves namespace monitoring" in out
    assert "          what to do: install the chart" in out


def test_where_operators_may_not_be_seen_this_is_said(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path
) -> None:
    failures = {"get deployments": "Error from server (Forbidden): deployments is forbidden"}
    kubectl.answer(world(folder), failures=failures, ports=ports(store))
    status, out, _ = command("status", "-n", "monitoring")
    assert status == 0
    said = "not seen: cannot get deployments,pods: deployments is forbidden; so it is not checked whether an operator runs\n"
    assert out.endswith(said)


def test_what_an_operator_is_about_to_see_is_given_time(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = world(folder)
    kubectl.answer(found | {"metricsclusters": [cluster(generation=2, seen=1)]}, ports=ports(store))
    looks = []

    def looked(*arguments: Any) -> Observed:
        looks.append(arguments)
        if len(looks) == 3:
            kubectl.answer(found | {"metricsclusters": [cluster(generation=2, seen=2)]}, ports=ports(store))
        return look(*arguments)

    monkeypatch.setattr("metricscluster.status.look", looked)
    monkeypatch.setattr("metricscluster.status.AGAIN", 0.0)
    status, out, _ = command("status", "-n", "monitoring")
    assert (status, len(looks)) == (0, 3)
    assert "NotObserved" not in out


def test_nothing_that_others_wrote_moves_the_terminal(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path
) -> None:
    """Escapes in every text of every object, and in what the store says of itself."""
    evil = "\x1b]0;title\x07\x9b2J\u202e\r\n"

    def spoilt(value: Any, key: str = "") -> Any:
        kept = {"name", "namespace", "type", "status", "kind", "creationTimestamp", "lastTransitionTime", "lastTimestamp"}
        if isinstance(value, dict):
            return {name: one if name in {"labels", "data"} else spoilt(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [spoilt(one, key) for one in value]
        return value + evil if isinstance(value, str) and key not in kept else value

    found = spoilt(world(folder))
    found["metricsclusters"] = [spoilt(cluster(condition("Ready", "False", "Bad", "worse")))]
    found["metricsclusters"][0]["metadata"]["name"] = "fritz"
    kubectl.answer(found, failures={"port-forward": f"error: no way {evil}"})
    _, out, err = command("status", "-n", "monitoring")
    assert "worse" in out
    assert all(sign.isprintable() or sign == "\n" for sign in out + err)


def test_status_of_none(command: Command, kubectl: FakeKubectl) -> None:
    kubectl.answer()
    text = "cannot find a MetricsCluster: there is none in this namespace; in all namespaces there are none\n"
    assert command("status") == (1, "", text)
    kubectl.answer({"metricsclusters": [cluster()]})
    text = "cannot find a MetricsCluster: there is none in this namespace; in all namespaces there are monitoring/fritz\n"
    assert command("status", "-n", "default") == (1, "", text)
    error = (
        'cannot get metricsclusters.metricscluster.io alex: metricsclusters.metricscluster.io "alex" not found; '
        "in all namespaces there are monitoring/fritz\n"
    )
    assert command("status", "alex") == (1, "", error)
    wrong = "cannot find a MetricsCluster: there is none in namespace shop; in all namespaces there are monitoring/fritz\n"
    assert command("diagnose", "-n", "shop") == (1, "", wrong)
    assert command("status", "alex", "-A")[0] == 2
