"""The tick: what is read is shown, spooled and counted; and the loop around it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from metricagent.agent import Agent, Clock
from metricagent.books import Books
from metricagent.collector import Reading, Runner
from metricagent.latest import Latest
from metricagent.spool import Spool
from metricwire.samples import Place, Sample, SeriesKey


class Source:
    """The one collector of an agent at c/h; it always reads the same."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)

    def collect(self, _: float) -> list[Reading]:
        return self.readings


Make = Callable[..., Agent]


@pytest.fixture
def spool(tmp_path: Path, books: Books) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", 1 << 20, books)
    yield spool
    spool.close()


@pytest.fixture
def latest() -> Latest:
    return Latest(10)


@pytest.fixture
def make(spool: Spool, latest: Latest, books: Books, registry: CollectorRegistry) -> Make:
    def make(*readings: Reading, interval: float = 10, wake: Callable[[], None] = int, clock: Clock = Clock()) -> Agent:  # noqa: B008
        return Agent(
            place=Place("c", "h"),
            interval=interval,
            runner=Runner({"source": Source(*readings)}, registry),
            latest=latest,
            spool=spool,
            books=books,
            registry=registry,
            wake=wake,
            clock=clock,
        )

    return make


def test_a_tick_is_shown_and_spooled(make: Make, spool: Spool, latest: Latest, closes: Callable[[], bool]) -> None:
    make(Reading("uptime", 5.5), Reading("disk_free", 7.0, stype="filesystem", stype_id="/a b")).tick(1010.0)
    assert latest.fresh(1010) == [
        Sample(SeriesKey(Place("c", "h"), "uptime"), 1010, 5.5),
        Sample(SeriesKey(Place("c", "h", "", "", "filesystem", "/a b"), "disk_free"), 1010, 7.0),
    ]
    (batch,) = spool.oldest(1)
    assert batch.text.splitlines() == [
        b"uptime,cluster=c,hostname=h value=5.5 1010",
        b"disk_free,cluster=c,hostname=h,stype=filesystem,stype-id=/a\\ b value=7.0 1010",
    ]
    assert closes()


def test_what_no_line_can_carry_is_dropped_counted_and_said_once(
    make: Make, spool: Spool, closes: Callable[[], bool], caplog: pytest.LogCaptureFixture
) -> None:
    agent = make(Reading("uptime", 1.0), Reading("disk_free", 1.0, stype="filesystem", stype_id="/a\nb"))
    agent.tick(1010.0)
    agent.tick(1020.0)
    assert [batch.stored.samples for batch in spool.oldest(1 << 20)] == [1, 1]
    assert len(caplog.messages) == 1
    assert "'/a\\nb' are not sent" in caplog.messages[0]
    assert closes()


def test_nothing_to_send_is_no_batch(make: Make, spool: Spool) -> None:
    make().tick(1010.0)
    assert len(spool) == 0


def test_slow_ticks_are_skipped_counted_and_said_once(
    make: Make, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "metricagent")
    agent = make()
    for took, skipped in ((25.0, 2), (12.0, 1), (1.0, 0)):
        agent._note_skipped(skipped, took)
    assert registry.get_sample_value("metricagent_ticks_skipped_total") == 3
    assert caplog.messages == [
        "reading the host took 25.0 s, longer than the interval of 10 s: ticks are skipped",
        "reading the host takes less than the interval again",
    ]


def test_the_loop_ticks_until_it_is_told_to_stop(make: Make, spool: Spool, closes: Callable[[], bool]) -> None:
    async def run() -> None:
        stop, ticks = asyncio.Event(), asyncio.Semaphore(0)
        running = asyncio.create_task(make(Reading("uptime", 1.0), interval=0.02, wake=ticks.release).run(stop))
        async with asyncio.timeout(10):
            for _ in range(3):
                await ticks.acquire()
        stop.set()
        await running

    asyncio.run(run())
    assert len(spool) >= 3
    assert closes()


def test_a_loop_that_no_longer_ticks_is_not_alive(make: Make) -> None:
    now = 1000.0
    agent = make(clock=Clock(lambda: now, lambda: now))
    now += 59
    assert agent.alive()
    now += 2
    assert not agent.alive()
