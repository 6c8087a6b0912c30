"""Scraping pods: real servers at addresses of their own (127.0.0.x), good ones and such as people warn of."""

import asyncio
import gzip
import logging
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from chaos.program import free_port
from metricagent.collector import Reading
from metricagent.pod import Pod, PodContainer
from metricagent.scrape import AT_ONCE, OUTCOMES, UP, Failed, Limits, Scraper, address, container

LIMITS = Limits(timeout=0.5, bytes=10_000, pod_series=50, pod_names=5_000, series=80)
INTERVAL = 0.2
LONG = "x" * 242
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pod(number: int, port: int = 8080, *, uid: str = "", **notes: str) -> Pod:
    """Pod `number`, at 127.0.0.<number>, that asks to be scraped."""
    found = {"scrape": "true", "port": str(port)} | notes
    return Pod(
        uid=uid or f"u{number}",
        name=f"p{number}",
        namespace="shop",
        ip=f"127.0.0.{number}",
        host_network=False,
        containers=(
            PodContainer("setup", "0" * 64, init=True),
            PodContainer("app", f"{number:064}"),
            PodContainer("b", "f" * 64),
        ),
        annotations=tuple(sorted((f"prometheus.io/{name}", value) for name, value in found.items())),
    )


class Known:
    """The pods of a node, as the test says."""

    def __init__(self, *pods: Pod) -> None:
        self.pods: tuple[Pod, ...] = pods
        self.owners: Mapping[str, Pod] = {}  # of addresses that went to another pod

    def running(self) -> Iterable[Pod]:
        return self.pods

    def by_ip(self, ip: str) -> Pod | None:
        return self.owners.get(ip) or next((pod for pod in self.pods if pod.ip == ip and not pod.host_network), None)


@asynccontextmanager
async def serving(number: int, answer: str | Handler, path: str = "/metrics") -> AsyncIterator[int]:
    """A pod's server; its port."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=answer) if isinstance(answer, str) else await answer(request)

    app = web.Application()
    app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, f"127.0.0.{number}", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Bench:
    """A scraper at work, and what it counts."""

    def __init__(self, known: Known, registry: CollectorRegistry, limits: Limits = LIMITS, interval: float = INTERVAL) -> None:
        self.registry = registry
        self.scraper = Scraper(directory=known, interval=interval, limits=limits, registry=registry, now=time.monotonic)

    async def __aenter__(self) -> "Bench":
        self.running = asyncio.create_task(self.scraper.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("metricagent_scrapes_total", {"outcome": outcome}) or 0.0

    def left_out(self, reason: str) -> float | None:
        return self.registry.get_sample_value("metricagent_scrape_samples_left_out_total", {"reason": reason})

    async def until(self, outcome: str, times: int = 1) -> list[Reading]:
        """Wait for an outcome to be counted; what there is to read then."""
        await eventually(lambda: self.count(outcome) >= times)
        return self.readings()

    def readings(self) -> list[Reading]:
        return self.scraper.collect(time.monotonic())


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 counters have no events
            await asyncio.sleep(0.002)


def up(number: int, value: float = 1.0) -> Reading:
    return Reading("scrape_up", value, "container", f"{number:064}")


def below(number: int, kind: str, metric: str, value: float, **tags: str) -> Reading:
    return Reading(metric, value, "container", f"{number:064}", "app", kind, tuple(sorted(tags.items())))


def test_samples_go_below_the_pods_first_container_with_their_kinds(registry: CollectorRegistry) -> None:
    text = (
        "# TYPE hits counter\nhits_total{code=\"200\"} 5\n# TYPE size gauge\nsize 3\n"
        '# TYPE wait histogram\nwait_bucket{le="+Inf"} 2\nwait_sum 0.5\nwait_count 2\n'
        '# TYPE rpc summary\nrpc{quantile="0.5"} NaN\nrpc_count 0\nplain{pod="p9",hostname="n9",label_app="z",job="j"} 1\n'
        "info 1\nnet_bytes_in 1\nload_one 1\n"
    )  # fmt: skip

    async def scene() -> None:
        async with serving(1, text) as port, Bench(Known(pod(1, port)), registry) as bench:
            readings = await bench.until("ok")
            assert readings == [
                up(1),
                below(1, "counter", "hits_total", 5.0, code="200"),
                below(1, "gauge", "size", 3.0),
                below(1, "histogram", "wait_bucket", 2.0, le="+Inf"),
                below(1, "histogram", "wait_sum", 0.5),
                below(1, "histogram", "wait_count", 2.0),
                below(1, "summary", "rpc_count", 0.0),
                below(1, "untyped", "plain", 1.0, exported_pod="p9", exported_hostname="n9", exported_label_app="z", job="j"),
            ]
            assert bench.left_out("not-finite") == bench.count("ok")
            assert bench.left_out("name") == 3 * bench.count("ok")

    asyncio.run(scene())


def test_it_asks_the_path_that_the_pod_names_and_sends_nothing_of_its_own(registry: CollectorRegistry) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path_qs, dict(request.headers)))
        return web.Response(text="x 1\n", headers={"Set-Cookie": "a=b"})

    async def scene() -> None:
        async with serving(1, answer, "/app/stats") as port:
            async with Bench(Known(pod(1, port, path="app/stats?format=prom")), registry) as bench:
                await bench.until("ok", 2)
            assert {line[:2] for line in asked} == {("GET", "/app/stats?format=prom")}
            for *_, headers in asked:
                assert headers.pop("Host") == f"127.0.0.1:{port}"
                assert headers.pop("User-Agent").startswith("metricagent/")
                assert headers.pop("Connection") == "close"
                assert headers.keys() == {"Accept", "Accept-Encoding"}
                assert headers["Accept-Encoding"] == "identity"

    asyncio.run(scene())


async def bomb(_: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"x 1\n" * 1000), headers={"Content-Encoding": "gzip"})


async def elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/other")


async def refusing(_: web.Request) -> web.StreamResponse:
    raise web.HTTPUnauthorized


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x 1\n")
    assert request.transport is not None
    request.transport.close()
    return response


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x 1\n")
        await asyncio.sleep(0.01)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"# " + b"x" * 1000 + b"\n")


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ("x 1", "format", "line 1: does not end with a line feed"),
        ("<html>\n", "format", "line 1: not of the form"),
        ("".join(f"m{i} 1\n" for i in range(51)), "series", "line 51: more than 50 samples (scrape.series-per-pod)"),
        (endless, "bytes", "its answer has more than 10000 bytes (scrape.body-bytes)"),
        (
            "".join(f'm{{a="{i}{LONG}"}} 1\n' for i in range(10, 30)),
            "bytes",
            "its 20 samples have 5020 bytes of names and labels, more than 5000 (scrape.bytes-per-pod)",
        ),
        (bomb, "encoding", "it answers in Content-Encoding 'gzip'"),
        (elsewhere, "status", "it answers 302"),
        (refusing, "status", "it answers 401"),
        (cut, "connect", ""),
        (silent, "timeout", "it did not answer within 0.1 s"),
        (dripping, "timeout", "it did not answer within 0.1 s"),
    ],
)
def test_a_pod_that_cannot_be_scraped_is_down_and_the_log_says_why(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, answer: str | Handler, outcome: str, said: str
) -> None:
    async def scene() -> None:
        async with serving(1, "good 1\n") as one, serving(2, answer) as two:  # noqa: SIM117
            async with Bench(Known(pod(1, one), pod(2, two)), registry) as bench:
                await bench.until(outcome)
                expected = sorted([up(1), up(2, 0.0), below(1, "untyped", "good", 1.0)])
                await eventually(lambda: sorted(bench.readings()) == expected)

    asyncio.run(scene())
    assert [line for line in caplog.messages if line.startswith("cannot scrape pod shop/p2: ") and said in line]


def test_nobody_there_is_said_once(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with Bench(Known(pod(1, free_port())), registry) as bench:
            assert await bench.until("connect", 3) == [up(1, 0.0)]

    asyncio.run(scene())
    assert [line[:34] for line in caplog.messages] == ["cannot scrape pod shop/p1: cannot "]


def test_a_scrape_that_fails_takes_the_readings_along_and_the_next_brings_them_back(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = ["x 1\n"]

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text[0])

    async def scene() -> None:
        async with serving(1, answer) as port, Bench(Known(pod(1, port)), registry) as bench:
            assert await bench.until("ok") == [up(1), below(1, "untyped", "x", 1.0)]
            text[0] = "broken\n"
            assert await bench.until("format") == [up(1, 0.0)]
            text[0] = "x 2\n"
            await eventually(lambda: bench.readings() == [up(1), below(1, "untyped", "x", 2.0)])

    asyncio.run(scene())
    assert caplog.messages[-1] == "pod shop/p1 can be scraped again"


def test_the_limit_of_all_pods_keeps_who_came_first(registry: CollectorRegistry) -> None:
    text = "".join(f"m{i} 1\n" for i in range(45))

    async def scene() -> None:
        async with serving(1, text) as one, serving(2, text) as two, Bench(Known(pod(1, one), pod(2, two)), registry) as bench:
            await bench.until("ok", 2)
            await bench.until("series", 2)
            await eventually(
                lambda: sorted(reading.value for reading in bench.readings() if reading.metric == UP) == [0.0, 1.0]
            )
            assert len(bench.readings()) == 47

    asyncio.run(scene())


def test_readings_of_long_ago_are_not_given(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with serving(1, "x 1\n") as port, Bench(Known(pod(1, port)), registry) as bench:
            await bench.until("ok")
        assert bench.scraper.collect(time.monotonic() + 3 * INTERVAL) == []

    asyncio.run(scene())


def test_a_pod_that_is_gone_or_no_longer_asks_has_no_readings(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with serving(1, "x 1\n") as one, serving(2, "x 1\n") as two:
            known = Known(pod(1, one), pod(2, two))
            async with Bench(known, registry) as bench:
                await eventually(lambda: len(bench.readings()) == 4)
                known.pods = (pod(1, one), pod(2, two, scrape="false"))
                await eventually(lambda: len(bench.readings()) == 2)
                known.pods = ()
                await eventually(lambda: registry.get_sample_value("metricagent_scrape_pods") == 0)
                assert bench.readings() == []

    asyncio.run(scene())


def test_an_address_that_went_to_another_pod_is_not_asked_for_the_old_one(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with serving(1, "mine 1\n") as port:
            old, new = pod(1, port, uid="old"), pod(1, port, uid="new")
            known = Known(old)
            async with Bench(known, registry) as bench:
                await bench.until("ok")
                known.pods, known.owners = (old, new._replace(containers=())), {old.ip: new}
                await eventually(lambda: bench.readings() == [])

    asyncio.run(scene())


def test_a_pod_on_the_hosts_network_is_asked_at_the_nodes_address(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with serving(1, "x 1\n") as port, Bench(Known(pod(1, port)._replace(host_network=True)), registry) as bench:
            assert await bench.until("ok") == [up(1), below(1, "untyped", "x", 1.0)]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        ({}, "http://127.0.0.1:8080/metrics"),
        ({"port": "65535", "path": "/a/b"}, "http://127.0.0.1:65535/a/b"),
        ({"path": "//evil.example/x"}, "http://127.0.0.1:8080//evil.example/x"),
        ({"path": "@evil.example/"}, "http://127.0.0.1:8080/@evil.example/"),
        ({"path": "http://evil.example/"}, "http://127.0.0.1:8080/http://evil.example/"),
        ({"path": "/a b#c?d=e&f=#"}, "http://127.0.0.1:8080/a%20b%23c?d=e&f=%23"),
        ({"path": "/\r\nHost: x"}, "http://127.0.0.1:8080/%0D%0AHost:%20x"),
        ({"scheme": "http"}, "http://127.0.0.1:8080/metrics"),
    ],
)
def test_an_address_is_the_pods_whatever_its_annotations_say(notes: dict[str, str], found: str) -> None:
    assert str(address(pod(1, **{"port": "8080"} | notes))) == found  # type: ignore[arg-type]


def test_an_address_of_version_six() -> None:
    assert str(address(pod(1)._replace(ip="fd00::1"))) == "http://[fd00::1]:8080/metrics"


@pytest.mark.parametrize(
    "notes",
    [{"port": ""}, {"port": "0"}, {"port": "65536"}, {"port": "http"}, {"port": "-1"}, {"port": "1:2"}, {"port": "٣"},
     {"scheme": "https"}, {"scheme": ""}, {"path": "/" + "x" * 1024}],
)  # fmt: skip
def test_annotations_that_cannot_be_used(notes: dict[str, str]) -> None:
    with pytest.raises(Failed, match=r"^prometheus\.io/") as caught:
        address(pod(1, **notes))  # type: ignore[arg-type]
    assert caught.value.outcome == "annotation"


@given(st.text(), st.text())
def test_no_annotation_names_another_host(port: str, path: str) -> None:
    try:
        url = address(pod(1, port=port, path=path))  # type: ignore[arg-type]
    except Failed:
        return
    assert (url.scheme, url.host, url.user, str(url.port)) == ("http", "127.0.0.1", None, str(int(port)))


def test_wrong_annotations_are_counted_and_the_pod_is_down(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with Bench(Known(pod(1, scheme="https")), registry) as bench:
            assert await bench.until("annotation") == [up(1, 0.0)]

    asyncio.run(scene())


def test_a_pod_without_a_running_container_or_an_address_is_left_alone(registry: CollectorRegistry) -> None:
    starting = pod(1)._replace(containers=(PodContainer("setup", "0" * 64, init=True), PodContainer("app", "")))
    assert container(starting) == ""

    async def scene() -> None:
        async with Bench(Known(starting, pod(2)._replace(ip="")), registry) as bench:
            await eventually(lambda: registry.get_sample_value("metricagent_scrape_pods") == 0)
            await asyncio.sleep(2 * INTERVAL)
            assert bench.readings() == []
            assert not any(map(bench.count, OUTCOMES))

    asyncio.run(scene())


def test_an_error_nobody_thought_of_costs_one_pod(registry: CollectorRegistry, caplog: pytest.LogCaptureFixture) -> None:
    broken = pod(2)._replace(ip="no address")

    async def scene() -> None:
        async with serving(1, "x 1\n") as port, Bench(Known(pod(1, port), broken), registry) as bench:
            await bench.until("bug", 2)
            await bench.until("ok", 2)

    asyncio.run(scene())
    assert "BUG: cannot scrape pod shop/p2" in caplog.messages


def test_few_answers_are_read_at_once(registry: CollectorRegistry) -> None:
    """Bodies of 9 MB, no line of which ends: no more than a few of them leave the buffers of the kernel."""
    line = b"#" * 65_535
    sent: list[int] = []

    async def scene() -> None:
        gate = asyncio.Event()

        async def flood(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            number = len(sent)
            sent.append(0)
            for _ in range(150):
                await response.write(line + b"\n")
                sent[number] += 1
            await gate.wait()
            return response

        async with serving(2, flood) as port:
            soon = [uid for uid in map(str, range(10_000)) if zlib.crc32(uid.encode()) < 2**32 / 500][: 3 * AT_ONCE]
            pods = [pod(2, port, uid=uid)._replace(host_network=True) for uid in soon]
            async with Bench(Known(*pods), registry, Limits(20.0, 10_000_000, 50, 5_000, 80), interval=20.5) as bench:
                await eventually(lambda: len(sent) == len(pods) and sent.count(150) == AT_ONCE)
                assert sent.count(150) == AT_ONCE
                gate.set()
                await bench.until("ok", len(pods))

    asyncio.run(scene())


def test_a_hundred_pods_that_hang_do_not_keep_the_others(registry: CollectorRegistry) -> None:
    async def scene() -> None:
        async with serving(1, "x 1\n") as one, serving(2, silent) as two:
            hanging = [pod(2, two, uid=f"h{number}")._replace(host_network=True) for number in range(100)]
            async with Bench(Known(pod(1, one), *hanging), registry, interval=0.4) as bench:
                await bench.until("timeout", 200)
                await bench.until("ok", 2)

    asyncio.run(scene())
