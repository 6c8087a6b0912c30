"""A store in this process that takes lines from a real nats-server, as fixtures, and what tests ask of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from metricstore.app import App
from metricstore.feeds.feed import Feed
from natsserver import NatsServer
from storeapp import MakeApp

START = int(time.time()) // 1000 * 1000 - 20_000
CORE = {"subscribe-to": "hpc-nats", "cluster-tag": "fritz"}
STREAM = CORE | {"stream": "METRICS"}

MakeServer = Callable[..., NatsServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    servers: list[NatsServer] = []

    def make(settings: str = "") -> NatsServer:
        servers.append(NatsServer(tmp_path, settings))
        return servers[-1]

    yield make
    for one in servers:
        one.stop()


@pytest.fixture
def server(make_server: MakeServer) -> NatsServer:
    return make_server().start()


class Store:
    """A store in this process that takes what its subscriptions bring."""

    def __init__(self, app: App, feed: Feed) -> None:
        self.app, self.feed = app, feed
        self._registry = CollectorRegistry()
        self._registry.register(feed.collector)

    def nats(self, name: str, **labels: str) -> float:
        """A value of metricstore_nats_*, over all subscriptions with these labels."""
        name = f"metricstore_nats_{name}"
        return sum(
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app.api), base_url="http://store") as client:
            return await client.request(method, path, **more)

    async def values(self, host: str = "h", count: int = 10, cluster: str = "fritz") -> list[float | None]:
        """Samples of the host's metric `m` from START."""
        asked = {"cluster": cluster, "from": START, "to": START + count, "queries": [{"metric": "m", "host": host}]}
        row = (await self.ask("POST", "/api/query", json=asked)).json()["results"][0]
        found = dict(enumerate(row[0]["data"], START)) if row else {}
        return [found.get(START + n) for n in range(count)]

    async def lines(self) -> dict[str, float]:
        """`metricstore_lines_total` by outcome, reasons together, and `received`."""
        found: dict[str, float] = {}
        for line in (await self.ask("GET", "/metrics/self")).text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("metricstore_lines_total{"):
                outcome = name.partition('outcome="')[2].partition('"')[0]
                found[outcome] = found.get(outcome, 0) + float(value)
            elif name == "metricstore_lines_received_total":
                found["received"] = float(value)
        return found


MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(make_app: MakeApp, loop: asyncio.AbstractEventLoop) -> Iterator[MakeStore]:
    stores: list[Store] = []

    def make(url: str, *subscriptions: dict[str, str], nats: dict[str, Any] | None = None, **store: Any) -> Store:
        found = {
            "nats": {"address": url, "ack-wait": "10s"} | (nats or {}),
            "metric-store": {"nats-subscriptions": list(subscriptions)} | store,
            "metrics": {"m": {"frequency": 1}},
        }
        app = make_app(found)
        stores.append(Store(app, app.feed))

        async def begin() -> None:
            app.feed.start()

        loop.run_until_complete(begin())
        return stores[-1]

    yield make
    for one in stores:
        loop.run_until_complete(one.feed.stop())


async def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} does not come true"
        await asyncio.sleep(0.01)


def line(n: int, host: str = "h") -> bytes:
    return f"m,hostname={host} value={n} {START + n}".encode()


def messages(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.name.startswith("metricstore.feeds")]
