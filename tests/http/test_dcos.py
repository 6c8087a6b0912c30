"""The DC/OS API of the store, answer by answer: what a node's agent answers too (tests/golden/dcos).

UPDATE_GOLDEN=1 writes the golden answers anew; the diff is to be reviewed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from metricwire.catalog import BY_NAME
from metricwire.lineprotocol import decode

GOLDEN = Path(__file__).parents[1] / "golden" / "dcos"
SAMPLES = (GOLDEN / "samples.lp").read_bytes()
NOW = decode(SAMPLES, now=0).samples[0].timestamp
ANSWERS = yaml.safe_load((GOLDEN / "answers.yaml").read_text())
PREFIXES = ("/system/v1/agent/n1/metrics/v0/", "/system/v1/metrics/v0/")
OWN = {"metric-store": {"cluster": "", "node": "n1"}}


def path_of(asked: str) -> str:
    for name, container in ANSWERS["ids"].items():
        asked = asked.replace(f"<{name}>", container)
    return asked


@pytest.fixture
def ask(make_app: Any, client: Any) -> Any:
    app = make_app(OWN, clock=lambda: NOW + 5)
    ask = client(app.api)
    assert ask("POST", "/api/write", content=SAMPLES).status_code == 200
    ask.app = app
    return ask


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("case", ANSWERS["answers"], ids=lambda case: case["get"] or "nothing")
def test_answers(case: dict[str, Any], prefix: str, ask: Any) -> None:
    answer = ask("GET", f"{prefix}{path_of(case['get'])}?cluster=fritz")
    assert answer.status_code == case.get("status", 200), answer.text
    if "golden" in case:
        assert answer.headers["content-type"] == "application/json"
        golden = GOLDEN / case["golden"]
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(json.dumps(answer.json(), indent=1) + "\n")
        assert answer.json() == json.loads(golden.read_text())
    else:
        assert answer.content == b"" if case["status"] == 204 else answer.json()["status"] == "Not Found"


def test_a_name_in_a_path_is_no_pattern_of_ours(ask: Any) -> None:
    """The table's own spelling of a path is a name like another."""
    for rest in ("node", "ping", "containers", "containers/x", "containers/x/app", "containers/x/app/m"):
        assert ask("GET", f"/system/v1/agent/%7Bagent_id%7D/metrics/v0/{rest}").status_code == 404


def test_one_node_answers_whatever_is_asked(make_app: Any, client: Any) -> None:
    """Of several of one name, and without a name, the first with anything to show: not another one for each request."""
    ask = client(make_app(clock=lambda: NOW + 5).api)
    assert ask("GET", "/system/v1/metrics/v0/containers").status_code == 204
    assert ask("POST", "/api/write", content=SAMPLES).status_code == 200
    assert ask("POST", "/api/write", content=b"room_temperature,cluster=alex,hostname=n1 value=1 %d" % NOW).status_code == 200
    here, there = "/system/v1/metrics/v0", "/system/v1/agent/n1/metrics/v0"
    for path, asked in ((here, ""), (there, ""), (here, "node=n1")):
        assert ask("GET", f"{path}/node?{asked}").json()["dimensions"]["cluster_id"] == "fritz"
        assert ask("GET", f"{path}/containers?{asked}").json() == json.loads((GOLDEN / "containers.json").read_text())
        assert ask("GET", f"{path}/containers/{ANSWERS['ids']['alien']}/app?{asked}").status_code == 204


def test_the_settings_node_has_no_data_before_it_sent_some(make_app: Any, client: Any) -> None:
    ask = client(make_app({"metric-store": {"node": "n9"}}).api)
    assert ask("GET", "/system/v1/metrics/v0/node").status_code == 204
    assert ask("GET", "/system/v1/metrics/v0/containers").status_code == 204
    assert ask("GET", "/system/v1/metrics/v0/ping").status_code == 200
    assert ask("GET", "/system/v1/agent/n9/metrics/v0/node").status_code == 404


def test_a_container_is_found_without_looking_at_the_others(ask: Any) -> None:
    engine, web = ask.app.engine, ANSWERS["ids"]["web"]
    numbers = engine._of_host("fritz", "n1", (f"container{web}",)).tolist()
    assert {engine.key(number).place.type_id for number in numbers} == {web}


def test_another_spelling_of_a_containers_place_is_another_thing(ask: Any) -> None:
    """`container` + `xyz` and `containerx` + `yz` are one path for ClusterCockpit."""
    line = b"m,cluster=fritz,hostname=n1,type=containerx,type-id=yz,stype=app,stype-id=gauge value=1 %d" % NOW
    assert ask("POST", "/api/write", content=line).status_code == 200
    assert ask("GET", "/system/v1/agent/n1/metrics/v0/containers/xyz/app?cluster=fritz").status_code == 204


def test_only_three_polls_are_fresh(make_app: Any, client: Any) -> None:
    now = NOW + 30
    ask = client(make_app(OWN, clock=lambda: now).api)
    assert ask("POST", "/api/write", content=SAMPLES).status_code == 200
    resources = ("node", "containers", f"containers/{ANSWERS['ids']['web']}", f"containers/{ANSWERS['ids']['web']}/app")
    fresh = [ask("GET", f"{PREFIXES[0]}{one}?cluster=fritz").status_code for one in resources]
    now = NOW + 45
    stale = [ask("GET", f"{PREFIXES[0]}{one}?cluster=fritz").status_code for one in resources]
    assert (fresh, stale) == ([200] * 4, [204] * 4)


def test_a_poll_is_the_agents_interval_for_what_workloads_send_too(make_app: Any, client: Any) -> None:
    """Whatever distance between two samples was seen before the interval was raised."""
    now = NOW
    metrics = {name: {"frequency": 60} for name in BY_NAME}
    ask = client(make_app(OWN | {"metrics": metrics}, clock=lambda: now).api)
    line = "m,cluster=fritz,hostname=n1,type=container,type-id=x,stype=app,stype-id=gauge value=1 "
    for timestamp in (NOW - 70, NOW - 60, NOW):
        assert ask("POST", "/api/write", content=f"{line}{timestamp}".encode()).status_code == 200
    resources = ("containers", "containers/x/app")
    now = NOW + 170
    fresh = [ask("GET", f"{PREFIXES[0]}{one}?cluster=fritz").status_code for one in resources]
    now = NOW + 200
    stale = [ask("GET", f"{PREFIXES[0]}{one}?cluster=fritz").status_code for one in resources]
    assert (fresh, stale) == ([200] * 2, [204] * 2)


@pytest.mark.parametrize("resource", ["node", "containers", "containers/x", "containers/x/app", "containers/x/app/m", "ping"])
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json;q=0, */*", 406),
        ("*/*;q=0", 406),
        ("application/*;q=0, text/html", 406),
        ("text/html, application/json;q=0.1", None),
        ("application/*", None),
        ("", None),
    ],
)
def test_accept(resource: str, accept: str, status: int | None, ask: Any) -> None:
    found = ask("GET", f"/system/v1/metrics/v0/{resource}?cluster=fritz", headers={"accept": accept}).status_code
    assert found == status or (status is None and found in {200, 204})
    assert ask("GET", f"/system/v1/agent/n7/metrics/v0/{resource}", headers={"accept": accept}).status_code == 404
