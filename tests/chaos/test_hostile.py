"""An operator on a real API server among objects that want to harm it: large, broken, rounded, fought over, held."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos import controlplane
from chaos.conftest import Figures, Size
from chaos.controlplane import JSON, MERGE
from chaos.operating import NAMESPACE, OWN, World, running
from metricsoperator.kinds import KINDS
from metricsoperator.restraint import WRITES

pytestmark = [pytest.mark.controlplane, controlplane.needed, pytest.mark.timeout(300)]
NAME = "fritz"
SERVICE = KINDS["Service"].path(NAMESPACE, f"{NAME}-agent")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[controlplane.ControlPlane]:
    made = controlplane.ControlPlane(tmp_path_factory.mktemp("plane"))
    yield made
    made.stop()


@pytest.fixture
def world(plane: controlplane.ControlPlane, tmp_path: Path) -> Iterator[World]:
    with running(plane, tmp_path) as made:
        yield made
    made.clean()


def applied(world: World, kind: str, name: str) -> int:
    return world.between.writes[f"PATCH {KINDS[kind].path(NAMESPACE, name)}"]


def test_large_objects_that_carry_our_labels(world: World, size: Size, figures: Figures) -> None:
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    before, count = world.resident(), size.pick(40, 250)
    labels = {"app.kubernetes.io/managed-by": "metricscluster-operator", "app.kubernetes.io/instance": NAME}
    path = KINDS["ConfigMap"].path(NAMESPACE)
    for number in range(count):
        about = {"name": f"large-{number}", "labels": labels}
        world.plane.ask("POST", path, {"metadata": about, "data": {"x": "x" * 900_000}})
    watched = peak(world)
    world.start(resync=1)
    world.until(lambda: lists(world) >= 3, "they are listed")
    listed = peak(world)
    figures(
        f"operator: {before} MB; beside {count} ConfigMaps of 0.9 MB with our labels {watched} MB, started anew {listed} MB"
    )
    for number in range(count):
        world.plane.ask("DELETE", f"{path}/large-{number}")
    assert max(watched, listed) < 180


def lists(world: World) -> float:
    """How often the operator has listed everything."""
    found = re.search(r'^metricsoperator_lists_total\{result="ok"\} (\S+)$', world.get("/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def peak(world: World) -> int:
    """MB of memory that the operator had at most."""
    assert world.process is not None
    text = Path(f"/proc/{world.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) // 1024


def test_broken_resources_hold_up_no_other(world: World, size: Size, figures: Figures) -> None:
    """Each write for them is answered with 500, as when a webhook is away."""
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    count = size.pick(15, 50)
    world.between.fault = lambda method, path: 500 if method == "PATCH" and "/broken-" in path else None
    for number in range(count):
        world.resource(f"broken-{number}")
    world.until(lambda: world.between.refused >= 8 * count, "all of them fail")
    slowest = 0.0
    for _ in range(size.pick(3, WRITES - 2)):
        world.plane.ask("DELETE", SERVICE)
        began = time.monotonic()
        world.until(lambda: world.plane.ask("GET", SERVICE), "the Service is back", size.pick(20, 5))
        slowest = max(slowest, time.monotonic() - began)
    figures(f"operator: repairs one beside {count} broken MetricsClusters after {slowest:.2f} s at most")


def test_resources_whose_writes_hang_hold_up_no_other(world: World, size: Size, figures: Figures) -> None:
    """As when a webhook takes them and never answers; each turn then lasts 20 s, and none of them has failed before."""
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    world.between.fault = lambda method, path: 0 if method != "GET" and "/broken-" in path else None
    count = size.pick(20, 50)
    for number in range(count):
        world.resource(f"broken-{number}")
    world.until(lambda: world.between.refused >= 8, "they hang")
    world.plane.ask("DELETE", SERVICE)
    began = time.monotonic()
    world.until(lambda: world.plane.ask("GET", SERVICE), "the Service is back", 15)
    figures(f"operator: repairs one beside {count} MetricsClusters that hang after {time.monotonic() - began:.1f} s")
    assert '"ok"' in world.get("/healthz")


def test_what_the_api_server_rounds_is_written_once(world: World, figures: Figures, size: Size) -> None:
    world.resource(NAME, store={"pod": {"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}}})
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    world.until(world.rests, "nothing waits, and the last write was a while ago")
    world.between.writes.clear()
    time.sleep(size.pick(2, 60))
    figures(f"operator: with quantities that the API server writes otherwise it writes {dict(world.between.writes)}")
    assert not world.between.writes


def test_what_is_refused_is_not_asked_for_every_time(world: World, size: Size, figures: Figures) -> None:
    world.between.fault = lambda method, path: 422 if method == "PATCH" and path.endswith(f"/services/{NAME}-agent") else None
    world.resource(NAME)
    world.start()
    world.until(lambda: world.condition(NAME, "Ready").get("reason") == "Refused", "it is told", play=True)
    seconds = size.pick(12, 60)
    time.sleep(seconds)
    figures(f"operator: an object that is refused with 422 was sent {world.between.refused} times in {seconds} s")
    assert world.between.refused <= size.pick(3, 5)
    world.between.fault = lambda *_: None
    world.until(lambda: world.plane.ask("GET", SERVICE), "it is made", 60)


def test_a_fight_for_a_field_is_given_up_and_told(world: World, figures: Figures) -> None:
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    world.between.writes.clear()
    began = time.monotonic()

    def fight() -> bool:
        if world.plane.ask("GET", SERVICE)["spec"]["ports"][0]["name"] != "theirs":
            change = [{"op": "replace", "path": "/spec/ports/0/name", "value": "theirs"}]
            world.plane.ask("PATCH", f"{SERVICE}?fieldManager=stubborn", change, "application/json-patch+json")
        return world.condition(NAME, "Degraded").get("reason") == "FoughtOver"

    world.until(fight, "it is told")
    said = world.condition(NAME, "Degraded")["message"]
    repairs = applied(world, "Service", f"{NAME}-agent")
    figures(f"operator: a fight told after {time.monotonic() - began:.1f} s and {repairs} repairs: {said}")
    assert "the field manager stubborn changes" in said
    end = time.monotonic() + 10
    while time.monotonic() < end:
        fight()
        time.sleep(0.1)
    assert applied(world, "Service", f"{NAME}-agent") <= WRITES
    assert world.condition(NAME, "Ready")["status"] == "True"
    events = world.plane.ask("GET", f"{KINDS['Event'].path(NAMESPACE)}")["items"]
    uid = world.seen(NAME)["metadata"]["uid"]
    told = [event["count"] for event in events if event["reason"] == "FoughtOver" and event["involvedObject"]["uid"] == uid]
    assert told == [1]


def test_rights_go_though_somebodys_finalizer_holds_the_resource(world: World, size: Size) -> None:
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    path = f"{OWN}/namespaces/{NAMESPACE}/metricsclusters/{NAME}"
    world.plane.ask("PATCH", path, {"metadata": {"finalizers": ["example.com/held"]}}, MERGE)
    assert world.objects(("ClusterRoleBinding",))
    world.plane.ask("DELETE", path, form=JSON)
    world.until(lambda: not world.objects(("ClusterRoleBinding",)), "rights are taken back", size.pick(20, 5))
    assert world.seen(NAME)["metadata"]["deletionTimestamp"]
    assert world.objects(("StatefulSet",)), "whoever holds it may need what it runs"
    world.plane.ask("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    world.delete(NAME)


def test_an_object_blown_up_by_others_is_told_of(world: World) -> None:
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    path = KINDS["ConfigMap"].path(NAMESPACE, f"{NAME}-agent")
    extra: dict[str, Any] = {"data": {"added": "x" * 600_000}}
    world.plane.ask("PATCH", path, extra, MERGE)
    world.until(lambda: "more than 512 KiB" in world.condition(NAME, "Ready")["message"], "it is told")
    world.plane.ask("DELETE", path)
    world.until(lambda: world.settled(NAME), "it is made anew", play=True)
