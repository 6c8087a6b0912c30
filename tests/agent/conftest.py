"""What the agent's tests share: the fixture trees, a fresh registry, and a store that answers as it is told."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from chaos.program import free_port
from metricagent.books import Books
from metricagent.encoding import zstd
from metricagent.host import Host
from metricwire.lineprotocol import decode

GOLDEN = Path(__file__).parents[1] / "golden"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
UNPACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.fixture
def golden() -> Path:
    return GOLDEN


@pytest.fixture
def host() -> Host:
    return Host(proc=GOLDEN / "proc", sys=GOLDEN / "sys", root=Path("/host/root"))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def books(registry: CollectorRegistry) -> Books:
    return Books(registry)


@pytest.fixture
def closes(registry: CollectorRegistry) -> Callable[[], bool]:
    """Whether the books do: see metricagent.books."""

    def total(name: str) -> float:
        return sum(s.value for metric in registry.collect() for s in metric.samples if s.name == f"metricagent_samples_{name}")

    def closes() -> bool:
        came = total("sampled_total") + total("restored_total")
        return came == sum(map(total, ("delivered_total", "rejected_total", "dropped_total", "spooled", "in_memory")))

    return closes


class FakeStore:
    """POST /api/write as our store answers it; `script` holds answers to give instead, the next one first."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.bodies: list[bytes] = []  # texts of what was sent, whatever the answer was
        self.headers: list[Any] = []
        self.samples: dict[Any, float] = {}
        self.written = asyncio.Event()

    async def write(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(UNPACK[request.headers.get("Content-Encoding", "")](body))
        self.headers.append(request.headers)
        self.written.set()
        if self.script:
            return await self.script.pop(0)(request)
        return await self.good(request)

    async def good(self, request: web.Request) -> web.StreamResponse:
        """Take what there is to be taken."""
        batch = decode(self.bodies[-1], now=0)
        self.samples |= {(sample.series, sample.timestamp): sample.value for sample in batch.samples}
        if batch.bad:
            bad = [bad._asdict() for bad in batch.bad]
            return self.problem(400, stored=len(batch.samples), rejected_lines=len(bad), rejected=bad[:100])
        return web.Response(content_type="application/json")

    def problem(self, status: int, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
        return web.json_response({"status": "Bad", "error": "told so", **more}, status=status, headers=headers)

    def will(self, status: int, headers: dict[str, str] | None = None) -> None:
        """Answer one request with this status."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return self.problem(status, headers)

        self.script.append(answer)

    def will_cut(self) -> None:
        """Close the connection of one request without an answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self.script.append(answer)


class RunningStore:
    """A FakeStore that listens, on a port that stays the same when it is stopped and started again."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.port = free_port()

    async def __aenter__(self) -> FakeStore:
        app = web.Application()
        app.router.add_post("/api/write", self.store.write)
        self._runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        return self.store

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def running_store() -> RunningStore:
    return RunningStore()


@pytest.fixture
def write_settings(tmp_path: Path) -> Callable[..., Path]:
    """A settings file for an agent of its own ports; what is given replaces what is there, section by section."""

    def write(url: str, **more: Any) -> Path:
        (tmp_path / "token").write_text("secret\n")
        found: dict[str, Any] = {
            "cluster": "fritz",
            "hostname": "n1",
            "interval": 1,
            "store": {"url": url, "token-file": str(tmp_path / "token")},
            "spool": {"directory": str(tmp_path / "spool")},
            "api": {"address": "127.0.0.1:0", "anonymous": True},
            "metrics-address": "127.0.0.1:0",
        }
        path = tmp_path / "agent.json"
        path.write_text(json.dumps(found | more))
        return path

    return write
