"""What `helm test` runs in its pod, with the rights that the pod has, against an API server and a store that run here."""

import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import kubeapi
from chaos import controlplane
from chaos.program import Program
from chaos.releasing import ACCOUNT, Server
from charts import CHART, needs
from metricwire.tokens import new_pair, sign

pytestmark = [pytest.mark.controlplane, controlplane.needed, needs("helm", "kubectl"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    with kubeapi.running(folder, authorization="RBAC", accounts=(ACCOUNT,)) as api:
        found = Server(folder, api.url)
        found.helm("install", CHART)
        found.served()
        yield found


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Iterator[Program]:
    """One that runs here, and the MetricsCluster `fritz`, whose operator says that it is the store."""
    private, public = new_pair()
    (tmp_path / "public.key").write_text(public)
    program = Program(tmp_path, store={"public-key-files": [str(tmp_path / "public.key")]}, arguments=()).run()
    token = sign(private, "admin", ["admin"], issued=int(time.time()))
    made = {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": {"name": "fritz"}}
    keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fritz-keys"}, "stringData": {"admin-token": token}}
    server.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all([made, keys]))
    status = {"status": {"store": {"endpoint": f"http://127.0.0.1:{program.port}"}}}
    server.kubectl("patch", "metricscluster", "fritz", "--subresource=status", "--type=merge", "-p", yaml.safe_dump(status))
    yield program
    program.kill()
    server.kubectl("delete", "metricscluster/fritz", "secret/fritz-keys")


def helm_test(server: Server, name: str = "", seconds: float = 30) -> "subprocess.CompletedProcess[str]":
    """As the pod that the chart makes would run it, with its ServiceAccount."""
    account = server.folder / "account"
    account.mkdir(exist_ok=True)
    (account / "token").write_text(ACCOUNT)
    shutil.copy(server.folder / "certificates" / "apiserver.crt", account / "ca.crt")
    port = server.url.rpartition(":")[2]
    environment = os.environ | {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    command = [sys.executable, str(CHART / "files/test.py"), "monitoring", name, str(seconds), str(account)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_it_writes_queries_and_leaves_no_sample(server: Server, store: Program) -> None:
    keys = server.get("secret", "fritz-keys")["data"]
    token = {"Authorization": f"Bearer {base64.b64decode(keys['admin-token']).decode()}"}
    for node, metric in (("n1", "uptime"), ("n2", "load_one"), ("n3", "mem_total")):  # with any collector off
        assert store.ask("POST", "/api/write", f"{metric},cluster=c,hostname={node} value=1", headers=token).status == 200
    done = helm_test(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("MetricsCluster fritz in namespace monitoring:\n")
    assert "3 nodes report: n1, n2, n3" in done.stdout
    tree = store.ask("GET", "/api/debug?selector=helm-test", headers=token).json["data"]
    assert tree == {"helm-test": {"helm_test": []}}, "its name, and no sample"


def test_it_says_what_does_not_work(server: Server, store: Program) -> None:
    store.kill()
    done = helm_test(server, seconds=0)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot write a sample to http://127.0.0.1:{store.port}: ")


def test_a_test_of_nothing_fails(server: Server) -> None:
    done = helm_test(server)
    assert done.returncode == 1
    assert "nothing was tested: there is no MetricsCluster in namespace monitoring; make one, and test again" in done.stderr
    done = helm_test(server, "other")
    assert done.returncode == 1
    assert "nothing was tested: there is no MetricsCluster other in namespace monitoring" in done.stderr
