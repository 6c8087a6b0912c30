"""Metrics of workloads beside StatsD's Service: a port of the node, pods that are scraped, files of the node."""

from typing import Any

import pytest
import yaml

from . import kubernetes as k
from .asking import STORE, ask
from .changing import change
from .conftest import CLIENT

pytestmark = pytest.mark.timeout(300)
NAMESPACE = "shop"
FOLDER = "/var/lib/metricscluster-e2e"  # of each node
# A page for Prometheus on port 8080; what it says of pods and of the host must not pass for these.
SERVE = r"""
import http.server
TEXT = b'# TYPE jobs counter\njobs_total{queue="mail",pod="other"} 42\nload_one 99\n'
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/stats"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(TEXT if found else b"")
http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()
"""
# Every 0.5 s to the node that the pod is on, whose address Kubernetes says.
SEND = """
import os, socket, time
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
place = os.environ["STATSD_UDP_HOST"], int(os.environ["STATSD_UDP_PORT"])
while True:
    socket.sendto(b"port.orders:5|g", place)
    time.sleep(0.5)
"""
# A file of the node, as its owner writes it: beside its place, then renamed.
WRITE = """
import os, pathlib, signal
folder = pathlib.Path("/textfile")
(folder / ".backup").write_text('backup_age_seconds{disk="a"} 61\\nbackup_bytes 5e9\\n')
os.chmod(folder / ".backup", 0o644)
os.rename(folder / ".backup", folder / "backup.prom")
signal.sigwait([signal.SIGTERM])
(folder / "backup.prom").unlink()
"""


def pod(name: str, node: str, script: str, *, annotations: dict[str, str] | None = None, **container: Any) -> dict[str, Any]:
    made = {key: value for key, value in CLIENT.items() if key != "volumeMounts"}
    made |= {"name": "main", "command": ["python3", "-c", script]} | container
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "containers": [made],
        },
    }


def writer(node: str) -> dict[str, Any]:
    """Root, since the folder is the node's."""
    made = pod("writer", node, WRITE, volumeMounts=[{"name": "textfile", "mountPath": "/textfile"}], securityContext={})
    made["spec"]["securityContext"] = {"runAsUser": 0}
    made["spec"]["volumes"] = [{"name": "textfile", "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"}}]
    return made


def sender(node: str) -> dict[str, Any]:
    host = {"name": "STATSD_UDP_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
    return pod("sender", node, SEND, env=[host, {"name": "STATSD_UDP_PORT", "value": "8125"}])


def scraped(node: str) -> dict[str, Any]:
    notes = {"scrape": "true", "port": "8080", "path": "/stats"}
    return pod("scraped", node, SERVE, annotations={f"prometheus.io/{name}": text for name, text in notes.items()})


@pytest.fixture(scope="module")
def containers(nodes: list[str], seconds_to_ready: float) -> Any:
    """The pods, by name the ids of their containers; agents that take what these have."""
    k.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    made = [writer(nodes[-1]), sender(nodes[0]), scraped(nodes[0])]
    k.apply(*made)
    names = [each["metadata"]["name"] for each in made]
    k.run("kubectl", "-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{name}" for name in names))
    agents = {"statsd": {"hostPort": True}, "scrape": {"enabled": True}, "textfile": {"directory": FOLDER}}
    change({"nodeAgent": agents})
    listed = yaml.safe_load(k.run("kubectl", "-n", NAMESPACE, "get", "pods", *names, "-o", "yaml").stdout)["items"]
    yield {
        each["metadata"]["name"]: each["status"]["containerStatuses"][0]["containerID"].partition("://")[2] for each in listed
    }
    k.run("kubectl", "-n", NAMESPACE, "delete", "pod", *names, "--wait=true", "--timeout=60s")
    change({"nodeAgent": {"statsd": None, "scrape": None, "textfile": None}})


def applications(client: str, node: str, container: str) -> dict[str, dict[str, Any]]:
    """Name -> datapoint of what a container's workload says, as the store has it."""
    answer = ask(client, f"{STORE}/system/v1/agent/{node}/metrics/v0/containers/{container}/app")
    return {point["name"]: point for point in answer.json()["datapoints"]}


def test_a_pod_that_asks_for_it_is_scraped(containers: dict[str, str], clients: dict[str, str], nodes: list[str]) -> None:
    def seen() -> bool:
        found = applications(clients[nodes[0]], nodes[0], containers["scraped"])
        assert found["jobs_total"]["value"] == 42, found
        assert found["jobs_total"]["tags"] == {"queue": "mail", "exported_pod": "other"}
        assert "load_one" not in found, "it is not the pod's to say"
        return True

    k.eventually(seen, seconds=40, what="jobs_total of the scraped pod")


def test_the_port_of_a_node(containers: dict[str, str], clients: dict[str, str], nodes: list[str]) -> None:
    """What comes by the node's own port is the pod's too, where the network keeps its address."""

    def seen() -> bool:
        own, unknown = (
            ask(clients[nodes[0]], f"{STORE}/system/v1/agent/{nodes[0]}/metrics/v0/containers/{each}/app/port.orders")
            for each in (containers["sender"], "unknown")
        )
        assert 200 in {own.status, unknown.status}, (own, unknown)
        if own.status != 200:
            pytest.skip("this cluster's network gives the node's address to what comes by a hostPort: it is under `unknown`")
        return bool(own.json()["datapoints"][0]["value"] == 5)

    k.eventually(seen, seconds=40, what="port.orders of the sender")


def test_a_file_of_a_node(containers: dict[str, str], clients: dict[str, str], nodes: list[str]) -> None:
    node = nodes[-1]

    def seen() -> bool:
        lines = ask(clients[node], f"{STORE}/metrics?cluster={k.NAME}&hostname={node}").text.splitlines()
        place = f'cluster="{k.NAME}",hostname="{node}"'
        return {f"backup_bytes{{{place}}} 5000000000.0", f'backup_age_seconds{{{place},disk="a"}} 61.0'} <= set(lines)

    k.eventually(seen, seconds=40, what="the file's numbers at its node")
