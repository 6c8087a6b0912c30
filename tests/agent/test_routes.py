"""The agent's two servers, in process: every case of routes.yaml on the samples of the fixture trees, and every answer of
tests/golden/dcos, which the store gives too, on the samples there.

WRITE_GOLDEN=1 writes the golden answers of routes.yaml anew; the diff is to be reviewed.
"""

import asyncio
import json
import os
import shutil
from calendar import timegm
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry
from yarl import URL

from metricagent import dcosapi, opsapi
from metricagent.access import Access
from metricagent.books import Books
from metricagent.collectors import COLLECTORS
from metricagent.collectors.filesystems import Filesystems
from metricagent.host import Host
from metricagent.latest import Latest
from metricagent.settings import ApiSettings
from metricagent.tokencheck import TokenCheck
from metricwire import tokens
from metricwire.lineprotocol import Batch, decode
from metricwire.samples import Place, Sample, SeriesKey

NOW = float(timegm((2026, 1, 31, 12, 0, 0)))
HERE = Place("fritz", "n1")
STAT = os.statvfs_result((4096, 4096, 1000, 400, 300, 500, 200, 150, 0, 255))
OF_THE_NODE = ("cpu", "memory", "swap", "load", "network", "processes", "uptime")  # and filesystems: what DC/OS shows
CASES = yaml.safe_load((Path(__file__).parent / "routes.yaml").read_text())
PRIVATE, PUBLIC = tokens.new_pair()


@pytest.fixture
def samples(host: Host, golden: Path, tmp_path: Path) -> list[Sample]:
    """What the agent has after two ticks on the fixture trees."""
    shutil.copytree(golden / "proc", tmp_path / "proc")
    made = [COLLECTORS[name](Host(proc=tmp_path / "proc", sys=golden / "sys")) for name in OF_THE_NODE]
    made.append(Filesystems(host, stat=lambda _: STAT))
    for collector in made:
        collector.collect(0)
    shutil.copytree(golden / "proc-later", tmp_path / "proc", dirs_exist_ok=True)
    readings = [reading for collector in made for reading in collector.collect(10)]
    return [
        Sample(SeriesKey(Place("fritz", "n1", *part), metric, tags), int(NOW), value) for metric, value, *part, tags in readings
    ]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(PUBLIC + "\n")
    return path


def authorization(kind: str) -> list[str]:
    def token(private: str, **more: int) -> str:
        return tokens.sign(private, "alice", ["user"], issued=int(NOW) - 100, **more)

    good = token(PRIVATE)
    return {
        "good": [f"Bearer {good}"],
        "dcos": [f"token={good}"],
        "expired": [f"Bearer {token(PRIVATE, expires=int(NOW) - 60)}"],
        "foreign": [f"Bearer {token(tokens.new_pair()[0])}"],
        "basic": ["Basic YWxpY2U6c2VjcmV0"],
        "twice": [f"Bearer {good}", f"Bearer {good}"],
        "none": [],
    }[kind]


async def ask(app: web.Application, *cases: dict[str, Any]) -> list[tuple[Any, bytes]]:
    """The answer to each, one after the other."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = []
    try:
        async with ClientSession() as session:
            for case in cases:
                headers = [("Authorization", value) for value in authorization(case.get("token", "good"))]
                headers += [("Accept", case["accept"])] if "accept" in case else []
                url = URL(f"http://127.0.0.1:{runner.addresses[0][1]}{case['get']}", encoded=True)
                async with session.request(case.get("method", "GET"), url, headers=headers) as response:
                    found.append((response, await response.read()))
    finally:
        await runner.cleanup()
    return found


def check(case: dict[str, Any], response: Any, body: bytes, golden: Path) -> None:
    assert response.status == case["status"], body
    assert "Server" not in response.headers
    if "type" in case:
        assert response.headers["Content-Type"] == case["type"]
    if "allow" in case:
        assert response.headers["Allow"] == case["allow"]
    if case.get("empty"):
        assert body == b""
    if "json" in case:
        assert json.loads(body) == case["json"]
    if "body" in case:
        assert case["body"] in body.decode()
    if "golden" in case:
        found = json.dumps(json.loads(body), indent=1) + "\n" if case["golden"].endswith("json") else body.decode()
        path = golden / "agent" / case["golden"]
        if os.environ.get("WRITE_GOLDEN"):
            path.write_text(found.partition("# HELP metricagent_")[0])
        assert found.startswith(path.read_text())


@pytest.mark.parametrize("case", CASES["dcos"], ids=lambda case: case["name"])
def test_dcos(case: dict[str, Any], samples: list[Sample], key_file: Path, golden: Path) -> None:
    latest = Latest(10)
    latest.update(samples, NOW)
    now = NOW if case.get("fresh", True) else NOW + 31
    access = Access(ApiSettings(public_key_files=(str(key_file),)), lambda: TokenCheck([str(key_file)], now=lambda: NOW))
    app = dcosapi.application(HERE, latest, access, lambda: now)
    check(case, *asyncio.run(ask(app, case))[0], golden)


def open_to_all() -> Access:
    return Access(ApiSettings(anonymous=True), lambda: TokenCheck([], now=lambda: NOW))


def answers(golden: Path) -> Iterator[dict[str, Any]]:
    """Those of tests/golden/dcos, as cases of the agent, below either prefix."""
    found = yaml.safe_load((golden / "dcos" / "answers.yaml").read_text())
    for case in found["answers"]:
        path = case["get"]
        for name, container in found["ids"].items():
            path = path.replace(f"<{name}>", container)
        for prefix in (dcosapi.OWN, "/system/v1/agent/n1/metrics/v0"):
            asked = {"get": f"{prefix}/{path}", "status": case.get("status", 200), "empty": case.get("status") == 204}
            yield asked | ({"json": json.loads((golden / "dcos" / case["golden"]).read_text())} if "golden" in case else {})


def latest_of(batch: Batch, here: Place) -> Latest:
    """What the agent of that node has of it."""
    latest = Latest(10)
    latest.update([sample for sample in batch.samples if sample.series.place[:2] == here[:2]], NOW)
    latest.label({one.place: dict(one.labels) for one in batch.labels if one.place[:2] == here[:2]})
    return latest


def test_every_answer_that_the_store_gives(golden: Path) -> None:
    batch = decode((golden / "dcos" / "samples.lp").read_bytes(), now=0)
    app = dcosapi.application(HERE, latest_of(batch, HERE), open_to_all(), lambda: NOW)

    cases = [case | {"token": "none"} for case in answers(golden)]
    for case, found in zip(cases, asyncio.run(ask(app, *cases)), strict=True):
        try:
            check(case, *found, golden)
        except AssertionError as error:
            raise AssertionError(f"GET {case['get']}: {error}") from error


@pytest.mark.parametrize("case", CASES["ops"], ids=lambda case: case["name"])
def test_ops(case: dict[str, Any], samples: list[Sample], golden: Path) -> None:
    latest = Latest(10)
    latest.update(samples, NOW)
    registry = CollectorRegistry()
    Books(registry)
    now = NOW if case.get("fresh", True) else NOW + 31
    app = opsapi.application(latest, registry, lambda: case.get("alive", True), lambda: now)
    check(case, *asyncio.run(ask(app, case | {"token": "none"}))[0], golden)


def test_anonymous_may_read_when_the_settings_say_so(samples: list[Sample], golden: Path) -> None:
    latest = Latest(10)
    latest.update(samples, NOW)
    app = dcosapi.application(HERE, latest, open_to_all(), lambda: NOW)
    case = {"get": "/system/v1/metrics/v0/node", "token": "none", "status": 200}
    check(case, *asyncio.run(ask(app, case))[0], golden)


def test_latest_forgets_what_is_gone_and_what_a_wrong_clock_left() -> None:
    latest = Latest(10)
    a, b, c = (Sample(SeriesKey(HERE, name), int(NOW), 1.0) for name in "abc")
    latest.update([a, b], NOW)
    latest.update([b._replace(timestamp=int(NOW) + 30)], NOW + 30)
    assert [sample.series.metric for sample in latest.fresh(NOW + 30)] == ["a", "b"]
    assert [sample.series.metric for sample in latest.fresh(NOW + 31)] == ["b"]
    latest.update([c._replace(timestamp=int(NOW) - 3600)], NOW - 3600)
    assert [sample.series.metric for sample in latest.fresh(NOW - 3600)] == ["c"]
