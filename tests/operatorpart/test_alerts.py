"""The alert rules: promtool is content, each fires when it should and not else, and each is of metrics that we expose."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .exposed import everything
from .promtool import names, needed, promtool, refusal

RULES = Path(__file__).parents[2] / "charts/metricscluster/files/alerts.yaml"
CASES = Path(__file__).with_name("alerts.yaml")
SINGLE = yaml.safe_load(Path(__file__).with_name("alertcases.yaml").read_text())
WHEN = "115m"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_each_says_what_is_wrong_and_what_to_do() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        for text in ("summary", "description"):
            assert re.search(r"[.!]$", rule["annotations"][text]), rule["alert"]
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)


def test_each_is_of_metrics_that_are_exposed(make_app: Any, client: Any) -> None:
    known = {one.name for one in everything(make_app, client)}
    assert {rule["alert"]: names(rule["expr"]) - known for rule in ALERTS if names(rule["expr"]) - known} == {}


@needed
def test_prometheus_takes_them() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def write(folder: Path, case: str, **asked: Any) -> Path:
    """A test of one case for promtool, which asks so."""
    found = yaml.safe_load(CASES.read_text()) | {"rule_files": [str(RULES)]}
    found["tests"] = [test | asked for test in found["tests"] if test["name"] == case]
    (folder / "alerts.yaml").write_text(yaml.safe_dump(found))
    return folder / "alerts.yaml"


def firing(alert: str, when: str, count: int, compared: str = "") -> dict[str, Any]:
    """promtool's question how many of an alert fire then."""
    return {
        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}){compared} or vector(0)',
        "eval_time": when,
        "exp_samples": [{"labels": "{}", "value": count}],
    }


@needed
@pytest.mark.parametrize(("case", "fires"), [("all is well", 0), ("all is broken", 1)])
def test_each_fires_when_it_should(case: str, fires: int, tmp_path: Path) -> None:
    asked = [firing(rule["alert"], WHEN, fires, " > bool 0") for rule in ALERTS]
    promtool("test", "rules", write(tmp_path, case, promql_expr_test=asked))


@needed
def test_each_ends_when_it_should_and_takes_what_is_usual_for_well(tmp_path: Path) -> None:
    tests = [
        {
            "name": case["name"],
            "interval": case.get("interval", "1m"),
            "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
            "promql_expr_test": [firing(case["alert"], when, count) for when, count in case["firing"].items()],
        }
        for case in SINGLE
    ]
    asked = [rule for rule in ALERTS if rule["alert"] in {case["alert"] for case in SINGLE}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))
    written = {"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "alertcases.yaml").write_text(yaml.safe_dump(written))
    promtool("test", "rules", tmp_path / "alertcases.yaml")


@needed
def test_what_each_says_is_whole(tmp_path: Path) -> None:
    """Labels that it names are there: promtool expects no alert, and shows what it got."""
    asked = [{"alertname": rule["alert"], "eval_time": WHEN, "exp_alerts": []} for rule in ALERTS]
    said = refusal("test", "rules", write(tmp_path, "all is broken", alert_rule_test=asked))
    assert said.count("summary=") == len(ALERTS)
    assert not re.search(r"error expanding|no value|\(\)|//", said), said
