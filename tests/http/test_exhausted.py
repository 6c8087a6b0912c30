"""What the store answers where something is used up: the disk, or the turns of those who scrape."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from metricstore.api.prometheus import SCRAPES
from metricstore.disk.files import Files
from storeapp import Client, MakeApp


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", "/api/free?to=99999999999", "cannot free: No space left on device; what was not freed yet stays"),
        ("GET", "/api/backup", "cannot back up: No space left on device"),
    ],
)
def test_a_full_disk_is_no_bug(
    make_app: MakeApp,
    client: Callable[[Any], Client],
    monkeypatch: pytest.MonkeyPatch,
    loop: asyncio.AbstractEventLoop,
    method: str,
    path: str,
    error: str,
) -> None:
    app = make_app()
    ask = client(app.api)
    lines = b"m,cluster=c,hostname=h1 value=1\nm,cluster=c,hostname=h2 value=1"
    assert ask("POST", "/api/write", content=lines).status_code == 200
    loop.run_until_complete(app.engine.seal())
    body = {"content": b'[["c", "h1"]]'} if method == "POST" else {}
    with monkeypatch.context() as full:
        full.setattr(Files, "create", no_room)
        answer = ask(method, path, **body)
    assert (answer.status_code, answer.json()["error"]) == (503, error)
    assert int(answer.headers["retry-after"]) > 0
    assert ask(method, path, **body).status_code == 200


def test_a_crowd_at_the_api_does_not_keep_the_port_for_operations_from_scraping(
    make_app: MakeApp, loop: asyncio.AbstractEventLoop
) -> None:
    app = make_app({"metric-store": {"anonymous-metrics": True}})
    found: list[tuple[str, int]] = []

    async def scrape(name: str) -> None:
        transport = httpx.ASGITransport(app=getattr(app, name))
        async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
            answer = await client.get("/metrics")
        found.append((name, answer.status_code))
        if answer.status_code == 503:
            assert answer.json()["error"] == "cannot answer now: 16 requests for /metrics wait already, as many as may"

    async def main() -> None:
        await asyncio.gather(*(scrape("api") for _ in range(SCRAPES + 4)), scrape("operations"))

    loop.run_until_complete(main())
    answered = [one for one in found if one[1] == 200]
    assert found.count(("api", 503)) == 4
    assert answered.index(("operations", 200)) <= 2
    assert len(answered) == SCRAPES + 1
