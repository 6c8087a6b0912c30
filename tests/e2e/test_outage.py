"""The store is away for a while: what agents measured meanwhile comes after, and no sample is missing."""

import json
import os
import time

import pytest

from . import kubernetes as k
from .asking import query

SECONDS = int(os.environ.get("E2E_OUTAGE_SECONDS", "30"))
pytestmark = pytest.mark.timeout(500 + SECONDS)
INTERVAL = 5  # seconds; of the example


def scale(replicas: int) -> None:
    """The operator would undo it: it is told to look on."""
    k.kubectl("patch", "metricscluster", k.NAME, "--type=merge", "-p", json.dumps({"spec": {"paused": not replicas}}))
    if not replicas:
        paused = "--for=jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=Paused"
        k.kubectl("wait", f"metricscluster/{k.NAME}", "--timeout=60s", paused)
    k.kubectl("scale", f"statefulset/{k.NAME}-store", f"--replicas={replicas}")


def test_no_hole(clients: dict[str, str], nodes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pod = clients[nodes[0]]
    # A test before may have changed the agents: while one is replaced nothing is measured.
    k.kubectl("rollout", "status", f"daemonset/{k.NAME}-agent", "--timeout=60s")
    replaced = int(time.time())

    def flowing() -> int:
        now = int(time.time())
        found = query(pod, nodes, "load_one", max(replaced + INTERVAL, now - 2 * INTERVAL), now)
        return now if all(any(value is not None for value in found.get(node, [])) for node in nodes) else 0

    began = k.eventually(flowing, seconds=60, what="samples of every node")
    try:
        scale(0)
        k.kubectl("wait", "--for=delete", f"pod/{k.NAME}-store-0", "--timeout=90s")
        time.sleep(SECONDS)  # the outage itself
    finally:
        scale(1)
    ended = int(time.time())
    k.kubectl("rollout", "status", f"statefulset/{k.NAME}-store", "--timeout=90s")

    def whole() -> dict[str, list[float | None]]:
        found = query(pod, nodes, "load_one", began, ended)
        expected = (ended - began) // INTERVAL - 1
        for node in nodes:
            values = found.get(node, [])
            assert len(values) >= expected, (node, values)
            assert None not in values, (node, values)
        return found

    found = k.eventually(whole, seconds=90, what="every sample of the outage, of every node")
    with capsys.disabled():
        counts = {node: len(values) for node, values in found.items()}
        print(f"\nstore away for {SECONDS} s: load_one from {began} to {ended}: {counts}, none missing")
