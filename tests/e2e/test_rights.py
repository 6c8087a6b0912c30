"""What our ServiceAccounts did in this run, as the API server's audit log has it: every right that they have was used, and none
was missing. Runs after all others.

E2E_AUDIT_LOG names the log; other clusters than those of shared/kube have one if they are told to.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from charts import render

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)  # at the end of the last of them the installation is removed
LOG = Path(os.environ.get("E2E_AUDIT_LOG") or Path(os.environ.get("KUBE_DIR", "/tmp/kube"), "logs", "audit.log"))
OPERATOR = "metricscluster-operator"
FILES = {path.name for path in Path(__file__).parent.glob("test_*.py")}


class Request(NamedTuple):
    """One request of a ServiceAccount."""

    namespace: str
    account: str
    verb: str
    what: str  # resource.group, with its subresource
    status: int
    forbidden: bool  # by RBAC: quotas, namespaces that go and volumes that cannot grow answer 403 too
    text: str


def requests() -> list[Request]:
    """Of the accounts that we make."""
    if not LOG.exists():
        pytest.skip(f"there is no audit log at {LOG}; E2E_AUDIT_LOG names another")
    found = []
    for line in LOG.read_text().rpartition("\n")[0].splitlines():  # the last may be half written
        event = json.loads(line)
        *_, namespace, account = f":{event['user']['username']}".split(":")
        if event["stage"] in {"ResponseStarted", "ResponseComplete"} and account.endswith(("-operator", "-store", "-agent")):
            about = event.get("objectRef", {})
            what = named(about.get("resource", ""), about.get("apiGroup", ""), about.get("subresource", ""))
            status = event.get("responseStatus", {}).get("code", 0)
            forbidden = event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
            text = f"{account}: {event['verb']} {event['requestURI']}"
            found.append(Request(namespace, account, event["verb"], what, status, forbidden, text))
    return found


def named(resource: str, group: str, subresource: str = "") -> str:
    return ".".join(part for part in ("/".join(part for part in (resource, subresource) if part), group) if part)


def rights(rules: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for rule in rules:
        for resource in rule["resources"]:
            plural, _, subresource = resource.partition("/")
            for verb in rule["verbs"]:
                yield verb, named(plural, rule["apiGroups"][0], subresource)


def stray(kind: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object that another version of the operator made for the MetricsCluster."""
    resource = k.get("metricscluster", k.NAME)
    labels = k.get("service", f"{k.NAME}-store")["metadata"]["labels"]
    owner = {"apiVersion": resource["apiVersion"], "kind": resource["kind"], "name": k.NAME, "controller": True}
    about = {"name": f"{k.NAME}-stray", "namespace": k.NAMESPACE, "labels": labels}
    about["ownerReferences"] = [owner | {"uid": resource["metadata"]["uid"]}]
    return {"apiVersion": version, "kind": kind, "metadata": about} | ({"spec": spec} if spec else {})


def test_what_another_version_made_is_removed() -> None:
    """Of every kind; the rights to do so are used here, and seldom else."""
    labels = {"stray": "yes"}
    container = {"name": "stray", "image": "stray", "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "nodeSelector": {"stray": "none"}}}
    workload = {"selector": {"matchLabels": labels}, "template": template}
    strays = [
        stray("ServiceAccount", "v1", {}),
        stray("ConfigMap", "v1", {}),
        stray("Service", "v1", {"clusterIP": "None", "selector": labels}),
        stray("NetworkPolicy", "networking.k8s.io/v1", {"podSelector": {"matchLabels": labels}}),
        stray("PodDisruptionBudget", "policy/v1", {"maxUnavailable": 1, "selector": {"matchLabels": labels}}),
        stray("StatefulSet", "apps/v1", workload | {"serviceName": "stray", "replicas": 0}),
        stray("DaemonSet", "apps/v1", workload),
    ]
    k.apply(*strays)

    def gone() -> bool:
        left = [one["kind"] for one in strays if k.kubectl("get", one["kind"], f"{k.NAME}-stray", "--ignore-not-found")]
        assert not left, left
        return True

    k.eventually(gone, seconds=30, what="the operator removes what it does not want")
    k.kubectl("wait", "--for=condition=Ready", f"metricscluster/{k.NAME}", "--timeout=60s")


def test_nothing_was_forbidden() -> None:
    """To the installation that all tests share. `helm uninstall` (test_helm.py) takes the rights of pods that still end."""
    assert sorted({one.text for one in requests() if one.forbidden and one.namespace == k.NAMESPACE}) == []


def test_every_right_was_used(request: pytest.FixtureRequest) -> None:
    """Server-side apply of what is not there yet is a `patch` that needs `create` too, and is answered with 201."""
    if lacking := FILES - {item.path.name for item in request.session.items}:
        pytest.skip(f"not all tests run: {', '.join(sorted(lacking))} missing")
    roles = {found["metadata"]["name"]: found["rules"] for found in render() if found["kind"] in {"Role", "ClusterRole"}}
    prefix = f"{k.NAMESPACE}-metricscluster"
    granted = {
        OPERATOR: {*rights(roles[OPERATOR]), *rights(roles[f"{prefix}-bindings"])},
        f"{k.NAME}-agent": {*rights(roles[f"{prefix}-pods"]), *rights(roles[f"{prefix}-reviews"])},
        f"{k.NAME}-store": {*rights(roles[f"{prefix}-reviews"])},
    }
    # Nobody may grant what he has not: these the operator passes on.
    passed_on = {*rights(roles[f"{prefix}-pods"]), *rights(roles[f"{prefix}-reviews"])} - {*rights(roles[OPERATOR])}
    used = {account: set[tuple[str, str]]() for account in granted}
    for one in requests():
        if one.account in used and one.status not in {0, 401, 403}:  # also 404: whether it is there may be asked
            used[one.account] |= {(one.verb, one.what)} | ({("create", one.what)} if one.status == 201 else set())
    unused = {account: sorted(rights - used[account]) for account, rights in granted.items()}
    unused[OPERATOR] = sorted(set(unused[OPERATOR]) - passed_on)
    assert unused == {account: [] for account in granted}
