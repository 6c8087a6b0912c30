import copy
from typing import Any

import pytest

from metricsoperator import names, observed
from metricsoperator.observed import Key, Observed, key_of, needed, needed_of_pod
from metricsoperator.trouble import answering

NAMES = sorted(names.children("fritz"))


def item(
    name: str = NAMES[0], *, version: int = 1, uid: str = "u", kind: str = "Service", of: str = "fritz", **more: Any
) -> dict[str, Any]:
    owner = {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "name": of, "uid": "o", "controller": True}
    about = {"namespace": "m", "name": name, "uid": uid, "resourceVersion": str(version), "managedFields": []}
    return {"apiVersion": "v1", "kind": kind, "metadata": about | {"ownerReferences": [owner]}} | more


def version(seen: Observed) -> str | None:
    found = seen.get("Service", "m", NAMES[0])
    return found["metadata"]["resourceVersion"] if found else None


def test_a_watch_that_is_behind_changes_nothing() -> None:
    seen = Observed()
    seen.put(item(version=9))
    seen.put(item(version=10))
    seen.put(item(version=9))
    assert version(seen) == "10"
    seen.put(item(version=3, uid="another"))
    assert version(seen) == "3", "another object of the same name"


def test_what_a_list_lacks_is_gone_unless_seen_since() -> None:
    seen = Observed()
    seen.put(item(NAMES[0]))
    since = seen.tick()
    seen.put(item(NAMES[1]))
    seen.replace("Service", [item(NAMES[2])], since)
    assert [seen.get("Service", "m", name) is not None for name in NAMES[:3]] == [False, True, True]


def test_a_list_of_one_kind_leaves_the_others() -> None:
    seen = Observed()
    seen.put(item("fritz", kind="MetricsCluster"))
    seen.replace("Service", [], seen.tick())
    assert seen.keys() == {Key("m", "fritz")}


def binding(name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": "fritz", "metricscluster.io/namespace": "m"}
    return {"kind": "ClusterRoleBinding", "metadata": {"name": name, "uid": "u", "resourceVersion": "1", "labels": labels}}


def test_what_has_no_namespace_belongs_by_its_labels_and_is_not_forgotten() -> None:
    seen = Observed()
    seen.put(binding("pods:m:fritz"))
    assert seen.keys() == {Key("m", "fritz")}, "its MetricsCluster may have gone while nobody looked"
    assert [child["metadata"]["name"] for child in seen.children(Key("m", "fritz"))] == ["pods:m:fritz"]
    seen.replace("ClusterRoleBinding", [], seen.tick())
    assert seen.keys() == set()


def test_a_binding_of_another_name_is_nobodys_whatever_its_labels() -> None:
    assert key_of(binding("cluster-admin")) is None
    assert key_of(binding("pods:m:alex")) is None


def test_children_belong_by_their_controller() -> None:
    seen = Observed()
    for found in (item(NAMES[0]), item("alex-agent", of="alex"), item("fritz", kind="MetricsCluster")):
        seen.put(found)
    assert [child["metadata"]["name"] for child in seen.children(Key("m", "fritz"))] == [NAMES[0]]
    seen.drop(item(NAMES[0]))
    assert seen.children(Key("m", "fritz")) == []


@pytest.mark.parametrize(
    "owners", [[], [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "fritz", "uid": "o", "controller": True}]]
)
def test_nothing_is_kept_of_what_is_somebody_elses(owners: list[Any]) -> None:
    found, seen = item(), Observed()
    seen.put(item())
    found["metadata"] |= {"labels": {"app.kubernetes.io/instance": "fritz"}, "ownerReferences": owners}
    assert needed(found) is None
    seen.put(found)
    assert version(seen) is None, "it was ours before"


def test_of_an_object_that_nobody_wants_is_kept_what_deleting_it_takes() -> None:
    seen = Observed()
    found = item("extra", kind="ConfigMap", data={"a": "x"})
    found["metadata"]["annotations"] = {"large": "x"}
    seen.put(found)
    (kept,) = seen.children(Key("m", "fritz"))
    assert needed(kept) == kept
    assert "data" not in kept
    assert kept["metadata"].keys() == {"name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences"}


def test_what_is_too_large_is_not_kept_but_known() -> None:
    seen, place = Observed(), ("ConfigMap", "m", NAMES[0])
    seen.put(item(kind="ConfigMap", data={"a": "x" * observed.LARGEST}))
    assert (seen.get(*place), seen.too_large(*place)) == (None, True)
    seen.put(item(kind="ConfigMap", data={"a": "x"}, version=2))
    assert (seen.get(*place) is None, seen.too_large(*place)) == (False, False)


def test_of_a_resource_nothing_is_kept_that_is_not_read() -> None:
    seen = Observed()
    found = item("fritz", kind="MetricsCluster", spec={})
    found["metadata"]["annotations"] = {"large": "x"}
    seen.put(found)
    kept = seen.get("MetricsCluster", "m", "fritz")
    assert kept is not None
    assert (kept["spec"], kept["metadata"].keys()) == ({}, {"name", "namespace", "uid", "resourceVersion"})


def test_managed_fields_are_not_kept() -> None:
    seen = Observed()
    seen.put(item())
    found = seen.get("Service", "m", NAMES[0])
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_an_object_that_goes_while_a_list_runs_does_not_come_back() -> None:
    seen = Observed()
    seen.put(item(version=5))
    since = seen.tick()
    seen.drop(item(version=5))
    seen.replace("Service", [item(version=5)], since)
    assert version(seen) is None, "the list is from before it went"
    seen.replace("Service", [item(version=6)], seen.tick())
    assert version(seen) == "6", "a list that began later counts"


def test_what_takes_the_place_of_what_went_while_a_list_ran_is_seen() -> None:
    seen = Observed()
    seen.put(item(version=5))
    since = seen.tick()
    seen.drop(item(version=5))
    seen.replace("Service", [item(version=7, uid="another")], since)
    assert version(seen) == "7"


def test_of_a_pod_is_kept_what_says_why_it_does_not_run() -> None:
    """Of one of 14 kB, as an agent's with its managed fields; a part may have thousands."""
    about = {"name": "fritz-agent-x", "namespace": "m", "uid": "u", "creationTimestamp": "t", "deletionTimestamp": "t"}
    labels = {"app.kubernetes.io/instance": "fritz"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    container = {"name": "agent", "image": "i", "state": waiting, "lastState": {"terminated": {"exitCode": 1}}}
    condition = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"}
    kept = {
        "kind": "Pod",
        "metadata": about | {"labels": labels, "finalizers": ["f"], "ownerReferences": [{"uid": "o", "controller": True}]},
        "spec": {"nodeName": "n"},
        "status": {"conditions": [condition], "containerStatuses": [container]},
    }
    whole: dict[str, Any] = copy.deepcopy(kept)
    whole["metadata"] |= {"annotations": {"a": "x"}, "managedFields": [{}]}
    whole["metadata"]["labels"] |= {"other": "x"}
    whole["spec"] |= {"containers": [{}], "tolerations": [{}]}
    whole["status"] |= {"phase": "Running", "podIP": "10.0.0.1"}
    whole["status"]["conditions"][0] |= {"lastTransitionTime": "t", "lastProbeTime": None}
    whole["status"]["containerStatuses"][0] |= {"imageID": "x", "containerID": "x", "volumeMounts": [{}]}
    assert needed_of_pod(whole) == kept
    bare: dict[str, Any] = {"kind": "Pod", "metadata": {"name": "p"}}
    assert answering([needed_of_pod(bare)]) is False, "just made"
