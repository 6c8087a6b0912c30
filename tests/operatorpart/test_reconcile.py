import asyncio
from typing import Any

import pytest

from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Refused, Retry
from metricsoperator.observed import Key, Observed
from metricsoperator.reconcile import Reconciler

from .conftest import SITE, Server, document

KEY = Key("monitoring", "fritz")


class World:
    """One MetricsCluster, its API server, and what an operator has seen of it."""

    def __init__(self, server: Server, spec: dict[str, Any] | None = None) -> None:
        self.server = server
        self.observed = Observed()
        self.reconciler = Reconciler(objects=server, observed=self.observed, site=SITE, now=lambda: 1767225600.0)
        self.server.keep(document(spec))
        self.see()

    def see(self) -> None:
        for kept in list(self.server.items.values()):
            if kept["kind"] != "Secret":
                self.observed.put(self.server.keep(kept))

    def reconcile(self) -> bool:
        return asyncio.run(self.reconciler.reconcile(KEY))

    def resource(self) -> dict[str, Any]:
        return self.server.items["MetricsCluster", *KEY]

    def change(self, **spec: Any) -> None:
        self.resource()["spec"] |= spec
        self.see()

    def condition(self, name: str) -> dict[str, Any]:
        conditions: list[dict[str, Any]] = self.resource()["status"]["conditions"]
        return next(condition for condition in conditions if condition["type"] == name)


@pytest.fixture
def world(server: Server) -> World:
    return World(server)


def test_everything_is_made_then_nothing_more_is_written(world: World) -> None:
    assert not world.reconcile(), "not Ready before the pods are"
    kinds = [kind for _, kind, _ in world.server.writes]
    assert kinds[0] == "Secret", "pods need it"
    assert kinds[-1] == "MetricsCluster", "the status comes last"
    assert len(world.server.items) == 1 + 1 + 14
    world.server.writes.clear()
    world.reconcile()
    assert world.server.writes == []
    world.see()
    world.reconcile()
    assert world.server.writes == []


def test_ready(world: World) -> None:
    world.reconcile()
    world.server.items["StatefulSet", "monitoring", "fritz-store"]["status"] = {"readyReplicas": 1, "observedGeneration": 1}
    counts = {"desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2, "observedGeneration": 1}
    world.server.items["DaemonSet", "monitoring", "fritz-agent"]["status"] = counts
    world.see()
    assert world.reconcile()
    assert world.condition("Ready")["status"] == "True"


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "StatefulSet", "NetworkPolicy"])
def test_what_was_deleted_or_edited_is_mended(world: World, kind: str) -> None:
    world.reconcile()
    place = next(place for place in world.server.items if place[0] == kind)
    before = world.server.items.pop(place)
    world.observed.drop(before)
    world.reconcile()
    field = "data" if kind == "ConfigMap" else "spec"
    world.server.items[place][field] = before[field] | {next(iter(before[field])): "edited"}
    world.see()
    world.reconcile()
    assert world.server.items[place][field] == before[field]


def test_the_secret_is_never_written_again(world: World) -> None:
    world.reconcile()
    secret = world.server.items["Secret", "monitoring", "fritz-keys"]
    secret["data"] = {"public.key": "somebody's"}
    world.change(paused=False)
    world.reconcile()
    assert world.server.items["Secret", "monitoring", "fritz-keys"]["data"] == {"public.key": "somebody's"}


def test_paused_changes_nothing_but_the_status(server: Server) -> None:
    world = World(server, {"paused": True})
    world.reconcile()
    assert [verb for verb, _, _ in server.writes] == ["status"]


def test_an_object_of_somebody_else_is_left_alone(world: World) -> None:
    theirs = {"kind": "Service", "metadata": {"namespace": "monitoring", "name": "fritz-store"}, "spec": {"theirs": True}}
    world.server.keep(theirs)
    world.reconcile()
    assert world.server.items["Service", "monitoring", "fritz-store"]["spec"] == {"theirs": True}
    assert world.condition("Ready")["reason"] == "Refused"
    assert "Service monitoring/fritz-store" in world.condition("Ready")["message"]
    assert ("apply", "DaemonSet", "fritz-agent") in world.server.writes, "the others are made"


def test_an_object_of_a_deleted_namesake_is_waited_for(world: World) -> None:
    world.reconcile()
    owner = world.server.items["Service", "monitoring", "fritz-store"]["metadata"]["ownerReferences"][0]
    owner["uid"] = "the one before"
    world.see()
    with pytest.raises(Retry, match="being deleted"):
        world.reconcile()


def test_what_is_not_wanted_any_more_is_deleted_if_it_is_ours(world: World) -> None:
    world.reconcile()
    ours = world.server.items["Service", "monitoring", "fritz-store"]
    extra = {"kind": "Service", "metadata": ours["metadata"] | {"name": "fritz-statsd", "uid": "1"}, "spec": {}}
    foreign = {"kind": "Service", "metadata": extra["metadata"] | {"name": "foreign", "uid": "2", "ownerReferences": []}}
    world.server.keep(extra)
    world.server.keep(foreign)
    world.see()
    world.reconcile()
    assert ("delete", "Service", "fritz-statsd") in world.server.writes
    assert ("Service", "monitoring", "foreign") in world.server.items


def test_a_refusal_is_told_and_holds_up_nothing(world: World) -> None:
    world.server.faults["StatefulSet"] = Refused("cannot patch: exceeded quota", 403)
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Forbidden"
    assert "exceeded quota" in world.condition("Degraded")["message"]
    assert ("apply", "DaemonSet", "fritz-agent") in world.server.writes


def test_a_passing_fault_is_retried(world: World) -> None:
    world.server.faults["ConfigMap"] = Retry("the API server is away")
    with pytest.raises(Retry):
        world.reconcile()
    world.server.faults.clear()
    world.reconcile()
    assert ("ConfigMap", "monitoring", "fritz-agent") in world.server.items


def test_killed_anywhere_it_goes_on(server: Server) -> None:
    """The n-th write fails for good, another operator goes on: the objects are those of an undisturbed run."""
    undisturbed = World(Server())
    undisturbed.reconcile()
    wanted = {place: item.get("spec") for place, item in undisturbed.server.items.items() if place[0] != "Secret"}
    for n in range(len(undisturbed.server.writes)):
        world = World(Server())
        allowed = iter(range(n))
        write = world.server._write

        def dying(verb: str, manifest: dict[str, Any], write: Any = write, allowed: Any = allowed) -> None:
            if next(allowed, None) is None:
                raise SystemExit
            write(verb, manifest)

        world.server._write = dying  # type: ignore[method-assign]
        with pytest.raises(SystemExit):
            world.reconcile()
        world.server._write = write  # type: ignore[method-assign]
        world.observed = Observed()
        world.reconciler = Reconciler(objects=world.server, observed=world.observed, site=SITE, now=lambda: 0.0)
        world.see()
        world.reconcile()
        assert {place: item.get("spec") for place, item in world.server.items.items() if place[0] != "Secret"} == wanted


def test_deletion_is_left_to_the_garbage_collector(world: World) -> None:
    world.reconcile()
    world.server.writes.clear()
    world.resource()["metadata"]["deletionTimestamp"] = "now"
    world.see()
    assert world.reconcile()
    assert world.server.writes == []
    assert asyncio.run(world.reconciler.reconcile(Key("monitoring", "unknown")))


BOUND = ("ClusterRoleBinding", "", "monitoring-metricscluster-pods:monitoring:fritz")


def test_rights_in_the_cluster_go_with_the_resource_however_late_it_is_seen(world: World) -> None:
    """Nothing without a namespace has an owner: an operator that was away when the resource went finds it by its labels."""
    world.reconcile()
    del world.server.items["MetricsCluster", *KEY]
    world.observed = Observed()
    world.reconciler = Reconciler(objects=world.server, observed=world.observed, site=SITE, now=lambda: 0.0)
    world.see()
    assert world.observed.keys() == {KEY}
    assert world.reconcile()
    assert not [place for place in world.server.items if place[0] == "ClusterRoleBinding"]


def test_rights_in_the_cluster_stay_while_the_resource_is_just_not_seen_yet(world: World) -> None:
    world.reconcile()
    world.observed.drop(world.resource())
    assert world.reconcile()
    assert BOUND in world.server.items


def test_rights_that_are_not_used_any_more_are_taken_back(world: World) -> None:
    world.reconcile()
    world.change(nodeAgent={"containers": {"enabled": False}, "statsd": {"enabled": False}})
    world.reconcile()
    assert BOUND not in world.server.items
    assert ("ClusterRoleBinding", "", "monitoring-metricscluster-reviews:monitoring:fritz") in world.server.items


def test_a_binding_of_somebody_else_is_left_alone(world: World) -> None:
    world.server.keep({"kind": "ClusterRoleBinding", "metadata": {"name": BOUND[2]}, "subjects": []})
    world.reconcile()
    assert world.server.items[BOUND]["subjects"] == []
    assert world.condition("Ready")["reason"] == "Refused"


def test_without_rights_in_the_cluster_it_says_what_is_missing(server: Server) -> None:
    world = World(server)
    world.reconciler = Reconciler(objects=server, observed=world.observed, site=Site("r", "t"), now=lambda: 0.0)
    world.reconcile()
    assert not [place for place in server.items if place[0] == "ClusterRoleBinding"]
    assert world.condition("Ready")["reason"] == "StoreNotReady"
    found = world.condition("Degraded")
    assert (found["status"], found["reason"]) == ("True", "ClusterRightsMissing")
    assert "ids alone" in found["message"]
    assert "clusterRights" in found["message"]


def test_an_invalid_spec_is_told_and_nothing_touched(server: Server) -> None:
    world = World(server, {"store": {"sise": 1}})
    assert world.reconcile()
    assert [verb for verb, _, _ in server.writes] == ["status"]
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert "spec.store.sise" in world.condition("Ready")["message"]


def test_a_larger_volume_grows_the_claim_and_keeps_the_template(world: World) -> None:
    world.reconcile()
    about = {"namespace": "monitoring", "name": "data-fritz-store-0"}
    claim = {"kind": "PersistentVolumeClaim", "metadata": about, "spec": {"resources": {"requests": {"storage": "10Gi"}}}}
    world.server.keep(claim)
    world.change(store={"storage": {"size": "20Gi"}})
    world.server.writes.clear()
    world.reconcile()
    grown = world.server.items["PersistentVolumeClaim", "monitoring", "data-fritz-store-0"]
    assert grown["spec"] == {"resources": {"requests": {"storage": "20Gi"}}}
    template = world.server.items["StatefulSet", "monitoring", "fritz-store"]["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"] == {"requests": {"storage": "10Gi"}}
    world.server.writes.clear()
    world.see()
    world.reconcile()
    assert world.server.writes == []


def test_a_status_of_another_version_is_replaced(world: World) -> None:
    world.resource()["status"] = {"phase": "Running"}
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "StoreNotReady"
