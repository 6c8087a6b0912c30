"""Delivery against a store that answers everything a store, a proxy or a broken link may answer."""

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from metricagent import answers, app, spoolfile
from metricagent.backoff import Backoff, Jitter
from metricagent.books import Books
from metricagent.encoding import Encoding
from metricagent.httpstore import HttpStore
from metricagent.push import Pusher
from metricagent.spool import Spool
from metricagent.storestate import StoreState
from metricscluster.up import AGENT_PATIENCE
from metricsoperator.manifests.agent import GRACE_SECONDS

BIG = 1 << 20


def text(number: int, lines: int = 2) -> bytes:
    return b"".join(b"m%d,cluster=c,hostname=h value=%d %d\n" % (line, number, number) for line in range(lines))


class Still(Jitter):
    """No waits but those after a failure, so that these can be counted."""

    def __init__(self) -> None:
        super().__init__(random.Random(1), 10)

    def first(self) -> float:
        return 0.0

    def next(self) -> float:
        return 0.0

    def rest(self, took: float) -> float:
        return 0.0


class Bench:
    """A pusher with its spool; waits are recorded, not waited."""

    def __init__(self, url: str, folder: Path, registry: CollectorRegistry, session: aiohttp.ClientSession) -> None:
        self.token = folder / "token"
        self.token.write_text("first\n")
        self.registry = registry
        self.books = Books(registry)
        self.spool = Spool(folder / "spool", BIG, self.books)
        self.waits: list[float] = []
        self.pusher = Pusher(
            destination=HttpStore(url=url, token_file=self.token, session=session),
            spool=self.spool,
            state=StoreState(registry, behind=False),
            fresh=Backoff(random.Random(1)),
            late=Backoff(random.Random(1)),
            jitter=Still(),
            sleep=self.wait,
        )

    async def wait(self, seconds: float) -> None:
        if seconds:
            self.waits.append(seconds)
        await asyncio.sleep(0)

    def append(self, number: int, lines: int = 2, body: bytes | None = None) -> None:
        body = body or text(number, lines)
        self.books.took(body.count(b"\n"))
        self.spool.append(body, body.count(b"\n"))

    async def until_empty(self, closes: Callable[[], bool]) -> None:
        """Run the pusher as the agent does until everything is delivered or given up, and counted."""
        self.pusher.wake()
        running = asyncio.create_task(self.pusher.run())
        await self.delivered(closes)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def delivered(self, closes: Callable[[], bool]) -> None:
        """Until the books show nothing in the spool, and what has become of it."""
        async with asyncio.timeout(60):
            while self.count("spooled") or self.count("in_memory") or not closes():  # noqa: ASYNC110 books have no events
                await asyncio.sleep(0.005)

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"metricagent_samples_{name}", labels)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 a list has no events
            await asyncio.sleep(0.005)


@pytest.fixture
def play(tmp_path: Path, registry: CollectorRegistry, closes: Callable[[], bool], running_store: Any) -> Callable[[Any], None]:
    """Run a test's coroutine with a bench and a store; afterwards the books must close."""

    def play(scene: Any) -> None:
        async def run() -> None:
            async with running_store as store, aiohttp.ClientSession(auto_decompress=False) as session:
                bench = Bench(running_store.url, tmp_path, registry, session)
                try:
                    await scene(bench, store)
                    assert closes()
                finally:
                    bench.spool.close()

        asyncio.run(run())

    return play


def test_the_newest_batch_comes_first_the_others_in_one_body(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        for number in range(3):
            bench.append(number)
        assert await bench.pusher.drain() is None
        assert store.bodies == [text(2), text(0) + text(1)]
        assert bench.count("delivered_total") == 6
        for headers in store.headers:
            assert headers["Authorization"] == "Bearer first"
            assert headers["Content-Encoding"] == "zstd"

    play(scene)


@pytest.mark.parametrize("kept", [Encoding.ZSTD, Encoding.GZIP], ids=str)
@pytest.mark.parametrize(("sent", "header"), [(Encoding.ZSTD, "zstd"), (Encoding.GZIP, "gzip"), (Encoding.PLAIN, None)])
def test_what_an_earlier_run_compressed_otherwise_is_sent_as_is_wanted_now(
    play: Any, tmp_path: Path, books: Books, kept: Encoding, sent: Encoding, header: str | None
) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.pusher._destination._encoding = sent
        bench.spool._encoding = kept
        bench.append(0)
        bench.append(1)
        bench.append(2)
        assert await bench.pusher.drain() is None
        assert store.bodies == [text(2), text(0) + text(1)]
        assert [headers.get("Content-Encoding") for headers in store.headers] == [header] * 2

    play(scene)


@pytest.mark.parametrize("status", [401, 403, 404, 415, 429, 500, 502, 503, 301, 302, 307])
def test_samples_are_kept_and_sent_again(play: Any, closes: Callable[[], bool], status: int) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        store.will(status, {"Location": "http://127.0.0.1:1/elsewhere"})
        await bench.until_empty(closes)
        assert store.bodies == [text(1), text(1)]
        assert [1 <= wait <= 2 for wait in bench.waits] == [True]

    play(scene)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>Sign in"),
        (400, "text/html", b"<html>nginx"),
        (400, "application/json", b'{"error": "no such index"}'),
        (400, "application/json", b'{"error":"\xff"}'),
        (413, "text/html", b"<html>nginx"),
    ],
)
def test_a_stranger_at_the_address_gets_no_samples_for_good(
    play: Any, closes: Callable[[], bool], status: int, kind: str, body: bytes
) -> None:
    async def scene(bench: Any, store: Any) -> None:
        from aiohttp import web

        async def stranger(_: web.Request) -> web.Response:
            return web.Response(status=status, body=body, content_type=kind)

        bench.append(1)
        store.script.append(stranger)
        await bench.until_empty(closes)
        assert bench.count("delivered_total") == 2
        assert store.bodies == [text(1), text(1)]

    play(scene)


def test_the_store_names_a_hundred_bad_lines_and_counts_them_all(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(0, body=text(1) + b"broken\n" * 150)
        assert await bench.pusher.drain() is None
        assert (bench.count("delivered_total"), bench.count("rejected_total")) == (2, 150)

    play(scene)


def test_a_bug_is_said_counted_and_waited_for_and_the_samples_stay(
    play: Any, closes: Callable[[], bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from metricagent import httpstore

    broken = iter(range(3))

    def decide(*arguments: Any) -> Any:
        if next(broken, None) is not None:
            raise UnicodeDecodeError("utf-8", b"?", 0, 1, "nobody thought of this")
        return answers.decide(*arguments)

    async def scene(bench: Any, store: Any) -> None:
        monkeypatch.setattr(httpstore, "decide", decide)
        bench.append(1)
        await bench.until_empty(closes)
        assert [low <= wait <= 2 * low for wait, low in zip(bench.waits, (1, 2, 4), strict=True)] == [True] * 3
        assert bench.count("delivered_total") == 2
        assert bench.registry.get_sample_value("metricagent_push_bugs_total") == 3

    play(scene)
    bugs = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage().split(": ")[0] for record in bugs] == ["BUG"] * 3
    assert all(record.exc_info for record in bugs)


def test_a_bug_after_each_answer_is_no_tight_loop(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(bench: Any, store: Any) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("nobody thought of this")

        bench.append(1)
        bench.pusher.wake()
        with monkeypatch.context() as patch:
            patch.setattr(bench.spool, "settle", broken)
            running = asyncio.create_task(bench.pusher.run())
            async with asyncio.timeout(60):
                while len(bench.waits) < 5:  # noqa: ASYNC110 a list has no events
                    await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert [low <= wait <= 2 * low for wait, low in zip(bench.waits, (1, 2, 4, 8, 15), strict=False)] == [True] * 5
        assert await bench.pusher.drain() is None

    play(scene)


def test_each_delivery_waits_for_its_turn_and_the_first_one_longer(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        async def tick(number: int) -> None:
            bench.append(number)
            bench.pusher.wake()
            async with asyncio.timeout(60):
                await idle.acquire()

        idle = asyncio.Semaphore(0)
        bench.pusher._state.caught_up = idle.release
        bench.pusher._jitter = jitter = Still()
        jitter.first, jitter.next = iter([4.5]).__next__, iter(range(1, 9)).__next__  # type: ignore[method-assign, assignment]
        running = asyncio.create_task(bench.pusher.run())
        for number in range(3):
            await tick(number)
        assert bench.waits == [4.5, 1, 2]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scene)


def test_late_samples_do_not_hinder_fresh_ones(play: Any, closes: Callable[[], bool]) -> None:
    """After an outage, while the store refuses what is late, and while it takes an age for it: the newest come at once."""
    held = asyncio.Event()

    async def scene(bench: Any, store: Any) -> None:
        async def late(_: Any) -> Any:
            await held.wait()
            return store.problem(503, {"Retry-After": "1"})

        for number in range(20):
            bench.append(number)
        bench.pusher.wake()
        store.script = [store.good, late]
        running = asyncio.create_task(bench.pusher.run())
        await until(lambda: len(store.bodies) == 2)
        assert store.bodies == [text(19), b"".join(map(text, range(19)))]
        for number in range(20, 25):
            bench.append(number)
            bench.pusher.wake()
            await until(lambda number=number: (text(number)) in store.bodies)
            assert closes()
        held.set()
        await bench.delivered(closes)
        assert len(bench.waits) == 1
        assert {at for _, at in store.samples} == set(range(25))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scene)


def test_while_the_store_is_away_only_the_newest_batch_is_tried(play: Any, closes: Callable[[], bool]) -> None:
    async def scene(bench: Any, store: Any) -> None:
        for number in range(5):
            bench.append(number)
        for _ in range(4):
            store.will(503)
        await bench.until_empty(closes)
        assert store.bodies == [text(4)] * 5 + [b"".join(map(text, range(4)))]
        assert len(bench.waits) == 4

    play(scene)


def test_bodies_of_late_samples_are_far_apart(play: Any, closes: Callable[[], bool]) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.pusher._jitter.rest = lambda took: 7.5
        bench.pusher._most = bench.pusher._ceiling = len(text(1)) * 2
        for number in range(7):
            bench.append(number)
        await bench.until_empty(closes)
        assert store.bodies == [text(6)] + [text(number) + text(number + 1) for number in (0, 2, 4)]
        assert bench.waits[:2] == [7.5] * 2

    play(scene)


def test_what_the_disk_does_not_take_is_delivered(
    play: Any, closes: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def scene(bench: Any, store: Any) -> None:
        monkeypatch.setattr(spoolfile, "write", full)
        for number in range(3):
            bench.append(number)
            assert closes()
        assert bench.count("in_memory") == 6
        await bench.until_empty(closes)
        assert {at for _, at in store.samples} == set(range(3))

    play(scene)


def test_a_cut_connection_and_an_absent_store(play: Any, closes: Callable[[], bool], running_store: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        store.will_cut()
        await bench.until_empty(closes)
        assert store.bodies == [text(1), text(1)]
        await running_store.__aexit__()
        bench.append(2)
        later = await bench.pusher.drain()
        assert later.reason == "cannot connect: Connection refused"
        assert len(bench.spool) == 1

    play(scene)


def test_waits_grow_and_retry_after_is_honoured(play: Any, closes: Callable[[], bool]) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        for _ in range(6):
            store.will(500)
        store.will(503, {"Retry-After": "120"})
        await bench.until_empty(closes)
        assert [low <= wait <= 2 * low for wait, low in zip(bench.waits, (1, 2, 4, 8, 15, 15), strict=False)] == [True] * 6
        assert 120 <= bench.waits[6] <= 150

    play(scene)


@pytest.mark.parametrize("lane", ["newest", "oldest"])
def test_what_a_lane_was_reading_when_it_was_told_to_end_is_delivered(
    play: Any, monkeypatch: pytest.MonkeyPatch, lane: str
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    async def scene(bench: Any, store: Any) -> None:
        take = getattr(bench.spool, lane)

        def slowly(*arguments: int) -> Any:
            reading.set()
            assert go_on.wait(60)
            return take(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(bench.spool, lane, slowly)
            bench.append(1)
            bench.append(2)
            bench.pusher.wake()
            running = asyncio.create_task(bench.pusher.run())
            await until(reading.is_set)
            running.cancel()
            asyncio.get_running_loop().call_later(0.02, go_on.set)
            await asyncio.gather(running, return_exceptions=True)
            assert running.cancelled()
            assert await bench.pusher.drain() is None
        assert {at for _, at in store.samples} == {1, 2}
        assert len(bench.spool) == 0

    play(scene)


def test_an_agent_that_is_told_to_end_has_time_for_what_waits(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which each body takes a second; less than a pod has, and than `up` gives it."""
    assert min(GRACE_SECONDS, AGENT_PATIENCE) >= app.LAST_TRY + 5

    async def scene(bench: Any, store: Any) -> None:
        async def slow(request: Any) -> Any:
            monkeypatch.setattr(loop, "time", lambda: now() + len(store.bodies))
            return await store.good(request)

        class Sampling:
            async def run(self, _: asyncio.Event) -> None:
                return

        loop = asyncio.get_running_loop()
        now = loop.time
        bench.pusher._most = bench.pusher._ceiling = 1
        for number in range(10):
            bench.append(number, lines=1)
        store.script = [slow] * 10
        await app._work(Sampling(), bench.pusher, asyncio.Event())  # type: ignore[arg-type]
        assert len(bench.spool) == 0

    play(scene)


def test_bad_lines_are_counted_said_once_and_never_sent_again(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(bench: Any, store: Any) -> None:
        for _ in range(2):
            bench.append(0, body=text(1) + b"broken\n")
            assert await bench.pusher.drain() is None
        assert len(store.bodies) == 2
        assert (bench.count("delivered_total"), bench.count("rejected_total")) == (4, 2)

    play(scene)
    assert caplog.messages == [
        "store refuses 1 samples: broken: not of the form metric,tags value=number timestamp",
    ]


def test_a_token_that_is_replaced_is_used_at_once(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        store.will(401)
        assert (await bench.pusher.drain()).kind == "token"
        bench.token.write_text("second")
        assert await bench.pusher.drain() is None
        assert [headers["Authorization"] for headers in store.headers] == ["Bearer first", "Bearer second"]

    play(scene)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "cannot read T: No such file or directory"),
        ("", "T holds no token"),
        ("a\nb", "T holds no token"),
        ("ü", "cannot read T: 'ascii' codec"),
    ],
)
def test_a_token_that_cannot_be_used(play: Any, token: str | None, reason: str) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        bench.token.unlink()
        if token is not None:
            bench.token.write_text(token)
        later = await bench.pusher.drain()
        assert later.reason.replace(str(bench.token), "T").startswith(reason)
        assert not store.bodies

    play(scene)


def test_a_store_that_takes_less_is_sent_less(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "metricagent")

    async def scene(bench: Any, store: Any) -> None:
        for number in range(5):
            bench.append(number, lines=1000)
        store.script = [store.good]
        store.will(413)
        assert await bench.pusher.drain() is None
        whole = b"".join(text(number, 1000) for number in range(4))
        assert store.bodies[1] == whole
        assert b"".join(store.bodies[2:]) == whole
        assert max(map(len, store.bodies[2:])) <= len(whole) // 2
        assert bench.count("delivered_total") == 5000

    play(scene)
    assert "store takes no body of" in caplog.text


def test_a_store_that_took_less_once_is_sent_more_again(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "metricagent")

    async def scene(bench: Any, store: Any) -> None:
        for _ in range(2):
            store.will(413)
            for _ in range(3):  # in halves, in halves, whole
                before = len(store.bodies)
                bench.append(1, lines=4_000)
                assert await bench.pusher.drain() is None
            assert store.bodies[before:] == [text(1, 4_000)]

    play(scene)
    assert sum("store takes no body of" in message for message in caplog.messages) == 1


def test_what_is_too_large_for_any_request_is_dropped_and_counted(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1)
        bench.append(2)
        store.will(413)
        store.will(413)
        assert await bench.pusher.drain() is None
        assert bench.count("dropped_total", reason="too-large") == 4
        bench.append(3)
        assert await bench.pusher.drain() is None
        assert bench.count("delivered_total") == 2

    play(scene)


def test_one_line_that_is_too_large_is_no_endless_loop(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        bench.append(1, body=b"m,host=" + b"h" * 70_000 + b" value=1 1\n")
        store.will(413)
        assert await bench.pusher.drain() is None
        assert bench.count("dropped_total", reason="too-large") == 1

    play(scene)


def test_an_endless_answer_is_not_read(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        from aiohttp import web

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=400)
            await response.prepare(request)
            try:
                while True:
                    await response.write(b" " * 65536)
            except ConnectionError:
                return response

        bench.append(1)
        store.script.append(endless)
        assert (await bench.pusher.drain()).reason == "answer is larger than 4194304 bytes"
        assert await bench.pusher.drain() is None

    play(scene)


def test_changes_between_agent_and_store_are_said_once(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "metricagent")

    async def scene(bench: Any, store: Any) -> None:
        bench.append(0)
        await bench.pusher.drain()
        for number in range(1, 4):
            bench.append(number)
            store.will(503)
            await bench.pusher.drain()
        for _ in range(2):
            store.will(401)
            await bench.pusher.drain()
        await bench.pusher.drain()
        bench.append(9)
        await bench.pusher.drain()

    play(scene)
    assert caplog.messages == [
        "store reached",
        "store away: it answers 503 (told so); keeping samples in the spool",
        "store away: it refuses our token: 401 (told so); keeping samples in the spool",
        "store reached",
        "caught up: 3 batches delivered",
    ]


def test_any_sequence_of_troubles_loses_nothing(play: Any) -> None:
    async def scene(bench: Any, store: Any) -> None:
        chance = random.Random(7)
        for number in range(40):
            bench.append(number, lines=chance.randint(1, 5))
            for _ in range(chance.choice([0, 0, 1, 2])):
                (store.will_cut if chance.random() < 0.3 else lambda: store.will(chance.choice([401, 429, 500, 503])))()
            await bench.pusher.drain()
        store.script.clear()
        assert await bench.pusher.drain() is None
        assert {at for _, at in store.samples} == set(range(40))
        assert bench.count("delivered_total") == len(store.samples)

    play(scene)
