"""Backups and exports: whoever asks for one may leave at any time, and nobody else waits for it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metricstore import engine
from metricstore.reading import Reader
from storeapp import Client, MakeApp

NOW = 1_800_000_000


class Leaver:
    """Asks for a path over ASGI, and leaves as soon as there have been so many messages of the answer."""

    def __init__(self, path: str, messages: int) -> None:
        self.scope = {"type": "http", "asgi": {}, "method": "GET", "path": path, "query_string": b"", "headers": []}
        self.body = bytearray()
        self._left, self._gone = messages, asyncio.Event()

    async def receive(self) -> Any:
        if self._left > 0:
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.body += message.get("body", b"")
        self._left -= 1
        if self._left <= 0:
            self._gone.set()


@pytest.mark.parametrize("messages", [0, 1, 2, 3])
def test_a_backup_lets_go_of_its_files_whenever_its_client_leaves(
    make_app: MakeApp, loop: asyncio.AbstractEventLoop, tmp_path: Path, messages: int
) -> None:
    app = make_app()

    async def leave() -> None:
        client = Leaver("/api/backup", messages)
        await app.api(client.scope, client.receive, client.send)

    loop.run_until_complete(leave())
    assert not list((tmp_path / "data").glob("backup-*"))


@pytest.mark.parametrize("turns", [3, 5, 20])
def test_a_backup_lets_go_of_its_files_when_the_store_stops(
    make_app: MakeApp, loop: asyncio.AbstractEventLoop, tmp_path: Path, turns: int
) -> None:
    app = make_app()

    async def stop() -> None:
        client = Leaver("/api/backup", 10**6)
        asked = asyncio.create_task(app.api(client.scope, client.receive, client.send))
        while not list((tmp_path / "data").glob("backup-*")):  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])

    loop.run_until_complete(stop())
    loop.run_until_complete(loop.shutdown_default_executor())
    assert not list((tmp_path / "data").glob("backup-*"))


def test_an_export_is_made_in_pieces_and_says_the_same(
    make_app: MakeApp, client: Callable[[Any], Client], loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app({"metrics": {"m": {"frequency": 10}}}, clock=lambda: NOW + 9000, passing=lambda: 0)
    ask = client(app.api)
    rows = [("m", NOW + 10 * k + k % 3) for k in range(300)]
    rows += [("watched", NOW + 600 * k) for k in range(10)] + [("watched", NOW + 6000 + 30 * k) for k in range(20)]
    rows += [("m", NOW + 8000)]
    text = ["".join(f"{m},cluster=c,hostname=h value={at % 97} {at}\n" for m, at in part) for part in (rows[:305], rows[305:])]
    for part in text:
        assert ask("POST", "/api/write", content=part).status_code == 200
        loop.run_until_complete(app.engine.seal())
    ask("POST", "/api/write", content=f"m,cluster=c,hostname=h value=1.25 {NOW + 50}\n")

    def exports() -> list[str]:
        asked = ("", "&metric=m", "&metric=watched&host=h", "&metric=none", f"&from={NOW + 55}&to={NOW + 6031}")
        return [ask("GET", f"/api/export?cluster=c&to={NOW * 2}{more}").text for more in asked]

    whole = exports()
    assert [len(text.splitlines()) for text in whole[:4]] == [332, 302, 31, 1]
    assert f"value=1.25 {NOW + 50}\n" in whole[0]
    seen = []
    piece = Reader.piece
    monkeypatch.setattr(Reader, "piece", lambda *asked: seen.append(asked[2:]) or piece(*asked))
    for slots in (20, 64):
        monkeypatch.setattr(engine, "PIECE_SLOTS", slots)
        assert exports() == whole
        assert max(end - start for start, end in seen) <= slots * 30
        seen.clear()


def test_a_series_that_goes_while_it_is_exported_ends(make_app: MakeApp, client: Callable[[Any], Client]) -> None:
    app = make_app({"metrics": {"m": {"frequency": 10}}}, clock=lambda: NOW + 900_000, passing=lambda: 0)
    ask = client(app.api)
    stamps = range(NOW, NOW + 400_000, 20_000)
    ask("POST", "/api/write", content="".join(f"m,cluster=c,hostname=h value=1 {at}\n" for at in stamps))
    pieces = app.engine.samples_of("c", "h", 0, NOW * 2)
    first = next(pieces)[1].tolist()
    assert first == [at for at in stamps if at < NOW + 10 * engine.PIECE_SLOTS]
    assert ask("POST", f"/api/free?to={NOW * 2}", content=b'[["c"]]').status_code == 200
    assert not [time for _, times, _ in pieces for time in times.tolist()]
