"""What agents take of the nodes that they measure (design.md section 7). E2E_COST_SECONDS: for how long that is looked at."""

import os
import re
import time
from collections.abc import Callable

import pytest

from . import kubernetes as k
from .asking import Question, ask_all

SECONDS = int(os.environ.get("E2E_COST_SECONDS", "20"))
pytestmark = pytest.mark.timeout(120 + SECONDS)
RESIDENT_MAX = 70e6  # bytes; 60 MB are aimed at, some are for what a loaded test machine maps at a time
SAMPLES = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds")


def agents() -> list[tuple[str, str]]:
    """Node and address of the metrics of each agent."""
    found = k.get("pods", "-l", f"app.kubernetes.io/instance={k.NAME},app.kubernetes.io/component=agent")["items"]
    ports = {port["name"]: port["containerPort"] for port in found[0]["spec"]["containers"][0]["ports"]}
    return sorted((pod["spec"]["nodeName"], f"http://{pod['status']['podIP']}:{ports['metrics']}/metrics") for pod in found)


def look(pod: str) -> dict[str, dict[str, float]]:
    """By node: the agent's own metrics that count here."""
    places = agents()
    answers = ask_all(pod, [Question(url, token_file="") for _, url in places])
    found = {}
    for (node, _), answer in zip(places, answers, strict=True):
        assert answer.status == 200, answer
        values = {name: re.search(rf"^metricagent_{name} (\S+)$", answer.text, re.MULTILINE) for name in SAMPLES}
        found[node] = {name: float(value[1]) for name, value in values.items() if value}
    return found


def test_agents_stay_small(
    clients: dict[str, str],
    nodes: list[str],
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    k.kubectl("rollout", "status", f"daemonset/{k.NAME}-agent", "--timeout=60s")
    pod = clients[nodes[0]]
    before, began, resident = look(pod), time.monotonic(), dict.fromkeys(nodes, 0.0)
    while time.monotonic() - began < SECONDS:
        time.sleep(5)  # what is looked at is a time
        now = look(pod)
        resident = {node: max(resident[node], now[node]["process_resident_memory_bytes"]) for node in nodes}
    seconds = time.monotonic() - began
    for node in nodes:
        assert now[node]["process_start_time_seconds"] == before[node]["process_start_time_seconds"], "the same process"
        share = (now[node]["process_cpu_seconds_total"] - before[node]["process_cpu_seconds_total"]) / seconds
        text = f"agent of {node}: {share:.2%} of a core, at most {resident[node] / 1e6:.1f} MB over {seconds:.0f} s"
        record_property(node, text)
        with capsys.disabled():
            print(f"\n{text}", end="")
        assert 0 < resident[node] < RESIDENT_MAX
