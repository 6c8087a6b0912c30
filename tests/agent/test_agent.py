"""The tick: what is read is shown, spooled and counted; and the loop around it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from metricagent.agent import Agent, Clock
from metricagent.books import Books
from metricagent.collector import Reading, Runner
from metricagent.labels import Labeller
from metricagent.latest import Latest
from metricagent.pod import Pod, PodContainer
from metricagent.podobject import Described
from metricagent.pods import Pods
from metricagent.spool import Spool
from metricwire.lineprotocol import decode
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
def pods() -> Pods:
    return Pods()


@pytest.fixture
def make(spool: Spool, latest: Latest, pods: Pods, books: Books, registry: CollectorRegistry) -> Make:
    def make(*readings: Reading, interval: float = 10, wake: Callable[[], None] = int, clock: Clock = Clock()) -> Agent:  # noqa: B008
        return Agent(
            place=Place("c", "h"),
            interval=interval,
            runner=Runner({"source": Source(*readings)}, registry),
            labeller=Labeller(Place("c", "h"), pods, interval),
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
    (batch,) = spool.newest()
    assert batch.packed.text().splitlines() == [
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
    assert [batch.stored.samples for batch in spool.oldest(1 << 20) + spool.newest()] == [1, 1]
    assert len(caplog.messages) == 1
    assert "'/a\\nb' are not sent" in caplog.messages[0]
    assert closes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_dropped_and_not_shown(
    make: Make, spool: Spool, latest: Latest, registry: CollectorRegistry, closes: Callable[[], bool], value: float
) -> None:
    agent = make(Reading("uptime", value), Reading("load_one", 1.0))
    agent.tick(1010.0)
    agent.tick(1020.0)
    assert [sample.series.metric for sample in latest.fresh(1020)] == ["load_one"]
    assert registry.get_sample_value("metricagent_samples_dropped_total", {"reason": "value"}) == 2
    assert closes()


def test_labels_of_a_container_are_a_line_and_count_in_the_books(
    make: Make, spool: Spool, latest: Latest, pods: Pods, registry: CollectorRegistry, closes: Callable[[], bool]
) -> None:
    container = "a1" * 32
    pod = Pod("u", "web 1", "shop", "", False, (PodContainer("app", container),), "web", "Deployment")
    pods.put(Described(pod, (), {}, ended=False), 0)
    agent = make(Reading("container_threads", 3.0, "container", container), Reading("uptime", 1.0))
    agent.tick(1010.0)
    agent.tick(1020.0)
    texts = [batch.packed.text().splitlines() for batch in spool.oldest(1 << 20) + spool.newest()]
    assert [len(lines) for lines in texts] == [3, 2]
    assert texts[0][0] == (
        b"info,cluster=c,hostname=h,type=container,type-id=%b,container=app,namespace=shop,owner=web,owner_kind=Deployment,"
        b"pod=web\\ 1,pod_uid=u value=1 1010" % container.encode()
    )
    place = Place("c", "h", "container", container, "app", "gauge")
    assert latest.labels_of(place)["pod"] == "web 1"
    assert registry.get_sample_value("metricagent_samples_sampled_total") == 5
    assert closes()


def test_a_label_that_no_line_can_carry_costs_nothing_else(
    make: Make, spool: Spool, pods: Pods, closes: Callable[[], bool]
) -> None:
    pod = Pod("u", "web\n1", "shop", "", False, (PodContainer("app", "a1" * 32),))
    pods.put(Described(pod, (), {}, ended=False), 0)
    make(Reading("container_threads", 3.0, "container", "a1" * 32)).tick(1010.0)
    (batch,) = spool.newest()
    assert batch.stored.samples == 2
    (labels,) = decode(batch.packed.text(), now=0).labels
    assert dict(labels.labels) == {"namespace": "shop", "container": "app", "pod_uid": "u"}
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
        async with asyncio.timeout(60):
            for _ in range(3):
                await ticks.acquire()
        stop.set()
        await running

    asyncio.run(run())
    assert len(spool) >= 3
    assert closes()


def test_however_long_the_interval_the_first_reading_is_shown_at_once_and_not_kept(
    make: Make, spool: Spool, registry: CollectorRegistry
) -> None:
    now = 1_767_225_607.9
    latest = Latest(86400)

    async def run() -> None:
        stop = asyncio.Event()
        agent = make(Reading("uptime", 1.0), Reading("load_one", float("nan")), interval=86400, clock=Clock(lambda: now))
        agent._latest = latest
        running = asyncio.create_task(agent.run(stop))
        async with asyncio.timeout(60):
            while not latest.fresh(now):  # noqa: ASYNC110 samples have no events
                await asyncio.sleep(0.005)
        stop.set()
        await running

    asyncio.run(run())
    assert latest.fresh(now) == [Sample(SeriesKey(Place("c", "h"), "uptime"), 1_767_225_607, 1.0)]
    assert len(spool) == 0
    assert {registry.get_sample_value(f"metricagent_samples_{name}_total") for name in ("sampled", "delivered")} == {0}


def test_a_loop_that_no_longer_ticks_is_not_alive(make: Make) -> None:
    now = 1000.0
    agent = make(clock=Clock(lambda: now, lambda: now))
    now += 59
    assert agent.alive()
    now += 2
    assert not agent.alive()
