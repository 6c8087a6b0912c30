"""T23: an operator that is killed at any of its calls to a real API server, one that is lied to, one of two."""

import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos import controlplane
from chaos.conftest import Figures, Size
from chaos.operating import CRD, NAMESPACE, OWN, World, running
from chaos.program import free_port
from metricsoperator.kinds import KINDS

pytestmark = [
    pytest.mark.controlplane,
    controlplane.needed,
    pytest.mark.timeout(400),
]
NAME = "fritz"
NOISE = {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[controlplane.ControlPlane]:
    made = controlplane.ControlPlane(tmp_path_factory.mktemp("plane"))
    yield made
    made.stop()


@pytest.fixture
def world(plane: controlplane.ControlPlane, tmp_path: Path) -> Iterator[World]:
    with running(plane, tmp_path) as made:
        yield made


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """An object without what differs from run to run."""
    about = {key: value for key, value in item["metadata"].items() if key not in NOISE}
    about["ownerReferences"] = [{**owner, "uid": ""} for owner in about.get("ownerReferences", [])]
    about["annotations"] = {k: v for k, v in about.get("annotations", {}).items() if not k.endswith("desired-hash")}
    spec = json.loads(
        re.sub(r'"(clusterIPs?|nodePort|healthCheckNodePort)": ("[^"]*"|\d+|\[[^]]*\]),? ?', "", json.dumps(item.get("spec")))
    )
    return {"kind": item["kind"], "metadata": about, "spec": spec, "data": item.get("data"), "roleRef": item.get("roleRef")}


def everything(world: World) -> dict[str, Any]:
    """All objects, and how often the agents were changed."""
    found = {f"{item['kind']}/{item['metadata']['name']}": plain(item) for item in world.objects()}
    agents = [item["metadata"]["generation"] for item in world.objects(("DaemonSet",))]
    return found | {"generations of the DaemonSet": agents}


def create(world: World) -> None:
    world.resource(NAME, store={"storage": {"size": "1Gi"}})


def upgrade(world: World) -> None:
    world.resource(NAME, image={"tag": "2"})


def grow(world: World) -> None:
    world.resource(NAME, store={"storage": {"size": "2Gi"}})


def remove(world: World) -> None:
    world.delete(NAME)


LIFE = {"create": create, "upgrade": upgrade, "grow": grow, "delete": remove}


def done(world: World) -> bool:
    """Whether the last change has been dealt with."""
    if world.seen(NAME) is None:
        return not world.objects(("ClusterRoleBinding",))
    sizes = [item["spec"]["volumeClaimTemplates"][0]["spec"]["resources"] for item in world.objects(("StatefulSet",))]
    wanted = world.seen(NAME)["spec"]["store"]["storage"]["size"]
    return sizes == [{"requests": {"storage": wanted}}] and world.settled(NAME)


def volumes_deleted(world: World) -> list[str]:
    return [write for write in world.between.writes if write.startswith("DELETE") and "persistentvolumeclaims" in write]


@pytest.fixture(scope="session")
def undisturbed() -> dict[str, dict[str, Any]]:
    """What there is after each step of a life that nobody disturbs, once it was lived."""
    return {}


def expect(world: World, undisturbed: dict[str, dict[str, Any]], steps: list[str]) -> dict[str, dict[str, Any]]:
    if undisturbed.keys() >= set(steps):
        return undisturbed
    world.start()
    for step in steps:
        LIFE[step](world)
        world.until(lambda: done(world), step, play=True)
        undisturbed[step] = everything(world)
    world.kill()
    remove(world)
    world.clean()
    return undisturbed


def test_t23_killed_at_its_nth_call(
    world: World, undisturbed: dict[str, dict[str, Any]], rng: random.Random, size: Size, figures: Figures
) -> None:
    steps = size.pick(["create"], list(LIFE))
    expected = expect(world, undisturbed, steps)
    calls = size.pick([rng.randrange(20, 50)], list(range(1, 61)))
    killed: list[str] = []
    for number, at in enumerate(calls):
        step = steps[number % len(steps)]
        world.between.reset(at, before=rng.random() < 0.5)
        LIFE[step](world)
        world.start()
        end = time.monotonic() + 120
        while not world.dead() and not done(world):
            assert time.monotonic() < end, f"neither done nor killed at call {at}: {step}\n{world.tail()}"
            world.play()
        killed.append(f"{step}@{at}" if world.dead() else f"{step}@-")
        world.kill()
        world.between.reset()
        world.start()
        world.until(lambda: done(world), f"{step} after it was killed at call {at}", play=True)
        assert everything(world) == expected[step], (step, at)
        world.kill()
    figures(f"T23 killed at a call: {' '.join(killed)}; objects, generations and volumes as undisturbed after each")
    assert not volumes_deleted(world)
    assert any("@-" not in each for each in killed)
    remove(world)
    world.clean()


def test_t23_an_api_server_that_fails(
    world: World, undisturbed: dict[str, dict[str, Any]], rng: random.Random, size: Size, figures: Figures
) -> None:
    """Answers of 409, 429, 500, 503, and in full size none at all, to one request in five."""
    steps = size.pick(["create"], ["create", "upgrade", "grow", "delete"])
    expected = expect(world, undisturbed, steps)
    faults: list[int] = []

    def fault(*_: str) -> int | None:
        if rng.random() > 0.2 or len(faults) >= size.pick(10, 200):
            return None
        faults.append(rng.choice([409, 429, 500, 503, *size.pick([], [0])]))
        return faults[-1]

    world.between.fault = fault
    world.start()
    for step in steps:
        LIFE[step](world)
        world.until(lambda: done(world), step, 150, play=True)
        assert everything(world) == expected[step], step
    counts = {status: faults.count(status) for status in sorted(set(faults))}
    figures(f"T23 an API server that failed {counts} times (0: no answer): objects as undisturbed")
    assert not volumes_deleted(world)
    world.clean()


def test_a_size_can_be_set_back_to_what_the_volume_has(world: World) -> None:
    def size(text: str) -> None:
        world.resource(NAME, store={"storage": {"size": text}})

    size("10Gi")
    with pytest.raises(AssertionError, match="cannot shrink"):
        size("5Gi")
    path = f"{OWN}/namespaces/{NAMESPACE}/metricsclusters/{NAME}/status"
    status = {"store": {"volumes": [{"name": "data", "requested": "8Gi", "capacity": "8Gi"}]}}
    world.plane.ask("PATCH", path, {"status": status}, controlplane.MERGE)
    with pytest.raises(AssertionError, match="cannot shrink"):
        size("7Gi")
    size("8Gi")


def test_a_watch_that_says_nothing_is_noticed(world: World) -> None:
    world.resource(NAME)
    world.start(resync=0.5)
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    world.until(lambda: '"ok"' in world.get("/healthz"), "every watch has said what lists show")
    world.between.mute = True
    path = KINDS["Service"].path(NAMESPACE, f"{NAME}-agent")
    for number in range(2):  # a write of somebody else, which only a watch or a list can show
        world.plane.ask("PATCH", path, {"metadata": {"annotations": {"somebody": str(number)}}}, controlplane.MERGE)
    world.until(lambda: "the watch of Service says nothing more" in world.get("/healthz"), "the dead watch is noticed")


@pytest.mark.chaos
def test_t23_two_at_once(world: World, figures: Figures) -> None:
    """They do the same twice, and then nothing."""
    world.resource(NAME)
    world.start()
    second = world.begin(free_port())
    try:
        world.until(lambda: world.settled(NAME), "Ready", play=True)
        for item in world.objects(("Service", "ConfigMap")):
            world.plane.ask("DELETE", KINDS[item["kind"]].path(NAMESPACE, item["metadata"]["name"]))
        world.until(lambda: len(world.objects(("Service", "ConfigMap"))) == 5, "all is back")
        time.sleep(5)  # what was begun comes to its end
        world.between.writes.clear()
        time.sleep(120)  # what is counted is what happens in this time
        figures(f"two operators, 120 s idle: writes {dict(world.between.writes)}")
        assert not world.between.writes
    finally:
        second.kill()
        second.wait()


@pytest.mark.chaos
def test_t23_the_api_server_is_away_for_two_minutes(world: World, figures: Figures) -> None:
    world.resource(NAME)
    world.start()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    process = world.process
    world.plane.away()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert '"ok"' in world.get("/healthz"), "starting anew would help nobody"
        time.sleep(5)
    world.plane.begin()
    world.plane.ask("DELETE", KINDS["Service"].path(NAMESPACE, f"{NAME}-agent"))
    began = time.monotonic()
    world.until(lambda: world.plane.ask("GET", KINDS["Service"].path(NAMESPACE, f"{NAME}-agent")), "repaired", 90)
    figures(f"API server away for 120 s: repairs again {time.monotonic() - began:.1f} s after it is back")
    assert world.process is process
    assert not world.dead()


@pytest.mark.chaos
def test_the_definition_goes_and_comes(world: World) -> None:
    """With it goes every MetricsCluster; the operator takes rights back, ends, and is at work again when it is back."""
    world.resource(NAME)
    world.start(resync=2)
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    world.plane.ask("DELETE", f"{CRD}/metricsclusters.metricscluster.io")
    world.until(lambda: not world.objects(("ClusterRoleBinding",)), "rights are taken back")
    world.until(world.dead, "the operator ends")
    assert "the CustomResourceDefinition metricsclusters.metricscluster.io is gone" in world.tail()
    world.start()
    world.until(lambda: world.get("/readyz") == '{"status": "starting"}', "the next one waits")
    remove(world)
    world.prepare()
    world.resource(NAME)
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    assert world.get("/readyz") == '{"status": "ready"}'


def test_a_pod_that_nobody_owns_any_more(world: World) -> None:
    """As an operator leaves it that ends between the halves of growing, when the MetricsCluster is then deleted."""
    labels = {"app.kubernetes.io/name": "metricscluster", "app.kubernetes.io/component": "store"}
    about = {"name": "left-store-0", "labels": labels | {"app.kubernetes.io/instance": "left"}}
    spec = {"containers": [{"name": "store", "image": "none"}]}
    world.plane.ask("POST", KINDS["Pod"].path(NAMESPACE), {"metadata": about, "spec": spec})
    world.start()
    world.until(lambda: world.plane.ask("GET", KINDS["Pod"].path(NAMESPACE, "left-store-0")) is None, "the pod is deleted")
    assert 403 not in world.between.answers, world.tail()


@pytest.mark.chaos
def test_fifty_resources(world: World, figures: Figures) -> None:
    """Memory of the operator, and how long one of many waits."""
    world.resource("fritz-0")
    world.start()
    world.until(lambda: world.settled("fritz-0"), "Ready", play=True)
    alone = world.resident()
    for number in range(1, 50):
        world.resource(f"fritz-{number}")
    began = time.monotonic()
    world.until(lambda: all(world.settled(f"fritz-{number}") for number in range(50)), "all are Ready", 300, play=True)
    seconds = time.monotonic() - began
    path = KINDS["Service"].path(NAMESPACE, "fritz-33-agent")
    world.plane.ask("DELETE", path)
    began = time.monotonic()
    world.until(lambda: world.plane.ask("GET", path), "the Service is back", 30)
    back = time.monotonic() - began
    many = world.resident()
    figures(
        f"operator: {alone} MB with 1 MetricsCluster, {many} MB with 50; 49 made in {seconds:.0f} s; repaired in {back:.1f} s"
    )
    assert many < 150
    assert back < 5
    world.kill()
    for number in range(50):
        world.delete(f"fritz-{number}")
    world.clean()


def test_made_once_then_nothing_is_written(world: World, figures: Figures, size: Size) -> None:
    world.resource(NAME)
    world.start()
    began = time.monotonic()
    world.until(lambda: world.settled(NAME), "Ready", play=True)
    seconds = time.monotonic() - began
    world.until(world.rests, "nothing waits, and the last write was a while ago")
    world.between.writes.clear()
    asked = world.between.asked
    time.sleep(size.pick(2, 120))  # what is counted is what happens in this time
    figures(
        f"T23 start to Ready {seconds:.1f} s; idle: {world.between.asked - asked} reads, writes {dict(world.between.writes)}"
    )
    assert not world.between.writes
    assert world.get("/healthz") == '{"status": "ok", "faults": []}'
    for kind in ("Service", "ConfigMap"):
        world.plane.ask("DELETE", KINDS[kind].path(NAMESPACE, f"{NAME}-agent"))
        began = time.monotonic()
        world.until(
            lambda kind=kind: world.plane.ask("GET", KINDS[kind].path(NAMESPACE, f"{NAME}-agent")),
            f"{kind} is back",
            size.pick(20, 5),
        )
        figures(f"T23 {kind} deleted by hand: back after {time.monotonic() - began:.2f} s")
    text = world.get("/metrics")
    assert f'metricsoperator_ready{{name="{NAME}",namespace="{NAMESPACE}"}} 1.0' in text
    world.delete(NAME)
    world.until(lambda: f'name="{NAME}"' not in world.get("/metrics"), "what was said of the resource goes with it")
    world.until(lambda: not world.objects(("ClusterRoleBinding",)), "rights are taken back")
    assert world.end() == 0
    assert 403 not in world.between.answers, world.tail()
