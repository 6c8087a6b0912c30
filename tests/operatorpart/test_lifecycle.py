"""One MetricsCluster through changes: the order of a new image, a growing volume, rotated keys, what is told of it all."""

from typing import Any

import pytest

from metricsoperator.growth import volumes
from metricsoperator.objects import Away, Refused, Retry
from metricsoperator.reconcile import UNREADY_SECONDS
from metricsoperator.rotation import ANNOUNCED_SECONDS

from .conftest import Server
from .test_reconcile import World

CLAIM = "data-fritz-store-0"
WORKLOADS = (("StatefulSet", "fritz-store"), ("DaemonSet", "fritz-agent"))


@pytest.fixture
def world(server: Server) -> World:
    return World.ready(server)


def claim(world: World, size: str, **status: Any) -> dict[str, Any]:
    about = {"namespace": "monitoring", "name": CLAIM, "uid": "claim"}
    spec = {"resources": {"requests": {"storage": size}}, "storageClassName": "standard"}
    made = {"kind": "PersistentVolumeClaim", "metadata": about, "spec": spec}
    made["status"] = {"phase": "Bound", "capacity": {"storage": size}} | status
    world.server.keep(made)
    return made


def images(world: World) -> list[str]:
    found = [world.item("StatefulSet", "fritz-store"), world.item("DaemonSet", "fritz-agent")]
    return [item["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] for item in found]


def test_a_new_image_goes_to_the_store_first(world: World) -> None:
    settings = world.item("ConfigMap", "fritz-agent")["data"]
    world.change(image={"tag": "2.0.0"}, nodeAgent={"interval": "30s"})
    world.item("StatefulSet", "fritz-store")["metadata"]["generation"] = 2
    world.see()
    world.reconcile()
    assert images(world) == ["2.0.0", "1.2.3"]
    assert world.item("ConfigMap", "fritz-agent")["data"] == settings, "settings belong to the version that reads them"
    assert world.condition("Progressing")["reason"] == "WaitingForStore"
    assert world.outcome.again is not None
    world.run()
    world.item("StatefulSet", "fritz-store")["status"]["readyReplicas"] = 0
    world.see()
    world.reconcile()
    assert images(world) == ["2.0.0", "1.2.3"], "it runs, but is not ready"
    world.run()
    world.reconcile()
    assert images(world) == ["2.0.0", "2.0.0"]
    world.reconcile()
    assert world.condition("Progressing")["reason"] == "UpToDate"


def test_images_that_somebody_rewrites(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As policies do in whatever has a pod template: the order is kept, and nobody waits for an image that never comes."""
    apply = world.server.apply

    async def rewritten(manifest: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        made = await apply(manifest, subresource)
        if made["kind"] not in ("StatefulSet", "DaemonSet"):
            return made
        first = made["spec"]["template"]["spec"]["containers"][0]
        first["image"] = first["image"].replace("registry.example", "mirror")
        made["spec"]["template"]["spec"]["containers"] = [{"name": "proxy", "image": "proxy:1"}, first]
        return world.server.keep(made)

    monkeypatch.setattr(world.server, "apply", rewritten)
    world.change(image={"tag": "2.0.0"}, nodeAgent={"interval": "30s"})
    world.item("StatefulSet", "fritz-store")["metadata"]["generation"] = 2
    world.see()
    world.reconcile()
    versions = [world.item(*each)["metadata"]["labels"]["app.kubernetes.io/version"] for each in WORKLOADS]
    assert versions == ["2.0.0", "1.2.3"]
    world.run()
    world.reconcile()
    world.run()
    world.change(nodeAgent={"interval": "20s"})
    world.reconcile()
    assert '"interval":20' in world.item("ConfigMap", "fritz-agent")["data"]["config.json"].replace(" ", "")
    assert world.condition("Progressing")["reason"] == "UpToDate"


def test_settings_go_to_the_part_they_concern(world: World) -> None:
    world.server.writes.clear()
    world.change(nodeAgent={"interval": "10s", "maxUnavailable": "3"})
    world.reconcile()
    assert [name for verb, _, name in world.server.writes if verb == "apply"] == ["fritz-agent"]


def test_a_volume_grows_and_the_pod_goes_on(world: World) -> None:
    claim(world, "10Gi")
    world.change(store={"storage": {"size": "20Gi"}})
    world.server.writes.clear()
    world.reconcile()
    written = [(verb, kind) for verb, kind, _ in world.server.writes]
    order = [("apply", "PersistentVolumeClaim"), ("orphan", "StatefulSet"), ("apply", "StatefulSet")]
    assert [each for each in written if each in order] == order
    template = world.item("StatefulSet", "fritz-store")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"] == {"requests": {"storage": "20Gi"}}
    world.item("PersistentVolumeClaim", CLAIM)["status"] = {
        "phase": "Bound",
        "capacity": {"storage": "10Gi"},
        "conditions": [{"type": "FileSystemResizePending", "status": "True"}],
    }
    world.run()
    world.reconcile()
    wanted = {"name": CLAIM, "requested": "20Gi", "capacity": "10Gi", "state": "FileSystemResizePending"}
    assert world.resource()["status"]["store"]["volumes"] == (wanted | {"growingSince": "2026-01-01T00:00:00Z"},)
    assert world.condition("Progressing")["reason"] == "VolumeGrowing"
    assert world.condition("Ready")["status"] == "True"
    assert world.outcome.again is not None
    claim(world, "20Gi")
    world.reconcile()
    assert world.condition("Progressing")["reason"] == "UpToDate"


def test_killed_between_the_two_halves_of_growing(world: World) -> None:
    claim(world, "10Gi")
    world.change(store={"storage": {"size": "20Gi"}})
    world.server.faults["StatefulSet"] = SystemExit()  # type: ignore[assignment]
    with pytest.raises(SystemExit):
        world.reconcile()
    del world.server.items["StatefulSet", "monitoring", "fritz-store"]  # deleted, not yet made anew
    world.server.faults.clear()
    world.begin()
    world.see()
    world.reconcile()
    template = world.item("StatefulSet", "fritz-store")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"] == {"requests": {"storage": "20Gi"}}


def test_while_the_set_is_made_anew_the_store_answers(world: World) -> None:
    claim(world, "10Gi")
    world.change(store={"storage": {"size": "20Gi"}})
    pod = {"type": "Ready", "status": "True"}
    labels = world.item("StatefulSet", "fritz-store")["spec"]["selector"]["matchLabels"]
    about = {"namespace": "monitoring", "name": "fritz-store-0", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    world.server.keep({"kind": "Pod", "metadata": about, "status": {"conditions": [pod]}})
    world.reconcile()
    assert "status" not in world.item("StatefulSet", "fritz-store"), "its controller has not seen it yet"
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Progressing")["reason"] == "VolumeGrowing", "no pod is replaced"


@pytest.mark.parametrize(
    ("present", "wanted", "fault", "reason", "says"),
    [
        ("10Gi", "20Gi", Refused("only dynamically provisioned pvc can be resized", 403), "VolumeCannotGrow", "set spec.store"),
        ("30Gi", "20Gi", None, "VolumeCannotShrink", "set the size to 30Gi"),
    ],
)
def test_what_a_volume_cannot_do_is_told_and_nothing_touched(
    world: World, present: str, wanted: str, fault: Exception | None, reason: str, says: str
) -> None:
    claim(world, present)
    if fault:
        world.server.faults["PersistentVolumeClaim"] = fault
    world.change(store={"storage": {"size": wanted}})
    world.server.writes.clear()
    world.reconcile()
    assert [verb for verb, kind, _ in world.server.writes if kind in ("StatefulSet", "PersistentVolumeClaim")] == []
    assert world.condition("Degraded")["reason"] == reason
    assert says in world.condition("Degraded")["message"]
    assert world.condition("Ready")["status"] == "True", "the store runs"


def test_what_a_driver_cannot_do_is_told(world: World) -> None:
    condition = {"type": "ControllerResizeError", "status": "True", "message": "no space in the pool"}
    refused = {"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}, "conditions": [condition]}
    claim(world, "10Gi", **refused)
    world.reconcile()
    assert "no space in the pool" in world.condition("Degraded")["message"]


def test_a_claim_without_a_status() -> None:
    found = volumes({"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}})
    assert (found[0].capacity, found[0].state) == (None, "Pending")
    assert volumes(None) == ()


def test_keys_are_rotated_and_it_is_told(world: World) -> None:
    world.change(auth={"keys": {"generation": 2, "overlap": "1h"}})
    world.reconcile()
    assert world.condition("Progressing")["reason"] == "RotatingKeys"
    assert world.outcome.again == ANNOUNCED_SECONDS
    world.clock += ANNOUNCED_SECONDS
    world.reconcile()
    assert world.condition("Progressing")["reason"] == "UpToDate"
    assert world.resource()["status"]["keys"] == {"generation": 2, "oldEnds": "2026-01-01T01:02:00Z"}
    assert world.outcome.again == 3600


def test_keys_that_were_lost_are_told_of(world: World) -> None:
    del world.server.items["Secret", "monitoring", "fritz-keys"]
    world.reconcile()
    assert world.condition("Degraded")["reason"] == "KeysDamaged"
    assert "fetches it again" in world.condition("Degraded")["message"]
    assert world.condition("Ready")["status"] == "True"
    assert world.events()[-1] == ("Warning", "KeysDamaged", 1)
    world.clock += world.outcome.again or 0
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (None, "spec.auth.publicKeys[0] names Secret cc-backend, which is not in namespace monitoring; make it"),
        ({"other": ""}, "needs the entry jwt-public-key of Secret cc-backend, which lacks it; add it"),
        ({"jwt-public-key": ""}, ""),
    ],
)
def test_a_secret_that_is_missing_is_named(world: World, secret: dict[str, str] | None, says: str) -> None:
    if secret is not None:
        world.server.keep({"kind": "Secret", "metadata": {"namespace": "monitoring", "name": "cc-backend"}, "data": secret})
    world.change(auth={"publicKeys": [{"secretName": "cc-backend"}]})
    world.run()
    world.reconcile()
    degraded = world.condition("Degraded")
    assert (degraded["reason"], degraded["status"]) == (("SecretMissing", "True") if says else ("NoFaultKnown", "False"))
    assert says in degraded["message"]
    world.item("StatefulSet", "fritz-store")["status"]["readyReplicas"] = 0
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == ("SecretMissing" if says else "StoreNotReady")


def test_what_runs_stays_while_a_secret_is_missing(world: World) -> None:
    """New pods could not begin; everything else is as the resource says."""
    world.change(auth={"publicKeys": [{"secretName": "cc-backend"}]}, prometheus={"namespaces": ["other"]})
    world.item("Service", "fritz-store")["spec"]["ports"] = []
    world.see()
    world.server.writes.clear()
    world.reconcile()
    changed = {(kind, name) for verb, kind, name in world.server.writes if verb == "apply"}
    assert changed == {("Service", "fritz-store"), ("NetworkPolicy", "fritz-store"), ("NetworkPolicy", "fritz-agent")}
    reasons = {kind: world.condition(kind)["reason"] for kind in ("Ready", "Progressing", "Degraded")}
    assert reasons == {"Ready": "Ready", "Progressing": "SecretMissing", "Degraded": "SecretMissing"}
    assert [event for event in world.events() if event[0] == "Warning"] == [("Warning", "SecretMissing", 1)]
    assert world.outcome.again == UNREADY_SECONDS, "nobody says when a Secret is made"
    about = {"namespace": "monitoring", "name": "cc-backend"}
    world.server.keep({"kind": "Secret", "metadata": about, "data": {"jwt-public-key": ""}})
    world.server.writes.clear()
    world.reconcile()
    assert ("apply", "StatefulSet", "fritz-store") in world.server.writes
    assert world.condition("Degraded")["status"] == "False"


def test_credentials_for_a_registry_that_are_missing_hold_up_nothing(world: World) -> None:
    world.change(image={"pullSecrets": [{"name": "mirror"}]})
    world.server.writes.clear()
    world.reconcile()
    assert ("apply", "StatefulSet", "fritz-store") in world.server.writes
    assert world.condition("Degraded")["reason"] == "SecretMissing"


def test_an_event_for_each_new_reason_and_none_after_a_restart(world: World) -> None:
    first = [("Normal", "StoreNotReady", 1), ("Normal", "RollingOut", 1), ("Normal", "Ready", 1), ("Normal", "UpToDate", 1)]
    assert world.events() == first
    world.begin()
    world.see()
    world.reconcile()
    assert world.events() == first
    for _ in range(2):
        world.item("StatefulSet", "fritz-store")["status"]["readyReplicas"] = 0
        world.see()
        world.reconcile()
        world.run()
        world.reconcile()
    assert world.events() == [(kind, reason, 3) for kind, reason, _ in first]


def test_trouble_is_a_warning_with_its_reason(world: World) -> None:
    world.server.faults["Service"] = Refused("no", 403)
    del world.server.items["Service", "monitoring", "fritz-agent"]
    world.begin()
    world.see()
    world.reconcile()
    assert world.events()[-1] == ("Warning", "Forbidden", 1), "Degraded says the same in the same words"


def test_one_event_for_what_two_conditions_say_one_after_the_other(world: World) -> None:
    world.change(auth={"publicKeys": [{"secretName": "cc-backend"}]})
    world.reconcile()
    assert (world.condition("Degraded")["reason"], world.condition("Ready")["reason"]) == ("SecretMissing", "Ready")
    world.item("StatefulSet", "fritz-store")["status"]["readyReplicas"] = 0
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "SecretMissing"
    assert [event for event in world.events() if event[0] == "Warning"] == [("Warning", "SecretMissing", 1)]


@pytest.mark.parametrize("fault", [Refused("forbidden", 403), Retry("away")])
def test_events_that_cannot_be_posted_hold_up_nothing(server: Server, fault: Exception) -> None:
    server.faults["Event"] = fault
    world = World(server)
    world.reconcile()
    assert world.condition("Ready")["reason"] == "StoreNotReady"


def test_an_api_server_that_does_not_answer_is_asked_no_more_in_this_turn(world: World) -> None:
    world.server.faults["Service"] = Away("no answer")
    for name in ("fritz-agent", "fritz-store"):
        del world.server.items["Service", "monitoring", name]
    world.begin()
    world.see()
    world.server.writes.clear()
    with pytest.raises(Away):
        world.reconcile()
    assert world.server.writes == []


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "Pod", "Event", "Secret"])
def test_what_may_not_be_read_is_told(server: Server, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A right that was taken away while the operator runs: the rest of the status is as true as before."""
    world = World(server)
    if kind == "Secret":
        world.change(auth={"publicKeys": [{"secretName": "cc-backend"}]})
    world.reconcile()
    for name in ("get", "list"):
        read = getattr(server, name)

        async def forbidden(of: str, *rest: Any, read: Any = read, **more: Any) -> Any:
            if of == kind:
                raise Refused(f"cannot read {kind}: forbidden", 403)
            return await read(of, *rest, **more)

        monkeypatch.setattr(server, name, forbidden)
    world.reconcile()
    assert world.condition("Degraded")["reason"] == "Forbidden"
    assert f"cannot read {kind}" in world.condition("Degraded")["message"]
    assert world.condition("AgentsAvailable")["reason"] in ("AgentsNotReady", "SecretMissing")


def test_a_namespace_that_goes_is_no_fault(world: World) -> None:
    cause = "forbidden: unable to create new content in namespace monitoring because it is being terminated"
    world.server.faults["Service"] = Refused(cause, 403)
    del world.server.items["Service", "monitoring", "fritz-agent"]
    world.begin()
    world.see()
    world.server.writes.clear()
    world.reconcile()
    assert world.outcome.result == "gone"
    assert world.server.writes == []
