"""An agent as a process of its own, watched: what its spool was given, what its books say, what of it a store has."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from chaos.program import Program, free_port
from metricwire.catalog import METRICS
from metricwire.lineprotocol import decode
from metricwire.samples import SeriesKey

SCRIPT = Path(__file__).parent / "watchedagent.py"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
EVERY_SECOND = {"frequency": 1}
METRICS_OF_A_STORE = {"m": EVERY_SECOND} | {metric.name: EVERY_SECOND for metric in METRICS}  # no two samples share a slot
SECONDS = 120.0  # for anything that is waited for

Samples = dict[tuple[SeriesKey, int], float]


class Journal(NamedTuple):
    """Samples that a spool has said to have, and those that it was being given when the agent was killed."""

    kept: Samples
    unknown: Samples
    ticks: list[int]  # times of the kept batches, in order


class Agent:
    """In a folder of its own, with an interval of a second, sending to a port of this machine."""

    def __init__(self, folder: Path, port: int, **spool: int | str) -> None:
        self.folder = folder
        self.metrics = free_port()
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "token").write_text("secret")
        settings = {
            "cluster": "c",
            "hostname": folder.name,
            "interval": 1,
            "store": {"url": f"http://127.0.0.1:{port}", "token-file": str(folder / "token")},
            "spool": {"directory": str(folder / "spool")} | spool,
            "api": {"address": "127.0.0.1:0", "anonymous": True},
            "metrics-address": f"127.0.0.1:{self.metrics}",
        }
        (folder / "agent.json").write_text(json.dumps(settings))

    def start(self) -> "Agent":
        self.starts += 1
        command = [sys.executable, str(SCRIPT), "--config", str(self.folder / "agent.json")]
        with (self.folder / f"log-{self.starts}").open("wb") as log:
            environment = ENVIRONMENT | {"WATCHED": str(self.folder)}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM; it ends as it should."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.log()
        self._process = None

    def log(self) -> str:
        return "".join((self.folder / f"log-{start}").read_text() for start in range(1, self.starts + 1))

    def books(self) -> dict[str, float]:
        """metricagent_samples_* by name, of dropped by reason; they close, or this fails. Empty while the agent starts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            found = {
                reason or name.removesuffix("_total"): float(value)
                for name, reason, value in re.findall(
                    r'^metricagent_samples_(\w+?)(?:\{reason="([\w-]+)"\})? (\S+)$', text, re.MULTILINE
                )
            }
            came = found["sampled"] + found["restored"]
            assert came == sum(found.values()) - came, found
            return found
        return {}

    def until(self, condition: Callable[[dict[str, float]], Any]) -> dict[str, float]:
        """Wait until the books are as wanted."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.books()
            if found and condition(found):
                return found
            time.sleep(0.02)
        raise AssertionError(f"the books do not come true: {self.books()}, {self.log()[-3000:]}")

    def delivered(self) -> dict[str, float]:
        """The books when nothing waits any more."""
        return self.until(lambda books: books["delivered"] and not books["spooled"] and not books["in_memory"])

    def journal(self) -> Journal:
        kept: Samples = {}
        unknown: Samples = {}
        ticks = []
        path = self.folder / "journal"
        for part in path.read_bytes().split(b"+\n")[1:] if path.exists() else []:
            text, dot, _ = part.partition(b"\n.\n")
            samples = {(one.series, one.timestamp): one.value for one in decode(text, now=0).samples}
            (kept if dot else unknown).update(samples)
            if dot:
                ticks.append(max(at for _, at in samples))
        return Journal(kept, unknown, ticks)

    def put(self, name: str, value: float) -> None:
        """What the witness reads: see watchedagent.py."""
        new = self.folder / f"{name}.new"
        new.write_text(str(value))
        new.rename(self.folder / name)


def stored(store: Program) -> Samples:
    """Everything that a store has of the agents' cluster."""
    text = store.ask("GET", f"/api/export?cluster=c&from=1&to={int(time.time()) + 2 * 86400}").text
    return {(one.series, one.timestamp): one.value for one in decode(text.encode(), now=0).samples}
