"""The agent's two servers, in process: every case of routes.yaml, on the samples of the fixture trees.

WRITE_GOLDEN=1 writes the golden answers anew; the diff is to be reviewed.
"""

import asyncio
import json
import os
import shutil
from calendar import timegm
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
from metricwire import tokens
from metricwire.errors import SettingsError
from metricwire.samples import Place, Sample, SeriesKey

NOW = float(timegm((2026, 1, 31, 12, 0, 0)))
HERE = Place("fritz", "n1")
STAT = os.statvfs_result((4096, 4096, 1000, 400, 300, 500, 200, 150, 0, 255))
CASES = yaml.safe_load((Path(__file__).parent / "routes.yaml").read_text())
PRIVATE, PUBLIC = tokens.new_pair()


@pytest.fixture
def samples(host: Host, golden: Path, tmp_path: Path) -> list[Sample]:
    """What the agent has after two ticks on the fixture trees."""
    shutil.copytree(golden / "proc", tmp_path / "proc")
    made = [make(Host(proc=tmp_path / "proc")) for name, make in COLLECTORS.items() if name != "filesystems"]
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


async def ask(app: web.Application, case: dict[str, Any]) -> tuple[Any, bytes]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    headers = [("Authorization", value) for value in authorization(case.get("token", "good"))]
    headers += [("Accept", case["accept"])] if "accept" in case else []
    try:
        url = URL(f"http://127.0.0.1:{runner.addresses[0][1]}{case['get']}", encoded=True)
        async with ClientSession() as session, session.request(case.get("method", "GET"), url, headers=headers) as response:
            return response, await response.read()
    finally:
        await runner.cleanup()


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
    app = dcosapi.application(HERE, latest, Access([str(key_file)], anonymous=False, now=lambda: NOW), lambda: now)
    check(case, *asyncio.run(ask(app, case)), golden)


@pytest.mark.parametrize("case", CASES["ops"], ids=lambda case: case["name"])
def test_ops(case: dict[str, Any], samples: list[Sample], golden: Path) -> None:
    latest = Latest(10)
    latest.update(samples, NOW)
    registry = CollectorRegistry()
    Books(registry)
    now = NOW if case.get("fresh", True) else NOW + 31
    app = opsapi.application(latest, registry, lambda: case.get("alive", True), lambda: now)
    check(case, *asyncio.run(ask(app, case | {"token": "none"})), golden)


def test_anonymous_may_read_when_the_settings_say_so(samples: list[Sample], golden: Path) -> None:
    latest = Latest(10)
    latest.update(samples, NOW)
    app = dcosapi.application(HERE, latest, Access([], anonymous=True, now=lambda: NOW), lambda: NOW)
    case = {"get": "/system/v1/metrics/v0/node", "token": "none", "status": 200}
    check(case, *asyncio.run(ask(app, case)), golden)


def test_a_removed_key_is_dead_and_a_new_one_counts(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = NOW
    access = Access([str(key_file)], anonymous=False, now=lambda: now)
    access.check(authorization("good"))
    key_file.write_text("no key")
    now += 9
    for _ in range(2):
        with pytest.raises(tokens.InvalidToken):
            access.check(authorization("good"))
        now += 9
    assert len(caplog.messages) == 1
    key_file.write_text(PUBLIC)
    access.check(authorization("good"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot read public key file K: No such file"),
        ("x", "cannot use public key file K: cannot use public key: expected base64"),
        ("ü", "cannot read public key file K: "),
    ],
)
def test_a_key_file_that_cannot_be_used_at_the_start(key_file: Path, text: str | None, error: str) -> None:
    key_file.unlink()
    if text is not None:
        key_file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        Access([str(key_file)], anonymous=False, now=lambda: NOW)
    assert str(raised.value).replace(str(key_file), "K").startswith(error)


def test_latest_forgets_what_is_gone_and_what_a_wrong_clock_left() -> None:
    latest = Latest(10)
    a, b, c = (Sample(SeriesKey(HERE, name), int(NOW), 1.0) for name in "abc")
    latest.update([a, b], NOW)
    latest.update([b._replace(timestamp=int(NOW) + 30)], NOW + 30)
    assert [sample.series.metric for sample in latest.fresh(NOW + 30)] == ["a", "b"]
    assert [sample.series.metric for sample in latest.fresh(NOW + 31)] == ["b"]
    latest.update([c._replace(timestamp=int(NOW) - 3600)], NOW - 3600)
    assert [sample.series.metric for sample in latest.fresh(NOW - 3600)] == ["c"]
