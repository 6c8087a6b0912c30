"""The dashboards: Grafana's JSON is what the code makes, and every query of it finds something in what we expose."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.__main__ import ALL, CHART, files

from .exposed import CLUSTER, NODE, everything
from .promtool import names, needed, promtool

CHOSEN = {"cluster": CLUSTER, "node": NODE, "namespace": ".*", "pod": ".*", "instance": ".*", "__rate_interval": "5m"}


def read() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")}


def queries() -> Iterator[tuple[str, str]]:
    """Dashboard and panel, and a query of it with the choices made."""
    for name, content in read().items():
        for panel in content["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for choice, value in CHOSEN.items():
                    expression = expression.replace(f"${choice}", value)
                assert "$" not in expression, expression
                yield f"{name} / {panel['title']}", expression


def test_files_are_what_the_code_makes() -> None:
    for path, text in files().items():
        assert (CHART / path).read_text() == text, f"{path} is not what `make generate` writes"
    assert read().keys() == {dashboard.name for dashboard in ALL}


def test_panels_lie_side_by_side_and_have_a_number_each() -> None:
    for content in read().values():
        taken: set[tuple[int, int]] = set()
        for panel in content["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not taken & cells, panel["title"]
            taken |= cells
        numbers = [panel["id"] for panel in content["panels"]]
        assert sorted(set(numbers)) == sorted(numbers)
    assert len({content["uid"] for content in read().values()}) == len(ALL)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("rate(a_total[5m]) / b", {"a_total", "b"}),
        ('sum by (x, y) (a{x="b and c"}) and on (x) d offset 5m', {"a", "d"}),
        ('topk(10, max without(le) (a:b{c=~"d"}[1h:5m])) > bool 1e3', {"a:b"}),
    ],
)
def test_names_of_an_expression(expression: str, found: set[str]) -> None:
    assert names(expression) == found


@needed
def test_every_query_finds_something(make_app: Any, client: Any, tmp_path: Path) -> None:
    """In series that grow by one a second for an hour: `count` of what a query finds is more than nothing."""
    exposed = everything(make_app, client)
    asked = list(queries())
    known = {one.name for one in exposed}
    made_up = [(where, names(query) - known) for where, query in asked if names(query) - known]
    assert not made_up
    cases = [
        {"expr": f"count({query}) > bool 0", "eval_time": "1h", "exp_samples": [{"labels": "{}", "value": 1}]}
        for _, query in asked
    ]
    series = [{"series": str(one), "values": "1+60x61"} for one in dict.fromkeys(map(str, exposed))]
    test = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": cases}],
    }
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "queries.yaml")


def test_choices_are_of_metrics_that_are_there(make_app: Any, client: Any) -> None:
    known = {one.name: one.labels for one in everything(make_app, client)}
    for content in read().values():
        for variable in content["templating"]["list"][1:]:
            metric, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            assert label in known[metric.split("{")[0]], variable["definition"]
