"""Programs that are kept running: small scripts that live, die, hang and outlive."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metricscluster import child as module
from metricscluster.child import Child, Died

READY = 'print(\'{"level": "info", "message": "ready"}\', flush=True); '
WAIT = "import time; time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


class Scene:
    """A child, and what was said of it."""

    def __init__(self, script: str, tmp_path: Path, patience: float = 20) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.log = tmp_path / "log"
        self.child = Child(
            "agent",
            [sys.executable, "-c", script],
            say=lambda _, text: self.said.put_nowait(text),
            open_log=lambda: self.log.open("a"),
            patience=patience,
        )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 files and processes have no events
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether the process is there and not just waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def play(scene: Any, *arguments: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await scene(*arguments)

    asyncio.run(run())


def test_it_is_heard_and_stopped(tmp_path: Path) -> None:
    async def scene() -> None:
        found = Scene(READY + "print('x' * 100_000); print('no json', flush=True); " + WAIT, tmp_path)
        life = asyncio.create_task(found.child.run())
        assert await found.said.get() == "ready"
        await until(lambda: "no json" in found.log.read_text())
        await found.child.stop()
        await life
        assert found.said.empty()
        assert found.log.read_text().replace("\n", "").count("x") == 100_000

    play(scene)


def test_a_deaf_one_is_killed(tmp_path: Path) -> None:
    async def scene() -> None:
        found = Scene(DEAF + READY + WAIT, tmp_path, patience=0.05)
        life = asyncio.create_task(found.child.run())
        assert await found.said.get() == "ready"
        await found.child.stop()
        assert await found.said.get() == "does not stop within 0.05 s: killed"
        await life

    play(scene)


@pytest.mark.parametrize(
    ("script", "end", "last"),
    [
        (
            'print(\'{"level": "error", "message": "cannot listen"}\'); raise SystemExit(1)',
            "ended with status 1",
            "cannot listen",
        ),
        ("raise SystemExit('no settings')", "ended with status 1", "no settings"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL", "it said nothing"),
    ],
)
def test_one_that_keeps_dying_is_started_again_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, end: str, last: str
) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def scene() -> None:
        found = Scene(script, tmp_path)
        with pytest.raises(Died) as raised:
            await found.child.run()
        assert str(raised.value) == f"agent {end}, 3 times in a row: {last}"
        said = [found.said.get_nowait() for _ in range(found.said.qsize())]
        again = [line for line in said if "starting" in line]
        assert again == [f"{end}; starting it again in {wait} s" for wait in (0.5, 1)]

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    play(scene)
    assert waited == [0.5, 1]


def test_one_that_has_lived_is_started_again_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 0.0)

    async def sleep(_: float) -> None:
        pass

    async def scene() -> None:
        found = Scene(READY, tmp_path)
        life = asyncio.create_task(found.child.run())
        for _ in range(5):
            assert await found.said.get() == "ready"
            assert await found.said.get() == "ended with status 0; starting it again in 0.5 s"
        await found.child.stop()
        await life

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    play(scene)


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from metricscluster.child import Child
command = [sys.executable, "-c", "import os; print(os.getpid(), flush=True); {WAIT}"]
child = Child("x", command, say=print, open_log=lambda: open({str(tmp_path / "log")!r}, "a"), patience=1)
asyncio.run(child.run())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment)
    log = tmp_path / "log"

    async def scene() -> None:
        await until(lambda: log.exists() and log.read_text().endswith("\n"))
        pid = int(log.read_text())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        await until(lambda: not is_alive(pid))

    play(scene)
