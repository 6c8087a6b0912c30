import asyncio
import json
from typing import Any

import pytest

from metricsoperator import preflight
from metricsoperator.apply import PAGE, Answer, Cluster
from metricsoperator.kinds import Rule, cluster_rules, granted, rules
from metricsoperator.objects import Away, Refused, Retry
from metricsoperator.preflight import check
from metricwire.errors import SettingsError

MANIFEST = {"kind": "Service", "metadata": {"namespace": "m", "name": "x", "uid": "u"}}


class Wire:
    """Answers as told, then the last one for ever; remembers what was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = [Answer(status, json.dumps(body).encode()) for status, body in answers]
        self.asked: list[tuple[str, str, Any, dict[str, Any]]] = []

    def __call__(self, method: str, path: str, body: Any, how: dict[str, Any]) -> Answer:
        self.asked.append((method, path, body, how))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def cluster(wire: Wire) -> Cluster:
    return Cluster(wire)


def test_apply_is_server_side_with_one_manager_and_force() -> None:
    wire = Wire((200, MANIFEST))
    asyncio.run(cluster(wire).apply(MANIFEST, "status"))
    method, path, body, how = wire.asked[0]
    assert (method, path, body) == ("patch", "/api/v1/namespaces/m/services/x/status", MANIFEST)
    assert how == {
        "content_type": "application/apply-patch+yaml",
        "field_manager": "metricscluster-operator",
        "force_conflicts": True,
    }


def test_delete_is_for_this_very_object_and_waits_for_nothing() -> None:
    wire = Wire((404, {}))
    asyncio.run(cluster(wire).delete(MANIFEST))
    assert wire.asked[0][2] == {"propagationPolicy": "Background", "preconditions": {"uid": "u"}}


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
def test_passing_faults_are_told_from_refusals_and_not_asked_again_here(status: int) -> None:
    wire = Wire((status, {"message": "busy"}))
    with pytest.raises(Retry, match=r"cannot apply .*: busy") as raised:
        asyncio.run(cluster(wire).apply(MANIFEST))
    assert isinstance(raised.value, Away) == (status == 0)
    assert len(wire.asked) == 1


@pytest.mark.parametrize(("status", "method"), [(403, "apply"), (404, "apply"), (422, "apply"), (409, "create")])
def test_refusals_are_final(status: int, method: str) -> None:
    wire = Wire((status, {"message": "no"}))
    with pytest.raises(Refused, match="no") as raised:
        asyncio.run(getattr(cluster(wire), method)(MANIFEST))
    assert (raised.value.status, len(wire.asked)) == (status, 1)


def test_an_answer_that_is_no_status_is_quoted() -> None:
    wire = Wire((400, "gateway says no"))
    with pytest.raises(Refused, match='400 "gateway says no"'):
        asyncio.run(cluster(wire).apply(MANIFEST))


def test_get_of_nothing_is_none() -> None:
    assert asyncio.run(cluster(Wire((404, {}))).get("Service", "m", "x")) is None


def test_items_of_a_list_say_what_they_are() -> None:
    wire = Wire((200, {"items": [{"metadata": {"name": "x"}}]}))
    found = asyncio.run(cluster(wire).list("StatefulSet", "m", "a=b"))
    assert found == [{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}}]
    assert wire.asked[0][1:] == ("/apis/apps/v1/namespaces/m/statefulsets", None, {"label_selector": "a=b", "limit": PAGE})


def test_a_list_comes_in_pages_of_which_only_what_is_kept_stays() -> None:
    pages = [{"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "more"}}, {"items": [{"n": 3}], "metadata": {}}]
    wire = Wire(*((200, page) for page in pages))
    found = asyncio.run(cluster(wire).list("Service", "m", "", keep=lambda item: {"n": item["n"]} if item["n"] != 2 else None))
    assert found == [{"n": 1}, {"n": 3}]
    assert [how.get("_continue") for _, _, _, how in wire.asked] == [None, "more"]


def test_a_list_that_takes_too_long_is_begun_anew_later() -> None:
    wire = Wire((410, {"message": "The provided continue parameter is too old"}))
    with pytest.raises(Retry, match="too old"):
        asyncio.run(cluster(wire).list("Service", "m", ""))


class Rights(Wire):
    """An API server that grants everything but one right."""

    def __init__(self, lacking: str = "", crd: bool = True) -> None:
        super().__init__((200, {}))
        self.lacking, self.crd = lacking, crd

    def __call__(self, method: str, path: str, body: Any, how: dict[str, Any]) -> Answer:
        self.asked.append((method, path, body, how))
        if method == "get":
            return Answer(200 if self.crd else 404, b'{"items": []}')
        right = body["spec"]["resourceAttributes"]
        allowed = f"{right['verb']} {right['resource']}" != self.lacking
        return Answer(201, json.dumps({"status": {"allowed": allowed}}).encode())


@pytest.mark.parametrize(
    ("wire", "namespace", "message"),
    [
        (Rights("patch daemonsets"), "m", "cannot start: the right patch daemonsets.apps in namespace m"),
        (Rights("get secrets"), "", "cannot start: the right get secrets in all namespaces (a ClusterRole)"),
        (Rights("patch metricsclusters"), "m", "patch metricsclusters/status.metricscluster.io in namespace m"),
        (Rights("create subjectaccessreviews"), "m", "subjectaccessreviews.authorization.k8s.io in all namespaces"),
        (Rights(crd=False), "m", "the CustomResourceDefinition metricsclusters.metricscluster.io"),
    ],
)
def test_what_is_missing_is_named_at_the_start(wire: Rights, namespace: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        asyncio.run(check(cluster(wire), namespace, cluster=True, attempts=2, pause=0))
    assert message in str(raised.value)


def test_an_api_server_that_is_away_at_the_start_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError, match="cannot start: an API server that answers: "):
        asyncio.run(check(Cluster(Wire((0, {}))), "m", cluster=False, attempts=4, pause=0.001))
    assert [text.partition(" answers: ")[0] for text in caplog.messages] == ["waiting up to 0 s for an API server that"], "once"


def test_a_change_of_one_version_is_not_repeated() -> None:
    wire = Wire((409, {"message": "the object has been modified"}))
    with pytest.raises(Retry, match="the object has been modified"):
        asyncio.run(cluster(wire).merge("Secret", "m", "x", {"data": {"a": None}}))
    assert len(wire.asked) == 1
    assert wire.asked[0][3]["content_type"] == "application/merge-patch+json"


def test_what_owns_nothing_any_more() -> None:
    wire = Wire((200, {}))
    asyncio.run(cluster(wire).delete(MANIFEST, orphan=True))
    assert wire.asked[0][2]["propagationPolicy"] == "Orphan"


def test_requests_are_counted_each() -> None:
    counted: list[tuple[str, int]] = []
    wire = Wire((200, MANIFEST), (500, {}))
    asked = Cluster(wire, count=lambda verb, status: counted.append((verb, status)))
    asyncio.run(asked.apply(MANIFEST))
    with pytest.raises(Retry):
        asyncio.run(asked.apply(MANIFEST))
    assert counted == [("apply", 200), ("apply", 500)]


@pytest.mark.parametrize(("beyond", "expected"), [(True, [*rules(), *cluster_rules()]), (False, rules())])
def test_every_right_is_asked_for(beyond: bool, expected: list[Rule]) -> None:
    wire = Rights()
    asyncio.run(check(cluster(wire), "m", cluster=beyond))
    assert len(wire.asked) == sum(len(rule["resources"]) * len(rule["verbs"]) for rule in expected) + 1
    assert preflight.ATTEMPTS > 1


def test_rights_are_few() -> None:
    for rule in [*rules(), *cluster_rules()]:
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get", "create", "patch"]
        if "events" in rule["resources"]:
            assert rule["verbs"] == ["list", "create", "patch"]
        if "persistentvolumeclaims" in rule["resources"]:
            assert rule["verbs"] == ["get", "patch"]


def test_the_operator_has_what_it_grants() -> None:
    """Kubernetes lets nobody bind a role with a right that he has not."""
    for found in granted().values():
        assert all(rule in cluster_rules() for rule in found)


def test_an_object_without_a_namespace_has_its_place() -> None:
    wire = Wire((200, {}))
    asyncio.run(cluster(wire).apply({"kind": "ClusterRoleBinding", "metadata": {"name": "a:b"}}))
    asyncio.run(cluster(wire).delete({"kind": "ClusterRoleBinding", "metadata": {"name": "a:b", "uid": "u"}}))
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/a:b"
    assert [(method, where) for method, where, _, _ in wire.asked] == [("patch", path), ("delete", path)]
