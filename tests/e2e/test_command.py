"""`kubectl metricscluster ...` as an administrator runs it, against this cluster: status, top, query, diagnose."""

import base64
import csv
import io
import json
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import kubernetes as k

pytestmark = pytest.mark.timeout(600)
SCHEDULED = 360  # seconds: a scheduler that missed that a volume is bound looks again after five minutes
BROKEN = "broken"
ACCOUNT = "reader"


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return k.run(sys.executable, "-m", "metricscluster", *arguments, check=False, seconds=120)


def printed(*arguments: str) -> str:
    done = command(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def secrets() -> set[str]:
    """What is in the Secrets of the namespace, but for what a Secret has in common with others."""
    values = [value for one in k.get("secrets")["items"] for value in one.get("data", {}).values()]
    return {base64.b64decode(value).decode("utf-8", "replace").strip() for value in values}


def archive(path: Path) -> dict[str, str]:
    with tarfile.open(path) as found:
        assert found.getnames()[0].endswith("/SUMMARY.txt")
        return {
            member.name.partition("/")[2]: found.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in found.getmembers()
        }


@pytest.fixture(scope="module")
def broken(seconds_to_ready: float) -> Iterator[str]:
    """A MetricsCluster whose images are nowhere, as its status says."""
    image = {"registry": "localhost/nowhere", "tag": "missing", "pullPolicy": "Never"}
    about = {"name": BROKEN, "namespace": k.NAMESPACE}
    k.apply({"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": about, "spec": {"image": image}})
    reason = "--for=jsonpath={.status.conditions[?(@.type=='StoreAvailable')].reason}=ImageNotPulled"
    try:
        k.kubectl("wait", f"metricscluster/{BROKEN}", f"--timeout={SCHEDULED}s", reason, seconds=SCHEDULED + 30)
        yield BROKEN
    finally:
        k.kubectl("delete", "metricscluster", BROKEN, "--timeout=60s")
        k.kubectl("delete", "pvc", f"data-{BROKEN}-store-0", "--ignore-not-found", "--timeout=60s")


@pytest.fixture(scope="module")
def account(seconds_to_ready: float) -> Iterator[str]:
    """A ServiceAccount that may query."""
    rbac, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    paths = ["/api/query", "/metrics"]
    role = {"kind": "ClusterRole", "name": "e2e-reader", "apiGroup": group}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": k.NAMESPACE}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": k.NAMESPACE}},
        {
            "apiVersion": rbac,
            "kind": "ClusterRole",
            "metadata": {"name": "e2e-reader"},
            "rules": [{"nonResourceURLs": paths, "verbs": ["get", "post"]}],
        },
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "e2e-reader"},
            "roleRef": role,
            "subjects": [subject],
        },
    ]
    k.apply(*documents)
    yield ACCOUNT
    k.kubectl("delete", "clusterrole/e2e-reader", "clusterrolebinding/e2e-reader")
    k.kubectl("delete", "serviceaccount", ACCOUNT)


def test_status_of_a_healthy_one(nodes: list[str]) -> None:
    def filled() -> str:
        text = printed("status", k.NAME, "-n", k.NAMESPACE)
        return text if re.search(r"[1-9][\d,]* of [\d,]+ series", text) else ""

    text = k.eventually(filled, seconds=40, what="samples have come in")
    assert f"{k.NAMESPACE}/{k.NAME}  healthy" in text
    assert f"{len(nodes)} of {len(nodes)} nodes have a ready one" in text
    assert "\x1b" not in text
    [found] = json.loads(printed("status", k.NAME, "-n", k.NAMESPACE, "-o", "json"))
    assert found["healthy"]
    assert found["wrong"] == []
    assert found["nodeAgents"]["lacking"] == []
    assert found["store"]["self"]["stored"] > 0


def test_status_of_a_broken_one(broken: str, nodes: list[str]) -> None:
    def told() -> str:
        done = command("status", broken, "-n", k.NAMESPACE)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "ImageNotPulled" in done.stdout
        assert all(f"node {node}: pod {broken}-agent-" in done.stdout for node in nodes), done.stdout
        return done.stdout

    text = k.eventually(told, seconds=40, what="status says why, of the store and of each agent")
    assert f"{k.NAMESPACE}/{broken}  not healthy" in text
    assert "localhost/nowhere/metricscluster-store:missing" in text
    both = command("status", "-n", k.NAMESPACE)
    assert both.returncode == 1
    assert f"{k.NAMESPACE}/{k.NAME}  healthy" in both.stdout


def test_top(nodes: list[str]) -> None:
    where = ("--metricscluster", f"{k.NAMESPACE}/{k.NAME}")

    def of_nodes() -> bool:
        rows = {line.split()[0]: line.split() for line in printed("top", "nodes", *where).splitlines()[1:]}
        assert rows.keys() == set(nodes)
        assert all(re.fullmatch(r"\d+\.\d\d", row[1]) for row in rows.values()), rows
        return True

    k.eventually(of_nodes, seconds=40, what="a number of each node")

    def measured() -> bool:
        text = command("top", "containers", "-n", k.NAMESPACE, *where).stdout
        rows = [line.split() for line in text.splitlines()]
        return any(row[1:3] == [f"{k.NAME}-store-0", "store"] and re.fullmatch(r"\d+\.\d\d", row[4]) for row in rows[1:])

    k.eventually(measured, seconds=60, what="the store's container")
    assert f"{k.NAME}-store-0" in printed("top", "pods", "-n", k.NAMESPACE, "--sort", "memory", *where)


def test_query(nodes: list[str], account: str) -> None:
    where = ("--metricscluster", f"{k.NAMESPACE}/{k.NAME}")
    rows = list(csv.DictReader(io.StringIO(printed("query", "load_one", *where, "-o", "csv"))))
    assert {row["hostname"] for row in rows} == set(nodes)
    assert "load_one" in printed("query", "load_one", "--host", nodes[0], *where, "-o", "plot")

    def permitted() -> bool:
        found = json.loads(printed("query", "mem_used", *where, "--service-account", account, "-o", "json"))
        return {one["host"] for one in found["series"]} == set(nodes)

    k.eventually(permitted, seconds=40, what="RBAC counts")
    other = command("query", "mem_used", *where, "--service-account", "default")
    assert (other.returncode, other.stdout) == (1, "")
    assert ": 403: " in other.stderr


@pytest.mark.parametrize("name", [k.NAME, BROKEN])
def test_diagnose(name: str, broken: str, tmp_path: Path) -> None:
    path = tmp_path / "found.tar.gz"
    began = time.monotonic()
    done = command("diagnose", name, "-n", k.NAMESPACE, "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 100
    files = archive(path)
    summary = files["SUMMARY.txt"]
    operator = next(file for file in files if file.startswith("logs/metricscluster-operator-"))
    first = k.kubectl("logs", operator.partition("/")[2].partition(".")[0]).partition("\n")[0]
    assert first in files[operator]
    assert {
        "objects/StatefulSet.json",
        "objects/ConfigMap.json",
        "objects/Event.json",
        "versions/kubectl.txt",
    } <= files.keys()
    if name == k.NAME:
        assert "nothing is known to be wrong" in summary
        assert "metricstore_series" in files[f"metrics/{name}-store-0.txt"]
        assert "series" in files["metrics/cardinality.json"]
    else:
        assert "ImageNotPulled" in summary
        assert f"logs/{name}-store-0.store.log" in summary.partition("What could not be had")[2]
    for value in secrets():
        for form in (value, base64.b64encode(value.encode()).decode()):
            assert not [file for file, text in files.items() if form in text], "a secret is in the archive"
    assert not any("PRIVATE KEY" in text for text in files.values())
