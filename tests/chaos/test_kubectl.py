"""The command against a real kube-apiserver, through the real kubectl: what a program in its place may get wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.controlplane import ADMIN, BINARIES, ControlPlane, needed
from kubeapi import wait_for
from metricscluster.__main__ import main
from metricscluster.kubectl import Conflict, Kubectl
from metricscluster.podspecs import HOST
from metricsoperator.crd import definition

pytestmark = [needed, pytest.mark.controlplane, pytest.mark.timeout(300)]
Command = Callable[..., tuple[int, str, str]]
READER = "shop:reader"
CUSTOM = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FRITZ = {
    "apiVersion": "metricscluster.io/v1alpha1",
    "kind": "MetricsCluster",
    "metadata": {"name": "fritz", "namespace": "monitoring"},
    "spec": {},
}
FRITZES = "/apis/metricscluster.io/v1alpha1/namespaces/monitoring/metricsclusters"
WEB = "/apis/apps/v1/namespaces/shop/deployments"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("plane"), accounts=(READER,))
    try:
        for namespace in ("monitoring", "shop"):
            made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        made.ask("POST", CUSTOM, definition())
        wait_for("kubectl knows the kind", lambda: knows(made, "metricsclusters.metricscluster.io"))
        yield made
    finally:
        made.stop()


def knows(plane: ControlPlane, kind: str) -> bool:
    """Discovery, which kubectl asks, names a kind later than its own path answers."""
    command = [BINARIES / "kubectl", f"--server={plane.url}", f"--token={ADMIN}", "--insecure-skip-tls-verify", "get", kind]
    return not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture
def config(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig with the contexts `admin` in namespace shop and `reader` in none, and KUBECONFIG elsewhere."""
    server = {"server": plane.url, "insecure-skip-tls-verify": True}
    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": ADMIN,
        "contexts": [
            {"name": ADMIN, "context": {"cluster": "c", "user": ADMIN, "namespace": "shop"}},
            {"name": "reader", "context": {"cluster": "c", "user": "reader"}},
        ],
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": ADMIN, "user": {"token": ADMIN}}, {"name": "reader", "user": {"token": READER}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(found))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", f"{BINARIES}{os.pathsep}{os.environ['PATH']}")
    return path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit status, standard output, standard error of `metricscluster ARGUMENTS`."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metricscluster", *map(str, arguments)])
        return main(), *capsys.readouterr()

    return command


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    pods = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "i"}, {"name": "b", "image": "i"}]},
    }
    spec = {"selector": {"matchLabels": labels}, "template": pods}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_inject(plane: ControlPlane, config: Path, command: Command) -> None:
    plane.ask("POST", WEB, deployment("web"))
    arguments = ("inject", "deploy/web", "--metricscluster", "monitoring/fritz", "--kubeconfig", config)
    assert command(*arguments) == (0, "deployment.apps/web injected into 2 containers\n", "")
    found = plane.ask("GET", f"{WEB}/web")
    for container in found["spec"]["template"]["spec"]["containers"]:
        assert container["env"][0] == {"name": HOST, "value": "fritz-agent.monitoring"}
    assert "metricscluster-inject" in {one["manager"] for one in found["metadata"]["managedFields"]}
    assert command(*arguments) == (0, "deployment.apps/web unchanged\n", "")
    status, _, err = command(*arguments, "--context", "reader", "-n", "shop")
    assert status == 1
    assert err.startswith('cannot get deployments.apps web: deployments.apps "web" is forbidden: User ')


def test_a_change_in_between_is_a_conflict(plane: ControlPlane, config: Path) -> None:
    plane.ask("POST", WEB, deployment("quick"))
    kube = Kubectl([f"--kubeconfig={config}"])
    patch = json.dumps({"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}})
    with pytest.raises(Conflict, match=r"cannot try: Operation cannot be fulfilled on deployments\.apps \"quick\""):
        kube.text("try", "patch", "deployments.apps", "quick", "--type=strategic", "-p", patch)


def test_status_tells_where_and_that_no_operator_runs(plane: ControlPlane, config: Path, command: Command) -> None:
    plane.ask("DELETE", f"{FRITZES}/fritz")
    where = ("status", "--kubeconfig", config)
    none = "cannot find a MetricsCluster: there is none in this namespace; in all namespaces there are"
    assert command(*where) == (1, "", f"{none} none\n")
    plane.ask("POST", FRITZES, FRITZ)
    assert command(*where) == (1, "", f"{none} monitoring/fritz\n")
    status, out, err = command(*where, "-n", "monitoring")
    assert (status, err) == (1, "")
    assert "monitoring/fritz  not healthy" in out
    assert "wrong   OperatorMissing: no operator serves namespace monitoring" in out
    assert "  no conditions: no operator has looked at it" in out


def test_diagnose_takes_what_there_is(plane: ControlPlane, config: Path, command: Command, tmp_path: Path) -> None:
    plane.ask("POST", FRITZES, FRITZ)
    path = tmp_path / "found.tar.gz"
    status, out, err = command("diagnose", "fritz", "-n", "monitoring", "-o", path, "--kubeconfig", config)
    assert (status, err) == (0, "")
    assert out.startswith(f"wrote {path}: ")
