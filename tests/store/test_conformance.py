"""The recorded answers of a real cc-metric-store, step by step (../shared/conformance/README.md has the rules)."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).parents[1] / "golden" / "cc-metric-store.json.gz"
RULES = {"flops_any": "sum", "acc_power": "sum", "mem_bw": "sum", "clock": "avg", "cpu_user": "avg", "acc_utilization": "avg"}
METRICS = {name: {"frequency": 60, "aggregation": RULES.get(name)} for name in (*RULES, "mem_used", "cpu_load", "nfs4_read")}
SETTINGS = {"metric-store": {"retention-in-memory": "36500d", "unknown-metrics": "skip"}, "metrics": METRICS}
# Ours differs on purpose, by the rules: POST works; a time that is none, names that are missing or would leave the folder: 400.
STATUS = {76: 200, 78: 400, 79: 400, 80: 400}
STOPPED = {12}  # there a batch ends at its bad line; ours keeps the good ones behind it, which would show in later answers


def close(found: float | None, wanted: float | None, tolerance: float) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=tolerance)


def same_entry(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if ("error" in found) != ("error" in wanted) or ("data" in found) != ("data" in wanted):
        return False
    if any(found[key] != wanted[key] for key in ("from", "to", "resolution")):
        return False
    data, expected = found.get("data", []), wanted.get("data", [])
    stats = all(close(found[key], wanted[key], 0.006) for key in ("avg", "min", "max"))
    return stats and len(data) == len(expected) and all(map(lambda a, b: close(a, b, 0.0006), data, expected))


def rows(answer: dict[str, Any], asked: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows by the query they answer, so that generated ones may come in any order."""
    given, made = asked.get("queries") or [], answer.get("queries", [])
    names = [f"{number} {query}" for number, query in enumerate(given)] + [str(query) for query in made]
    return dict(zip(names, answer["results"], strict=True))


def same_answer(found: dict[str, Any], wanted: dict[str, Any], asked: dict[str, Any]) -> None:
    ours, theirs = rows(found, asked), rows(wanted, asked)
    assert ours.keys() == theirs.keys()
    for query, row in theirs.items():
        assert len(ours[query]) == len(row), query
        for entry, expected in zip(ours[query], row, strict=True):
            assert same_entry(entry, expected), (query, entry, expected)


def test_all_recorded_steps(make_app: Any, client: Any) -> None:
    ask = client(make_app(SETTINGS).api)
    for number, step in enumerate(json.loads(gzip.decompress(RECORDED.read_bytes()))["steps"]):
        body = step.get("write", step.get("raw", json.dumps(step.get("request"))))
        if number in STOPPED:
            body = "".join(body.splitlines(keepends=True)[:2])
        response = ask(step.get("method", "POST"), step["path"], content=body.encode())
        assert response.status_code == STATUS.get(number, step["status"]), (number, response.text)
        if response.status_code >= 400:
            assert response.json().keys() >= {"status", "error"}
        elif step["path"].startswith("/api/query") and number not in (76, 87):  # 87: after freeing, there by whole buffers
            same_answer(response.json(), step["response"], step["request"])
        elif step["path"].startswith("/api/healthcheck"):
            found = response.json()
            for node in found.values():
                node["HealthMetrics"] = node["HealthMetrics"] and json.loads(node["HealthMetrics"])
            for node in step["response"].values():
                node["HealthMetrics"] = node["HealthMetrics"] and json.loads(node["HealthMetrics"])
            assert found == step["response"]


@pytest.mark.parametrize("path", ["/api/nothing", "/", "/api"])
def test_unknown_routes_answer_in_the_documented_shape(make_app: Any, client: Any, path: str) -> None:
    response = client(make_app().api)("GET", path)
    assert (response.status_code, response.json()) == (404, {"status": "Not Found", "error": "Not Found"})
