"""What is looked at for the status: whose pods and Events count, what is missing while nothing is made."""

import asyncio
from typing import Any

import pytest

from metricsoperator import orphans
from metricsoperator.objects import Refused

from .conftest import Server
from .test_reconcile import World

MADE = "2025-12-31T00:00:00Z"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.fixture
def world(server: Server) -> World:
    return World.ready(server)


def pod(world: World, component: str, owner: str | None, name: str = "", **status: Any) -> None:
    labels = {"app.kubernetes.io/name": "metricscluster", "app.kubernetes.io/instance": "fritz"}
    about: dict[str, Any] = {"name": name or f"fritz-{component}-0", "namespace": "monitoring", "creationTimestamp": MADE}
    about["labels"] = labels | {"app.kubernetes.io/component": component}
    if owner:
        about["ownerReferences"] = [{"kind": "StatefulSet", "name": "fritz-store", "uid": owner, "controller": True}]
    world.server.keep({"kind": "Pod", "metadata": about, "status": status})


def event(world: World, of: dict[str, Any], reason: str, message: str, by: str) -> None:
    about = {"name": f"{of['metadata']['name']}.1", "namespace": "monitoring"}
    said = {"reason": reason, "message": message, "source": {"component": by}, "lastTimestamp": MADE}
    world.server.keep({"kind": "Event", "metadata": about, "involvedObject": {"kind": of["kind"]} | of["metadata"]} | said)


def down(world: World) -> dict[str, Any]:
    store = world.item("StatefulSet", "fritz-store")
    store["status"] |= {"readyReplicas": 0}
    world.see()
    return store


@pytest.mark.parametrize("owner", [None, "somebody"])
def test_a_pod_that_only_bears_our_labels_does_not_answer(world: World, owner: str | None) -> None:
    down(world)
    pod(world, "store", owner, **READY)
    world.reconcile()
    assert (world.condition("StoreAvailable")["status"], world.condition("Ready")["reason"]) == ("False", "StoreNotReady")


def test_a_pod_of_our_set_answers(world: World) -> None:
    pod(world, "store", down(world)["metadata"]["uid"], **READY)
    world.reconcile()
    assert world.condition("StoreAvailable")["status"] == "True"


@pytest.mark.parametrize(("owner", "name"), [(None, "fritz-store-0"), ("gone", "fritz-store-0")])
def test_while_its_set_is_away_the_pod_answers(world: World, owner: str | None, name: str) -> None:
    """Between the halves of growing; what keeps the set from coming back is told."""
    world.server.items.pop(("StatefulSet", "monitoring", "fritz-store"))
    world.server.faults["StatefulSet"] = Refused("exceeded quota", 403)
    world.begin()
    world.see()
    pod(world, "store", owner, name, **READY)
    world.reconcile()
    assert (world.condition("StoreAvailable")["status"], world.condition("Degraded")["reason"]) == ("True", "QuotaExceeded")


def test_what_a_foreign_pod_suffers_from_is_not_ours(world: World) -> None:
    down(world)
    pod(world, "store", None, containerStatuses=[{"image": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}])
    world.reconcile()
    assert world.condition("Ready")["reason"] == "StoreNotReady"


def test_a_store_whose_node_is_lost(world: World) -> None:
    pod(world, "store", down(world)["metadata"]["uid"])
    held = world.item("Pod", "fritz-store-0")
    held["spec"] = {"nodeName": "n7"}
    held["metadata"]["deletionTimestamp"] = MADE
    world.reconcile()
    assert [world.condition(of)["reason"] for of in ("Ready", "StoreAvailable", "Degraded")] == ["NodeLost"] * 3
    assert "its node n7" in world.condition("Ready")["message"]


def test_of_pods_no_more_is_held_than_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of agents have one each."""
    pod(world, "store", down(world)["metadata"]["uid"], **READY)
    pod(world, "store", "somebody", "other", **READY)
    world.item("Pod", "fritz-store-0")["spec"] = {"containers": [{}]}
    held: list[dict[str, Any]] = []
    whole = Server.list

    async def listed(server: Server, kind: str, *how: Any, **more: Any) -> list[dict[str, Any]]:
        found = await whole(server, kind, *how, **more)
        held.extend(found if kind == "Pod" else [])
        return found

    monkeypatch.setattr(Server, "list", listed)
    world.reconcile()
    asyncio.run(orphans.remove(world.server, ""))
    assert [(one["metadata"]["name"], one["spec"]) for one in held] == [("fritz-store-0", {})] * 2 + [("other", {})]


@pytest.mark.parametrize(("by", "reason"), [("somebody", "StoreNotReady"), ("statefulset-controller", "QuotaExceeded")])
def test_an_event_counts_from_whom_it_can_be(world: World, by: str, reason: str) -> None:
    event(world, down(world), "FailedCreate", "exceeded quota", by)
    world.reconcile()
    assert world.condition("Ready")["reason"] == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [("pod has unbound immediate PersistentVolumeClaims", "VolumePending"), ("1 Insufficient cpu", "Unschedulable")],
)
def test_a_claim_that_waits_for_its_pod_is_not_the_cause(world: World, message: str, reason: str) -> None:
    store = down(world)
    pod(world, "store", store["metadata"]["uid"], conditions=[{"reason": "Unschedulable", "message": message}])
    about = {"name": "data-fritz-store-0", "namespace": "monitoring", "labels": store["spec"]["selector"]["matchLabels"]}
    spec = {"resources": {"requests": {"storage": "10Gi"}}}
    world.server.keep({"kind": "PersistentVolumeClaim", "metadata": about, "spec": spec, "status": {"phase": "Pending"}})
    world.reconcile()
    assert (world.condition("Ready")["reason"], world.condition("Degraded")["reason"]) == (reason, reason)


@pytest.mark.parametrize(
    ("kind", "name", "part"),
    [
        ("StatefulSet", "fritz-store", "StoreAvailable"),
        ("DaemonSet", "fritz-agent", "AgentsAvailable"),
        ("Secret", "fritz-keys", ""),
    ],
)
def test_what_is_missing_while_it_is_paused(world: World, kind: str, name: str, part: str) -> None:
    world.server.items.pop((kind, "monitoring", name))
    world.change(paused=True)
    world.begin()
    world.see()
    world.reconcile()
    text = f"spec.paused is true, so what is missing is not made: {kind} {name}; set it to false"
    degraded = world.condition("Degraded")
    assert (degraded["reason"], degraded["message"]) == ("MissingWhilePaused", text)
    if part:
        assert (world.condition(part)["message"], world.condition("Ready")["message"]) == (text, text)
    assert ("Warning", "MissingWhilePaused", 1) in world.events()
    world.change(paused=False)
    world.reconcile()
    assert world.condition("Degraded")["reason"] == ("KeysDamaged" if kind == "Secret" else "NoFaultKnown")


def test_paused_from_the_start(server: Server) -> None:
    world = World(server, {"paused": True})
    world.reconcile()
    assert world.condition("Ready")["message"].startswith(
        "spec.paused is true, so what is missing is not made: StatefulSet fritz-store, DaemonSet fritz-agent, ServiceAccount"
    )
    assert world.condition("Ready")["message"].endswith(" more; set it to false")
