from typing import Any

from metricsoperator.observed import Key, Observed, key_of


def item(name: str = "x", *, version: int = 1, uid: str = "u", kind: str = "Service", of: str = "fritz") -> dict[str, Any]:
    about = {"namespace": "m", "name": name, "uid": uid, "resourceVersion": str(version), "managedFields": []}
    return {"kind": kind, "metadata": about | {"labels": {"app.kubernetes.io/instance": of}}}


def version(seen: Observed) -> str | None:
    found = seen.get("Service", "m", "x")
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
    seen.put(item("old"))
    since = seen.tick()
    seen.put(item("new"))
    seen.replace("Service", [item("listed")], since)
    assert [seen.get("Service", "m", name) is not None for name in ("old", "new", "listed")] == [False, True, True]


def test_a_list_of_one_kind_leaves_the_others() -> None:
    seen = Observed()
    seen.put(item("fritz", kind="MetricsCluster"))
    seen.replace("Service", [], seen.tick())
    assert seen.keys() == {Key("m", "fritz")}


def test_what_has_no_namespace_belongs_by_its_labels_and_is_not_forgotten() -> None:
    seen = Observed()
    labels = {"app.kubernetes.io/instance": "fritz", "metricscluster.io/namespace": "m"}
    seen.put({"kind": "ClusterRoleBinding", "metadata": {"name": "b", "uid": "u", "resourceVersion": "1", "labels": labels}})
    assert seen.keys() == {Key("m", "fritz")}, "its MetricsCluster may have gone while nobody looked"
    assert [child["metadata"]["name"] for child in seen.children(Key("m", "fritz"))] == ["b"]
    seen.replace("ClusterRoleBinding", [], seen.tick())
    assert seen.keys() == set()


def test_children_belong_by_label_and_namespace() -> None:
    seen = Observed()
    for found in (item("a"), item("b", of="alex"), item("fritz", kind="MetricsCluster")):
        seen.put(found)
    assert [child["metadata"]["name"] for child in seen.children(Key("m", "fritz"))] == ["a"]
    assert key_of(item("b", of="alex")) == Key("m", "alex")
    seen.drop(item("a"))
    assert seen.children(Key("m", "fritz")) == []


def test_managed_fields_are_not_kept() -> None:
    seen = Observed()
    seen.put(item())
    found = seen.get("Service", "m", "x")
    assert found is not None
    assert "managedFields" not in found["metadata"]
