"""What a workload uses and what it sends: asked as DC/OS clients do, of the store and of the agent on the workload's node."""

import json
import sys
from typing import Any, NamedTuple

import pytest
import yaml

from . import kubernetes as k
from .asking import AGENT, STORE, Answer, Question, ask, ask_all
from .conftest import CLIENT

pytestmark = pytest.mark.timeout(240)
NAMESPACE = "shop"
# Every 0.5 s: a gauge, a counter, a timer, and a claim to be somebody else, which must not be believed.
SEND = """
import os, socket, time
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
place = os.environ["STATSD_UDP_HOST"], int(os.environ["STATSD_UDP_PORT"])
me, other = os.environ["ME"], "f" * 64
while True:
    try:
        socket.sendto(f"shop.orders:{os.environ['ORDERS']}|g|#me:{me}\\nshop.visits:1|c\\nshop.answer:12|ms".encode(), place)
        socket.sendto(f"shop.claim:1|g|#container_id:{other}".encode(), place)
    except OSError as error:  # its name is not known before the first agent is
        print(error, flush=True)
    time.sleep(0.5)
"""


class Workload(NamedTuple):
    """A running pod that sends StatsD."""

    pod: dict[str, Any]
    orders: float

    @property
    def node(self) -> str:
        return str(self.pod["spec"]["nodeName"])

    @property
    def container(self) -> str:
        return str(self.pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2])


def deployment(name: str, node: str, orders: float) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "secret-plan": "yes"}
    environment = {"ORDERS": str(orders), "ME": name}
    container = {key: value for key, value in CLIENT.items() if key != "volumeMounts"} | {
        "name": "web",
        "command": ["python3", "-c", SEND],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"limits": {"memory": "64Mi", "cpu": "200m"}},
    }
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec | {"containers": [container]}},
        },
    }


@pytest.fixture(scope="module")
def workloads(nodes: list[str], seconds_to_ready: float) -> dict[str, Workload]:
    """Two Deployments in another namespace, on the first and on the last node; the command tells them where to send."""
    k.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    wanted = {"checkout": (nodes[0], 3.0), "basket": (nodes[-1], 7.0)}
    written = yaml.safe_dump_all(deployment(name, node, orders) for name, (node, orders) in wanted.items())
    inject = ("inject", "--metricscluster", f"{k.NAMESPACE}/{k.NAME}", "-")
    k.run("kubectl", "apply", "-f", "-", stdin=k.run(sys.executable, "-m", "metricscluster", *inject, stdin=written).stdout)
    found = {}
    for name, (_, orders) in wanted.items():
        k.run("kubectl", "-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=60s")
        listed = k.run("kubectl", "-n", NAMESPACE, "get", "pods", "-l", f"app.kubernetes.io/name={name}", "-o", "json").stdout
        found[name] = Workload(json.loads(listed)["items"][0], orders)
    return found


def prefixes(node: str) -> list[str]:
    """Where the node's numbers are found: at the store and at the node's agent, each under both of DC/OS' prefixes."""
    by_name = f"/system/v1/agent/{node}/metrics/v0"
    return [f"{STORE}/system/v1/metrics/v0", STORE + by_name, f"{AGENT}/system/v1/metrics/v0", AGENT + by_name]


def everywhere(clients: dict[str, str], node: str, resource: str) -> list[Answer]:
    """The answers of all four."""
    urls = [f"{prefix}/{resource}" for prefix in prefixes(node)]
    urls[0] += f"?node={node}"
    return ask_all(clients[node], [Question(url) for url in urls])


def points(answer: Answer) -> dict[str, dict[str, Any]]:
    """Name -> datapoint."""
    return {point["name"]: point for point in answer.json()["datapoints"]}


def test_containers_are_listed(clients: dict[str, str], workloads: dict[str, Workload]) -> None:
    for each in workloads.values():

        def listed(each: Workload = each) -> bool:
            return all(each.container in answer.json() for answer in everywhere(clients, each.node, "containers"))

        k.eventually(listed, seconds=30, what=f"{each.container} at every route")


def test_resources_of_a_container_and_whose_it_is(clients: dict[str, str], workloads: dict[str, Workload]) -> None:
    each = workloads["checkout"]
    about = each.pod["metadata"]

    def told() -> list[Answer]:
        answers = everywhere(clients, each.node, f"containers/{each.container}")
        assert all("task_name" in answer.json()["dimensions"] for answer in answers), answers
        assert all(points(answer)["net.tx.bytes"]["value"] for answer in answers), "measured before it has sent"
        return answers

    for answer in k.eventually(told, seconds=30, what="the container with its pod's name"):
        dimensions = answer.json()["dimensions"]
        assert (
            dimensions
            | {
                "mesos_id": each.node,
                "hostname": each.node,
                "cluster_id": k.NAME,
                "container_id": each.container,
                "task_name": about["name"],
                "task_id": f"{NAMESPACE}/{about['name']}/web",
                "executor_id": about["uid"],
                "framework_name": "checkout",
                "framework_id": "Deployment",
                "framework_role": NAMESPACE,
            }
            == dimensions
        )
        assert "checkout" in dimensions["labels"].values()
        assert "yes" not in dimensions["labels"].values(), "only labels of the allow-list"
        found = points(answer)
        assert found["mem.limit"]["value"] == 64 * 1024**2
        assert found["mem.total"]["value"] > 0
        assert found["cpus.limit"]["value"] == pytest.approx(0.2)
        assert found["cpus.user.time"]["unit"] == "seconds"
        assert found["net.tx.bytes"]["value"] > 0


@pytest.mark.parametrize("name", ["checkout", "basket"])
def test_what_a_workload_sends(clients: dict[str, str], workloads: dict[str, Workload], name: str) -> None:
    """Its numbers are its own, by the address they come from, wherever it runs and whatever the packet says."""
    each = workloads[name]
    resources = [f"containers/{each.container}/app", f"containers/{each.container}/app/shop.orders"]

    def sent() -> bool:
        for resource in resources:
            for answer in everywhere(clients, each.node, resource):
                point = points(answer)["shop.orders"] if answer.status == 200 else {}
                assert point.get("value") == each.orders, answer
                assert point["tags"]["me"] == name
        for answer in everywhere(clients, each.node, resources[0]):
            found = points(answer)
            assert {"shop.visits", "shop.answer.count", "shop.answer.p99", "shop.claim"} <= found.keys(), found.keys()
        return True

    k.eventually(sent, seconds=30, what=f"shop.orders of {name} at every route")
    for answer in everywhere(clients, each.node, resources[1]):
        assert points(answer).keys() == {"shop.orders"}
    for answer in everywhere(clients, each.node, f"containers/{'f' * 64}/app"):
        assert answer.status == 204, "nobody's numbers go to whom a packet names"


def test_prometheus_shows_it_with_the_pods_name(clients: dict[str, str], workloads: dict[str, Workload]) -> None:
    each = workloads["checkout"]
    labels = f'pod="{each.pod["metadata"]["name"]}"', f'type_id="{each.container}"'

    def shown() -> bool:
        answer = ask(clients[each.node], f"{STORE}/metrics?cluster={k.NAME}&hostname={each.node}")
        lines = [line for line in answer.text.splitlines() if line.startswith("shop_orders{")]
        return any(all(label in line for label in labels) for line in lines)

    k.eventually(shown, seconds=30, what="shop_orders with the pod's name")


def test_another_nodes_agent_does_not_answer_for_it(clients: dict[str, str], workloads: dict[str, Workload]) -> None:
    here, there = workloads["checkout"], workloads["basket"]
    if here.node == there.node:
        pytest.skip("there is one node only")
    asked = ask(clients[here.node], f"{AGENT}/system/v1/agent/{there.node}/metrics/v0/node")
    assert asked.status == 404
