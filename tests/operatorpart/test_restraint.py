"""How often the operator writes what the API server, or somebody else, has otherwise."""

import itertools
from typing import Any

import pytest

from metricsoperator.objects import Manifest, Refused, Retry
from metricsoperator.observed import LARGEST
from metricsoperator.ownership import rival
from metricsoperator.reconcile import STATUS_SECONDS
from metricsoperator.restraint import CALM, FIRST_PAUSE, LONGEST_HOLD, LONGEST_PAUSE, WRITES
from metricsoperator.turn import RETRIES

from .conftest import Server
from .test_reconcile import World


@pytest.fixture
def world(server: Server) -> World:
    made = World.ready(server)
    made.server.writes.clear()
    made.clock += CALM + 1
    return made


def writes(world: World, kind: str = "Service") -> int:
    return sum(of == kind for _, of, _ in world.server.writes)


def service(world: World, **spec: Any) -> None:
    """Somebody edits it."""
    world.item("Service", "fritz-store")["spec"] |= spec
    world.see()


def test_what_the_api_server_writes_otherwise_is_written_once(world: World) -> None:
    keep = world.server.keep

    def rounding(item: Manifest) -> Manifest:
        if item["kind"] == "StatefulSet":
            item["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "101m"
        return keep(item)

    world.server.keep = rounding  # type: ignore[method-assign]
    world.change(store={"pod": {"resources": {"requests": {"cpu": "100m"}}}})
    for _ in range(5):
        world.reconcile()
        world.see()
    assert writes(world, "StatefulSet") == 1
    world.item("StatefulSet", "fritz-store")["spec"]["replicas"] = 3
    world.see()
    world.reconcile()
    assert world.item("StatefulSet", "fritz-store")["spec"]["replicas"] == 1, "what others change is repaired"
    world.change(store={"pod": {"resources": {"requests": {"cpu": "102m"}}}})
    world.reconcile()
    assert writes(world, "StatefulSet") == 3


def test_what_is_refused_is_tried_ever_more_rarely_and_told_all_the_time(world: World) -> None:
    asked: list[float] = []
    apply = world.server.apply

    async def refusing(manifest: Manifest, subresource: str = "") -> Manifest:
        if manifest["kind"] == "Service":
            asked.append(world.clock)
            raise Refused("cannot apply: spec.ports is invalid", 422)
        return await apply(manifest, subresource)

    world.server.apply = refusing  # type: ignore[method-assign]
    service(world, type="NodePort")
    for _ in range(100):
        world.reconcile()
        assert world.condition("Ready")["reason"] == "Refused"
        world.clock += FIRST_PAUSE
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses[:5] == [5, 10, 20, 40, 60]
    assert set(pauses[5:]) == {LONGEST_PAUSE}
    service(world, type="LoadBalancer")
    asked.clear()
    world.reconcile()
    assert asked, "it is otherwise now"
    world.server.apply = apply  # type: ignore[method-assign]
    world.change(store={"service": {"type": "NodePort"}})
    world.reconcile()
    assert world.condition("Ready")["status"] == "True", "something else is wanted now"


def test_who_fights_for_a_field_has_his_way_and_is_named(world: World) -> None:
    own: dict[str, Any] = {"f:spec": {"f:type": {}}}
    fields = [{"manager": "policy", "fieldsV1": own, "time": "1"}, {"manager": "other", "fieldsV1": {}, "time": "2"}]
    written = []
    for second in range(400):
        world.item("Service", "fritz-store")["metadata"]["managedFields"] = fields
        service(world, type="NodePort")
        world.reconcile()
        written += [second] * writes(world)
        world.server.writes.clear()
        world.clock += 1
    assert written == [*range(WRITES), WRITES - 1 + CALM, WRITES - 1 + 3 * CALM]
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "FoughtOver")
    assert "the field manager policy changes .spec.type of Service monitoring/fritz-store" in degraded["message"]
    assert world.condition("Ready")["status"] == "True", "all runs"
    assert [event for event in world.events() if event[0] == "Warning"] == [("Warning", "FoughtOver", 1)]
    world.clock += LONGEST_HOLD
    world.reconcile()
    assert world.condition("Degraded")["reason"] == "FoughtOver", "nobody knows yet whether this repair lasts"
    assert world.outcome.again is not None
    world.clock += world.outcome.again
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"


def test_one_who_deletes_again_and_again_is_told_of_too(world: World) -> None:
    for _ in range(20):
        world.observed.drop(world.server.items.pop(("Service", "monitoring", "fritz-store")))
        world.reconcile()
        if ("Service", "monitoring", "fritz-store") not in world.server.items:
            break
        world.clock += 1
    assert writes(world) == WRITES
    assert "somebody deletes Service monitoring/fritz-store again and again" in world.condition("Degraded")["message"]


def test_repairs_now_and_then_are_no_fight(world: World) -> None:
    for number in range(5 * WRITES):
        service(world, type=f"Other{number}")
        world.reconcile()
        world.clock += CALM + 1
    assert writes(world) == 5 * WRITES
    assert world.condition("Degraded")["status"] == "False"


FOUND: dict[str, Any] = {
    "f:spec": {
        "f:subjects": {},
        "f:containers": {'k:{"name":"store"}': {".": {}, "f:image": {}}, 'k:{"name":"sidecar"}': {"f:image": {}}},
    },
}


@pytest.mark.parametrize(
    ("path", "who"),
    [
        (("spec", "containers", ("name", "store"), "image"), "theirs"),
        (("spec", "containers", ("name", "store"), "args"), "latest"),
        (("spec", "containers", ("name", "agent")), "latest"),
        (("spec", "subjects", 0, "name"), "theirs"),
        (("spec", "replicas"), "latest"),
        ((), "latest"),
    ],
)
def test_the_rival_is_who_owns_the_field_or_wrote_last(path: tuple[Any, ...], who: str) -> None:
    managers = [
        {"manager": "theirs", "fieldsV1": FOUND, "time": "2026-01-01T00:00:00Z"},
        {"manager": "latest", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}, "time": "2026-01-02T00:00:00Z"},
        {"manager": "counting", "fieldsV1": FOUND, "time": "2026-01-03T00:00:00Z", "subresource": "status"},
        {"manager": "metricscluster-operator", "fieldsV1": FOUND, "time": "2026-01-04T00:00:00Z"},
    ]
    assert rival({"metadata": {"managedFields": managers}}, path) == who
    assert rival({"metadata": {"managedFields": managers[2:]}}, path) == ""


def test_an_object_that_was_blown_up_is_told_of(world: World) -> None:
    world.item("ConfigMap", "fritz-store")["data"]["added"] = "x" * LARGEST
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Refused"
    assert "ConfigMap monitoring/fritz-store: it has more than 512 KiB; remove what" in world.condition("Ready")["message"]
    assert writes(world, "ConfigMap") == 0
    del world.item("ConfigMap", "fritz-store")["data"]["added"]
    world.see()
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"


def test_a_turn_in_which_nothing_works_ends_soon(world: World) -> None:
    asked: list[str] = []

    async def failing(manifest: Manifest, subresource: str = "") -> Manifest:
        asked.append(manifest["kind"])
        raise Retry(f"busy {subresource}")

    world.server.apply = failing  # type: ignore[method-assign]
    world.change(image={"tag": "2.0.0"})
    with pytest.raises(Retry, match="busy"):
        world.reconcile()
    assert len(asked) == RETRIES


def test_a_status_that_somebody_else_writes_too_is_written_rarely(server: Server) -> None:
    """As an operator of other settings does that serves the same namespace."""
    world = World.ready(server)
    world.clock += STATUS_SECONDS

    def contradict() -> int:
        world.resource()["status"]["conditions"][-1]["message"] = "otherwise"
        world.see()
        world.server.writes.clear()
        world.reconcile()
        return len([verb for verb, *_ in world.server.writes if verb == "status"])

    assert [contradict(), contradict(), contradict()] == [1, 0, 0]
    assert world.outcome.again == STATUS_SECONDS
    world.clock += STATUS_SECONDS
    assert contradict() == 1
