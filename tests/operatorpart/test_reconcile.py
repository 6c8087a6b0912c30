import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from metricsoperator import names
from metricsoperator.books import Books
from metricsoperator.kinds import CHILDREN, CLUSTER_CHILDREN
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
        self.clock = 1767225600.0
        self.begin()
        self.server.keep(document(spec))
        self.see()

    @classmethod
    def ready(cls, server: Server) -> "World":
        """One whose MetricsCluster is Ready."""
        made = cls(server)
        made.reconcile()
        made.run()
        made.reconcile()
        assert made.condition("Ready")["status"] == "True"
        return made

    def begin(self, site: Site = SITE) -> None:
        """An operator that starts."""
        self.observed = Observed()
        self.books = Books(CollectorRegistry(), "1")
        self.reconciler = Reconciler(
            objects=self.server,
            observed=self.observed,
            site=site,
            now=lambda: self.clock,
            clock=lambda: self.clock,
            books=self.books,
        )

    def see(self) -> None:
        for kept in list(self.server.items.values()):
            if kept["kind"] in (names.KIND, *CHILDREN, *CLUSTER_CHILDREN):
                self.observed.put(self.server.keep(kept))

    def reconcile(self) -> bool:
        """Whether nothing is left to be waited for."""
        self.outcome = asyncio.run(self.reconciler.reconcile(KEY))
        return self.outcome.result != "unready"

    def item(self, kind: str, name: str) -> dict[str, Any]:
        return self.server.items[kind, "monitoring", name]

    def run(self) -> None:
        """Everything is ready, as its controllers would say."""
        store, agents = self.item("StatefulSet", "fritz-store"), self.item("DaemonSet", "fritz-agent")
        counts = {"readyReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"}
        store["status"] = counts | {"observedGeneration": store["metadata"].get("generation", 1)}
        counts = {"desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2}
        agents["status"] = counts | {"observedGeneration": agents["metadata"].get("generation", 1)}
        self.see()

    def events(self) -> list[tuple[str, str, int]]:
        """Type, reason and count of each event."""
        found = [item for (kind, _, _), item in self.server.items.items() if kind == "Event"]
        return [(event["type"], event["reason"], event["count"]) for event in found]

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
    kinds = [kind for _, kind, _ in world.server.writes if kind != "Event"]
    assert kinds[0] == "Secret", "pods need it"
    assert kinds[-1] == "MetricsCluster", "the status comes last"
    assert len([place for place in world.server.items if place[0] != "Event"]) == 1 + 1 + 14
    world.server.writes.clear()
    world.reconcile()
    assert world.server.writes == []
    world.see()
    world.reconcile()
    assert world.server.writes == []


def test_a_status_with_fields_of_a_newer_definition_is_not_written_on_and_on(world: World) -> None:
    """Where another release has brought one that fills them in."""
    world.reconcile()
    world.resource()["status"]["keys"] = dict(world.resource()["status"]["keys"]) | {"newer": False}
    world.see()
    world.server.writes.clear()
    world.reconcile()
    assert world.server.writes == []


def test_ready(world: World) -> None:
    world.reconcile()
    world.run()
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
    secret["data"]["note"] = "somebody's"
    world.change(paused=False)
    world.server.writes.clear()
    world.reconcile()
    assert not [write for write in world.server.writes if write[1] == "Secret"]


def test_paused_changes_nothing_but_the_status(server: Server) -> None:
    world = World(server, {"paused": True})
    world.reconcile()
    assert [verb for verb, kind, _ in server.writes if kind != "Event"] == ["status"]


@pytest.mark.parametrize(
    ("kind", "name"), [("ServiceAccount", "fritz-agent"), ("Secret", "fritz-keys"), ("ConfigMap", "fritz-store")]
)
def test_nothing_runs_with_what_is_somebody_elses(world: World, kind: str, name: str) -> None:
    world.server.keep({"kind": kind, "metadata": {"namespace": "monitoring", "name": name}})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "NameTaken"
    made = {kind for verb, kind, _ in world.server.writes if verb == "apply"}
    assert "Service" in made
    assert not {"StatefulSet", "DaemonSet"} & made
    assert kind == "ConfigMap" or "ClusterRoleBinding" not in made


def test_the_claim_of_somebody_elses_stateful_set_is_left_alone(world: World) -> None:
    requests = {"resources": {"requests": {"storage": "512Mi"}}}
    about = {"namespace": "monitoring", "name": "fritz-store"}
    world.server.keep({"kind": "StatefulSet", "metadata": about, "spec": {"volumeClaimTemplates": [{"spec": requests}]}})
    claim = {"namespace": "monitoring", "name": "data-fritz-store-0"}
    world.server.keep({"kind": "PersistentVolumeClaim", "metadata": claim, "spec": requests})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "NameTaken"
    assert not [write for write in world.server.writes if write[1] == "PersistentVolumeClaim"]


def test_an_object_of_somebody_else_is_left_alone(world: World) -> None:
    theirs = {"kind": "Service", "metadata": {"namespace": "monitoring", "name": "fritz-store"}, "spec": {"theirs": True}}
    world.server.keep(theirs)
    world.reconcile()
    assert world.server.items["Service", "monitoring", "fritz-store"]["spec"] == {"theirs": True}
    assert world.condition("Ready")["reason"] == "NameTaken"
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
    extra = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ours["metadata"] | {"name": "fritz-statsd", "uid": "1"},
        "spec": {},
    }
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
    assert world.condition("Ready")["reason"] == "QuotaExceeded"
    assert "exceeded quota" in world.condition("Degraded")["message"]
    assert ("apply", "DaemonSet", "fritz-agent") in world.server.writes


def test_a_passing_fault_is_retried(world: World) -> None:
    world.server.faults["ConfigMap"] = Retry("the API server is away")
    with pytest.raises(Retry):
        world.reconcile()
    world.server.faults.clear()
    world.reconcile()
    assert ("ConfigMap", "monitoring", "fritz-agent") in world.server.items


def specs(world: World) -> dict[Any, Any]:
    """An event may be lost: better than there twice."""
    return {place: item.get("spec") for place, item in world.server.items.items() if place[0] not in ("Secret", "Event")}


def test_killed_anywhere_it_goes_on(server: Server) -> None:
    """The n-th write fails for good, another operator goes on: the objects are those of an undisturbed run."""
    undisturbed = World(Server())
    undisturbed.reconcile()
    wanted = specs(undisturbed)
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
        world.begin()
        world.see()
        world.reconcile()
        assert specs(world) == wanted


def test_deletion_is_left_to_the_garbage_collector_but_for_rights_in_the_cluster(world: World) -> None:
    """Though somebody's finalizer may hold the resource for ever: what it still has, it has in its namespace."""
    world.reconcile()
    world.server.writes.clear()
    world.resource()["metadata"]["deletionTimestamp"] = "now"
    world.see()
    assert world.reconcile()
    assert [(verb, kind) for verb, kind, _ in world.server.writes] == [("delete", "ClusterRoleBinding")] * 2
    assert world.reconcile()
    assert len(world.server.writes) == 2
    assert asyncio.run(world.reconciler.reconcile(Key("monitoring", "unknown")))


BOUND = ("ClusterRoleBinding", "", "monitoring-metricscluster-pods:monitoring:fritz")


def test_rights_in_the_cluster_go_with_the_resource_however_late_it_is_seen(world: World) -> None:
    """Nothing without a namespace has an owner: an operator that was away when the resource went finds it by its labels."""
    world.reconcile()
    del world.server.items["MetricsCluster", *KEY]
    world.begin()
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
    assert world.condition("Ready")["reason"] == "NameTaken"


def test_without_rights_in_the_cluster_it_says_what_is_missing(server: Server) -> None:
    world = World(server)
    world.begin(Site("r", "t"))
    world.see()
    world.reconcile()
    assert not [place for place in server.items if place[0] == "ClusterRoleBinding"]
    assert world.condition("Ready")["reason"] == "StoreNotReady"
    found = world.condition("Degraded")
    assert (found["status"], found["reason"]) == ("True", "ClusterRightsMissing")
    assert "ids alone" in found["message"]
    assert "clusterRights" in found["message"]


def test_an_invalid_spec_is_told_and_nothing_touched(server: Server) -> None:
    world = World(server, {"store": {"limits": {"series": 1}}})
    assert world.reconcile()
    assert [verb for verb, kind, _ in server.writes if kind != "Event"] == ["status"]
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert "spec.store.limits.series" in world.condition("Ready")["message"]


def test_fields_of_a_newer_definition_are_told_and_hold_up_nothing(server: Server) -> None:
    """Where another release has brought one that fills them in."""
    metric = {"name": "flops_any", "newer": {"x": 1}}
    world = World(server, {"newer": False, "store": {"newer": "", "retention": {"disk": "7d"}}, "metrics": [metric]})
    world.reconcile()
    text = "does not know spec.newer, spec.store.newer, spec.metrics[0].newer; upgrade it"
    assert world.condition("Degraded")["reason"] == "DefinitionNewer"
    assert text in world.condition("Degraded")["message"]
    assert '"7d"' in world.item("ConfigMap", "fritz-store")["data"]["config.json"]
    assert "newer" in world.resource()["spec"], "it is not ours to change"


def test_what_is_deleted_and_held_by_others_is_told(world: World) -> None:
    world.reconcile()
    held = world.item("Service", "fritz-store")["metadata"]
    held |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/held"]}
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Refused"
    assert "whoever set example.com/held has to remove that" in world.condition("Ready")["message"]
    held["finalizers"] = ["foregroundDeletion"]
    world.see()
    with pytest.raises(Retry, match="being deleted"):
        world.reconcile()


def test_a_status_of_another_version_is_replaced(world: World) -> None:
    world.resource()["status"] = {"phase": "Running"}
    world.see()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "StoreNotReady"
