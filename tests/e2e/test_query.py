"""Samples of every node come back, asked from within the cluster."""

import time
from typing import Any

import pytest

from . import kubernetes as k

ASK = """
import json, sys, urllib.error, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() if len(sys.argv) > 2 else None
token = open("/token/admin").read()
request = urllib.request.Request(url, body, {"Authorization": "Bearer " + token, "Accept": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
        print(json.dumps({"status": answer.status, "body": json.loads(text) if text else None}))
except urllib.error.HTTPError as error:
    print(json.dumps({"status": error.code, "body": error.read().decode()}))
"""
STORE = f"http://{k.NAME}-store.{k.NAMESPACE}.svc:8082"
AGENT = f"http://{k.NAME}-agent.{k.NAMESPACE}.svc:61001"


def query(pod: str, nodes: list[str], metric: str, since: int, until: int) -> dict[str, Any]:
    """Node -> its samples in [since, until); a node without any is left out."""
    queries = ", ".join(f'{{"metric": "{metric}", "host": "{node}"}}' for node in nodes)
    body = f'{{"cluster": "{k.NAME}", "from": {since}, "to": {until}, "queries": [{queries}]}}'
    answer = k.python(pod, ASK, f"{STORE}/api/query", body)
    assert answer["status"] == 200, answer
    return {node: row[0]["data"] for node, row in zip(nodes, answer["body"]["results"], strict=True) if row}


@pytest.mark.parametrize("metric", ["load_one", "mem_used", "cpu_user", "net_bytes_in"])
def test_every_node(clients: dict[str, str], nodes: list[str], metric: str) -> None:
    pod, since = clients[nodes[0]], int(time.time()) - 3600

    def samples() -> bool:
        found = query(pod, nodes, metric, since, int(time.time()) + 1)
        return all(any(value is not None for value in found.get(node, [])) for node in nodes)

    k.eventually(samples, seconds=30, what=f"{metric} of {nodes}")


def test_the_agent_of_the_own_node_answers(clients: dict[str, str]) -> None:
    for node, pod in clients.items():
        answer = k.python(pod, ASK, f"{AGENT}/system/v1/metrics/v0/node")
        assert answer["status"] == 200, answer
        assert answer["body"]["dimensions"]["hostname"] == node
        assert {"cpu.total", "memory.total", "load.1min"} <= {point["name"] for point in answer["body"]["datapoints"]}


def test_no_answer_without_a_token(clients: dict[str, str], nodes: list[str]) -> None:
    bare = ASK.replace('"Bearer " + token', '""')
    for url in (f"{STORE}/api/query", f"{AGENT}/system/v1/metrics/v0/node"):
        assert k.python(clients[nodes[0]], bare, url)["status"] == 401


def test_samples_outlive_the_store_pod(clients: dict[str, str], nodes: list[str]) -> None:
    pod, node = clients[nodes[0]], nodes[0]
    since, until = int(time.time()) - 3600, int(time.time()) - 1

    def samples() -> dict[str, Any]:
        return query(pod, [node], "load_one", since, until)

    before = k.eventually(samples, seconds=20, what=f"samples of {node}")
    k.kubectl("delete", "pod", f"{k.NAME}-store-0")
    k.kubectl("rollout", "status", f"statefulset/{k.NAME}-store", "--timeout=60s")
    k.kubectl("wait", "--for=condition=Ready", f"pod/{k.NAME}-store-0", "--timeout=60s")
    after = k.eventually(
        lambda: query(pod, [node], "load_one", until - 3600, until), seconds=20, what="the store answers again"
    )
    assert after == before
