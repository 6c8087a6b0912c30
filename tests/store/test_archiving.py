"""What is past the retention on disk goes to the archive, and is answered from there as if it were not."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from metricstore import settings
from metricstore.app import App
from metricstore.disk.archive import Archive
from metricstore.memory.window import begin

NOW = 1_800_000_000 // 86400 * 86400
DAY = 86400


class Clock:
    """What time it is, as the test has it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, loop: asyncio.AbstractEventLoop, clock: Clock, client: Any) -> Any:
    """Makes a store on the folder again and again; the one before is closed."""
    open_apps: list[App] = []

    def make(**found: Any) -> "Asked":
        while open_apps:
            loop.run_until_complete(open_apps.pop().engine.close())
        base = {
            "directory": str(tmp_path / "data"),
            "retention-in-memory": "2d",
            "retention-on-disk": "2d",
            "archive": "parquet",
        }
        metrics = {"m": {"frequency": 60, "aggregation": "sum"}, "slow": {"frequency": 600}}
        loaded, _ = settings.load({"metric-store": base | found, "metrics": metrics}, "test")
        app = App(loaded, open_to_all=True, clock=clock, passing=clock)
        app.engine.recover()
        open_apps.append(app)
        return Asked(app, client(app.api), loop)

    yield make
    for app in open_apps:
        loop.run_until_complete(app.engine.close())


class Asked:
    """A store and how it is asked."""

    def __init__(self, app: App, ask: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self.app, self._ask, self.loop = app, ask, loop

    def write(self, *lines: str) -> None:
        answer = self._ask("POST", "/api/write?cluster=c", content="\n".join(lines))
        assert answer.status_code == 200, answer.text

    def keep(self) -> None:
        self.loop.run_until_complete(self.app.engine.seal())
        self.loop.run_until_complete(self.app.engine.keep())

    def query(self, start: int, end: int, *queries: dict[str, Any], **more: Any) -> Any:
        asked = {"cluster": "c", "from": start, "to": end, "queries": list(queries), "with-padding": False} | more
        return self._ask("POST", "/api/query", content=json.dumps(asked)).json()


def lines(start: int, host: str = "h") -> list[str]:
    """Ten samples of two threads and of a slow metric."""
    stamps = range(start, start + 600, 60)
    threads = [
        f"m,hostname={host},type=hwthread,type-id={t} value={t + stamp / 7:.3f} {stamp}" for stamp in stamps for t in (0, 1)
    ]
    return [*threads, f"slow,hostname={host},rack=a value=0.1 {start}"]


def test_a_query_spans_archive_blocks_and_memory_and_shows_no_seam(store: Any, clock: Clock) -> None:
    asked = store()
    days = [NOW + day * DAY for day in range(6)]
    for start in days:
        clock.now = start + 700
        asked.write(*lines(start))
        asked.keep()
    asked.write(*lines(days[5] + 3000))
    assert list((asked.app.engine.archive.directory).rglob("*.parquet"))
    assert min(begin(*stretch[:2]) for stretch in asked.app.engine.blocks.stretches()) > days[1], "blocks of old days are gone"
    for _ in range(2):
        (summed,), threads, (slow,) = asked.query(
            NOW,
            days[5] + 4000,
            {"metric": "m", "host": "h"},
            {"metric": "m", "host": "h", "type": "hwthread", "type-ids": ["0", "1"]},
            {"metric": "slow", "host": "h"},
        )["results"]
        for start in (*days, days[5] + 3000):
            at = (start - NOW) // 60
            wanted = [[float(f"{t + (start + 60 * k) / 7:.3f}") for k in range(10)] for t in (0, 1)]
            assert [entry["data"][at : at + 10] for entry in threads] == wanted
            assert summed["data"][at : at + 10] == [a + b for a, b in zip(*wanted, strict=True)]
        assert (summed["from"], summed["resolution"], len(slow["data"])) == (NOW, 60, (days[5] + 3000 - NOW) // 600 + 1)
        asked = store()


def test_series_that_live_in_the_archive_only_are_found(store: Any, clock: Clock) -> None:
    asked = store()
    clock.now = NOW + 700
    asked.write(*lines(NOW, "old"))
    asked.keep()
    clock.now = NOW + 5 * DAY
    asked.write(*lines(clock.now - 1200, "new"))
    asked.keep()
    assert asked.app.engine.hosts("c") == ["new"]
    answer = asked.query(NOW, clock.now, **{"for-all-nodes": ["m"]})
    assert [query["host"] for query in answer["queries"]] == ["new", "old"]
    assert [len([value for value in row[0]["data"] if value is not None]) for row in answer["results"]] == [10, 10]
    assert asked.query(NOW, clock.now, {"metric": "m", "host": "old", "type": "hwthread", "type-ids": ["7"]})["results"] == [[]]
    assert asked.query(clock.now - 3600, clock.now, {"metric": "m", "host": "old"})["results"] == [[]]


def test_without_an_archive_old_samples_are_gone(store: Any, clock: Clock) -> None:
    asked = store(archive="none")
    clock.now = NOW + 700
    asked.write(*lines(NOW))
    asked.keep()
    clock.now = NOW + 5 * DAY
    asked.write(*lines(clock.now - 1200))
    asked.keep()
    (entry,) = asked.query(NOW, clock.now, {"metric": "m", "host": "h"})["results"][0]
    assert entry["from"] == clock.now - 1200


def test_answers_are_the_same_before_and_after_archiving(store: Any, clock: Clock) -> None:
    asked = store()
    clock.now = NOW + 700
    asked.write(*lines(NOW)[:-5], lines(NOW)[-1], f"m,hostname=h,type=hwthread,type-id=2 value=5 {NOW + 7}")
    clock.now = NOW + 7000
    asked.write(*lines(NOW + 6000))
    clock.now = NOW + 6 * DAY
    asked.write(*lines(clock.now - 1200))
    parts = {"type": "hwthread", "type-ids": ["0", "1", "2", "9"]}
    queries = [{"metric": "m", "host": "h"}, {"metric": "m", "host": "h"} | parts, {"metric": "slow", "host": "h"}]
    offsets = (-500, -3, 0, 3, 61, 300, 599, 3000, 6003)
    ranges = [(NOW + a, NOW + b) for a in offsets for b in (59, 300, 700, 6100, 9000) if a <= b]

    def answers() -> list[Any]:
        return [asked.query(start, end, *queries)["results"] for start, end in ranges]

    before = answers()
    asked.keep()
    assert not [stretch for stretch in asked.app.engine.blocks.stretches() if begin(*stretch[:2]) < NOW + DAY]
    for (start, end), found, wanted in zip(ranges, answers(), before, strict=True):
        assert found == wanted, (start - NOW, end - NOW)


class Slow:
    """Reads an archive only when it is let: `begun` tells that somebody waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.let, self.times = threading.Event(), threading.Event(), 0
        read = Archive.read

        def slowly(archive: Archive, *asked: Any) -> Any:
            found = read(archive, *asked)
            self.times += 1
            self.begun.set()
            assert self.let.wait(10), "nobody else has had a turn"
            return found

        monkeypatch.setattr(Archive, "read", slowly)


def test_others_have_a_turn_while_the_archive_is_read_and_what_is_archived_then_is_found(
    store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = store()
    for day in (0, 4, 9):
        clock.now = NOW + day * DAY + 700
        asked.write(*lines(NOW + day * DAY))
        asked.keep()
    parts = {"type": "hwthread", "type-ids": ["0", "1"]}
    query = {"metric": "m", "host": "h"}
    wanted = asked.query(NOW, clock.now, query | parts, query)
    before = list(asked.app.engine.archive.directory.rglob("*.parquet"))
    clock.now += 4 * DAY
    asked.write(*lines(clock.now - 1200)[-1:])
    slow = Slow(monkeypatch)
    again = json.dumps(
        {"cluster": "c", "from": NOW, "to": NOW + 9 * DAY + 700, "queries": [query | parts, query], "with-padding": False}
    )

    async def ask() -> Any:
        transport = httpx.ASGITransport(app=asked.app.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
            answer = asyncio.create_task(client.post("/api/query", content=again))
            assert await asyncio.to_thread(slow.begun.wait, 10)
            await asked.app.engine.keep()
            slow.let.set()
            return (await answer).json()

    answer = asked.loop.run_until_complete(ask())
    assert list(asked.app.engine.archive.directory.rglob("*.parquet")) != before, "more was archived meanwhile"
    assert answer == wanted


def test_the_archive_is_read_once_for_all_selectors_of_a_query(
    store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = store()
    clock.now = NOW + 700
    asked.write(*lines(NOW))
    clock.now += 5 * DAY
    asked.write(*lines(clock.now - 1200)[-1:])
    asked.keep()
    slow = Slow(monkeypatch)
    slow.let.set()
    threads = {"metric": "m", "host": "h", "type": "hwthread", "type-ids": ["0", "1", "2"]}
    answer = asked.query(NOW, NOW + 700, threads, threads | {"aggreg": True}, threads | {"metric": "slow"})
    assert [len(row) for row in answer["results"]] == [2, 1, 0]
    assert slow.times == 2
