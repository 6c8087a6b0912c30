"""The OpenAPI document: valid, all of the route table and nothing else, and true of the answers that the store gives."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from metricstore.api import answers, openapi
from metricstore.api.auth import Permission
from metricstore.app import App

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"


@pytest.fixture
def app(make_app: Any) -> App:
    return make_app(dev=True)


@pytest.fixture
def document(app: App, client: Any) -> Any:
    return client(app.api)("GET", "/swagger/doc.json").json()


def test_golden(document: Any) -> None:
    """UPDATE_GOLDEN=1 writes it instead."""
    document["info"]["version"] = "0"
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_document_is_valid(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_route_and_no_other(app: App, document: Any) -> None:
    table = {(route.path, method.lower()) for route in app.route_table for method in route.methods}
    told = {(path, method) for path, item in document["paths"].items() for method in item if method in {"get", "post"}}
    assert told == table


def test_every_operation_says_what_it_does_and_needs(app: App, document: Any) -> None:
    api = {route.path: route for route in reversed(app.route_table)}  # what both ports have is told of the API's
    names = set()
    for path, item in document["paths"].items():
        for method in {"get", "post"} & item.keys():
            operation = item[method]
            names.add(operation["operationId"])
            assert operation["summary"]
            assert operation["x-needs"] == api[path].needs.value
            assert bool(operation["security"]) == (api[path].needs is not Permission.PUBLIC)
            assert {one["name"] for one in operation["parameters"] if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    assert len(names) == sum(len({"get", "post"} & item.keys()) for item in document["paths"].values())


def test_bodies_with_get_are_told_with_post(document: Any) -> None:
    twins = [item for item in document["paths"].values() if "get" in item and item["get"].get("x-get-with-body")]
    assert len(twins) >= 4
    for item in twins:
        assert "requestBody" in item["post"]
        assert item["get"]["description"] == openapi.TWIN
    assert not any("requestBody" in item.get("get", {}) for item in document["paths"].values())


def test_answers_have_the_forms_they_are_told_to_have(app: App, client: Any) -> None:
    ask, now = client(app.api), int(time.time()) // 10 * 10
    good = f"load_one,hostname=h value=1 {now}\nnet_bytes_in,hostname=h,stype=interface,stype-id=e value=1 {now}"

    def holds(form: Any, method: str, path: str, body: Any = b"") -> None:
        answer = ask(method, path, content=body if isinstance(body, bytes | str) else json.dumps(body))
        found = msgspec.json.decode(answer.content, type=form, strict=True)
        assert msgspec.to_builtins(found).keys() == answer.json().keys(), "nothing is left untold"

    holds(answers.WriteRefusal, "POST", "/api/write?cluster=c", good + "\nbad")
    holds(answers.Problem, "POST", "/api/write?cluster=..", good)
    queries = [{"metric": "load_one", "host": "h"}, {"metric": "no_such", "host": "h"}]
    asked = {"cluster": "c", "from": now - 60, "to": now + 60, "queries": queries, "for-all-nodes": ["load_one"]}
    holds(answers.QueryAnswer, "POST", "/api/query", asked)
    health = {"cluster": "c", "nodes": ["h", "x"], "metric-names": ["load_one"]}
    holds(dict[str, answers.HostHealth], "POST", "/api/healthcheck", health)
    holds(answers.Message, "GET", "/system/v1/metrics/v0/node")
    holds(answers.Pong, "GET", "/system/v1/metrics/v0/ping")
    holds(answers.InfluxProblem, "POST", "/write?db=c", "bad")
    holds(answers.Influx2Problem, "POST", "/api/v2/write?bucket=c", "bad")
    holds(answers.Influx2Problem, "POST", "/api/v2/write", "")
    holds(answers.InfluxResults, "POST", "/query?q=CREATE%20DATABASE%20x")
    holds(answers.InfluxHealth, "GET", "/health")
    holds(answers.Cardinality, "GET", "/api/cardinality")
