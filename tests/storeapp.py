"""A whole store in this process, asked over ASGI."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from metricstore import settings
from metricstore.app import App

MakeApp = Callable[..., App]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def make_app(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[MakeApp]:
    """A store with such settings, its log played; closed at the end."""
    apps = []

    def make(found: dict[str, Any] | None = None, **options: Any) -> App:
        found = found or {}
        store = {"directory": str(tmp_path / "data")} | found.get("metric-store", {})
        loaded, _ = settings.load(found | {"metric-store": store}, "test")
        app = App(loaded, **({"open_to_all": True} | options))
        app.engine.recover()
        apps.append(app)
        return app

    yield make
    for app in apps:
        loop.run_until_complete(app.engine.close())


class Client:
    """Asks one application; answers are read whole."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any) -> None:
        self._loop, self._app = loop, app

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
                return await client.request(method, path, **more)

        return self._loop.run_until_complete(ask())


@pytest.fixture
def client(loop: asyncio.AbstractEventLoop) -> Callable[[Any], Client]:
    return lambda app: Client(loop, app)
