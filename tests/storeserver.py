"""A real store in a thread of its own, which listens on two ports of this machine: its API, and that for operations."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import uvicorn

from metricscluster.client import Client
from metricstore import settings
from metricstore.app import App, Server


class Store:
    """Without `key_file`, the file of a public key, everybody may do everything. `tls`: files of certificate and key."""

    def __init__(
        self,
        directory: Path,
        metrics: dict[str, Any],
        key_file: Path | None = None,
        tls: tuple[Path, Path] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store = {
            "directory": str(directory),
            "limits": {"connections-per-address": 16},
            "retention-in-memory": "87600h",
            "public-key-files": [str(key_file)] if key_file else [],
            "strict-roles": bool(key_file),
        }
        loaded, _ = settings.load({"metric-store": store, "metrics": metrics}, "test")
        self.app = App(loaded, open_to_all=key_file is None, clock=clock)
        self._listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.operations_port = (one.getsockname()[1] for one in self._listening)
        self.url = f"http://127.0.0.1:{self.port}"
        api = uvicorn.Config(self.app.api, log_config=None, lifespan="off")
        if tls:
            api.ssl_certfile, api.ssl_keyfile = tls
        operations = uvicorn.Config(self.app.operations, log_config=None, lifespan="off")
        self._servers = [Server(api), Server(operations)]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.app.engine.recover()

    def start(self) -> "Store":
        self._thread.start()
        return self

    def seal(self) -> None:
        asyncio.run_coroutine_threadsafe(self.app.engine.seal(), self._loop).result()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(one.serve([at]) for one, at in zip(self._servers, self._listening, strict=True)))
        await self.app.engine.close()

    def stop(self) -> None:
        for server in self._servers:
            server.should_exit = True
        self._thread.join()

    def write(self, *lines: str, token_file: Path | None = None) -> None:
        with closing(Client(self.url, token_file)) as client:
            assert client.post("/api/write", "\n".join(lines).encode()).status == 200

    def lines(self) -> set[bytes]:
        return set(b"".join(Client(self.url).stream("/api/export", [("cluster", "fritz")])).splitlines()[:-1])
