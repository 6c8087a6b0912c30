"""Samples of every node come back, asked from within the cluster."""

import time
from typing import Any

import pytest

from . import kubernetes as k
from .asking import AGENT, STORE, ask, query
from .test_tls import arriving

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("metric", ["load_one", "mem_used", "cpu_user", "net_bytes_in"])
def test_every_node(clients: dict[str, str], nodes: list[str], metric: str) -> None:
    pod, since = clients[nodes[0]], int(time.time()) - 3600

    def samples() -> bool:
        found = query(pod, nodes, metric, since, int(time.time()) + 1)
        return all(any(value is not None for value in found.get(node, [])) for node in nodes)

    k.eventually(samples, seconds=30, what=f"{metric} of {nodes}")


def test_the_agent_of_the_own_node_answers(clients: dict[str, str]) -> None:
    def told() -> bool:
        for node, pod in clients.items():
            found = ask(pod, f"{AGENT}/system/v1/metrics/v0/node").json()
            assert found["dimensions"]["hostname"] == node
            assert {"cpu.total", "memory.total", "load.1min"} <= {point["name"] for point in found["datapoints"]}
        return True

    k.eventually(told, seconds=30, what="each node's own numbers")


def test_no_answer_without_a_token(clients: dict[str, str], nodes: list[str]) -> None:
    for url in (f"{STORE}/api/query", f"{AGENT}/system/v1/metrics/v0/node"):
        assert ask(clients[nodes[0]], url, token_file="").status == 401


def test_samples_outlive_the_store_pod(clients: dict[str, str], nodes: list[str]) -> None:
    pod, node = clients[nodes[0]], nodes[0]
    since, until = int(time.time()) - 3600, int(time.time()) - 1

    def samples() -> dict[str, Any]:
        return query(pod, [node], "load_one", since, until)

    arriving(pod, [node])  # and so whatever was measured until then
    before = k.eventually(samples, seconds=20, what=f"samples of {node}")
    k.kubectl("delete", "pod", f"{k.NAME}-store-0")
    k.kubectl("rollout", "status", f"statefulset/{k.NAME}-store", "--timeout=60s")
    k.kubectl("wait", "--for=condition=Ready", f"pod/{k.NAME}-store-0", "--timeout=60s")
    assert k.eventually(samples, seconds=30, what="the store answers again") == before
