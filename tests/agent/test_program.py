"""The program itself: a real process, its ports, its signals, its end by kill -9, its exit status."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metricagent import app
from metricagent.settings import parse
from metricagent.spool import SpoolUnusable
from metricagent.spoolfile import unpack
from metricwire.errors import SettingsError

Settings = Callable[..., Path]
COMMAND = [sys.executable, "-m", "metricagent", "--config"]
PATIENCE = 60.0  # seconds that a busy machine may take for one step
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def start(path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*COMMAND, str(path), stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT)


def stamps(folder: Path) -> set[int]:
    """The times of the batches in the spool."""
    return {int(unpack(path.read_bytes()).text().split()[-1]) for path in folder.glob("*.batch")}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 files have no events
            await asyncio.sleep(0.02)


def test_killed_while_the_store_is_away_then_no_hole(running_store: Any, write_settings: Settings, tmp_path: Path) -> None:
    """An outage in which the agent is killed twice: whatever was sampled in it arrives."""
    spool = tmp_path / "spool"

    async def scene() -> None:
        async with running_store as store:
            settings = write_settings(running_store.url)
            agent = await start(settings)
            async with asyncio.timeout(PATIENCE):
                await store.written.wait()
        sampled = {at for _, at in store.samples}
        for count in (1, 2):
            await until(lambda count=count: len(list(spool.glob("*.batch"))) >= count)
            agent.kill()
            await agent.wait()
            sampled |= stamps(spool)
            agent = await start(settings)
        async with running_store:
            await until(lambda: sampled <= {at for _, at in store.samples})
            await until(lambda: not list(spool.glob("*.batch")))
            agent.send_signal(signal.SIGTERM)
            output, _ = await agent.communicate()
        assert agent.returncode == 0
        messages = [json.loads(line)["message"] for line in output.splitlines()]
        assert "store reached" in messages
        assert any(message.startswith("caught up: ") for message in messages)
        uptimes = [
            value
            for (series, _), value in sorted(store.samples.items(), key=lambda item: item[0][1])
            if series.metric == "uptime"
        ]
        assert uptimes == sorted(uptimes)
        assert len(uptimes) >= len(sampled) >= 2

    asyncio.run(scene())


def test_a_stop_delivers_what_is_left(running_store: Any, write_settings: Settings, tmp_path: Path) -> None:
    async def scene() -> None:
        async with running_store as store:
            agent = await start(write_settings(running_store.url))
            async with asyncio.timeout(PATIENCE):
                await store.written.wait()
            agent.send_signal(signal.SIGINT)
            output, _ = await agent.communicate()
        assert agent.returncode == 0
        assert json.loads(output.splitlines()[-1])["message"] == "agent stopped: 0 batches wait in the spool"

    asyncio.run(scene())


def run(path: Path) -> tuple[int, str]:
    """The status and the one log line of a program that ends by itself."""
    done = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE, check=False)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return done.returncode, json.loads(line)["message"]


def test_a_port_in_use(write_settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = write_settings("http://127.0.0.1:1", **{"metrics-address": address})
        status, message = run(settings)
    assert (status, message) == (1, f"cannot listen on {address} (metrics-address): Address already in use")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"spool": {"directory": "/proc/spool"}}, SpoolUnusable, "cannot write spool /proc/spool: No such file or directory"),
        (
            {"collectors": {"gpu": True}},
            SettingsError,
            "cannot use setting collectors: no collector 'gpu'; there are cpu",
        ),
        ({"hostname": "a/b"}, SettingsError, "cannot use cluster 'fritz' and hostname 'a/b': hostname 'a/b' must not contain"),
        (
            {"api": {"public-key-files": ["/none"]}},
            SettingsError,
            "cannot read /none: No such file",
        ),
        (
            {"store": {"url": "https://s", "token-file": "t", "ca-file": "/none"}},
            SettingsError,
            "cannot use store.ca-file /none: No such file or directory",
        ),
    ],
)
def test_what_keeps_an_agent_from_starting(
    write_settings: Settings, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    path = write_settings("http://127.0.0.1:1", **change)
    with pytest.raises(kind) as raised:
        asyncio.run(app.run(parse(path.read_bytes(), str(path))))
    assert str(raised.value).startswith(message)


def test_no_settings_file(tmp_path: Path) -> None:
    assert run(tmp_path / "none") == (2, f"cannot read settings {tmp_path}/none: No such file or directory")
