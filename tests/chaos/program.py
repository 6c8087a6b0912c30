"""The real store as a process: settings, ports and folder of its own, its log kept and checked, killed and started again."""

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

START_SECONDS = 120.0  # a start that takes longer hangs
STOP_SECONDS = 55.0  # terminationGracePeriod (60 s) - 5 s
LOG_LINE_MAX = 4096
PORTS = range(20_000, 32_000)  # below those that the system gives to clients, who would take them while a store is down
TAKEN = Path(tempfile.gettempdir(), "metricscluster-test-ports")  # locked files: what other tests, beside these, were given
MIB = 1024**2
_marks: list[BinaryIO] = []  # the locks of this process


class Answer(NamedTuple):
    """What came back, read whole."""

    status: int
    text: str
    headers: dict[str, str]
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Use(NamedTuple):
    """What the process takes now."""

    resident: int  # bytes
    peak: int  # bytes, since its start
    files: int
    cpu: float  # seconds


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else while this process lives."""
    TAKEN.mkdir(mode=0o777, exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, 100):
        mark = (TAKEN / str(port)).open("wb")
        with contextlib.suppress(OSError):
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.create_server(("127.0.0.1", port)):
                _marks.append(mark)
                return port
        mark.close()
    raise OSError("no free port found")


class Program:
    """`metricscluster-store`, or a script that runs it otherwise, in a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        store: dict[str, Any] | None = None,
        main: dict[str, Any] | None = None,
        script: list[str] | None = None,
        arguments: tuple[str, ...] = ("--insecure-no-auth",),
    ) -> None:
        self.folder = folder
        self.port, self.ops = free_port(), free_port()
        self.data = folder / "data"
        self.config = folder / f"config-{self.port}.json"
        self.settings: dict[str, Any] = {
            "main": {"addr": f"127.0.0.1:{self.port}"} | (main or {}),
            "metric-store": {"directory": str(self.data), "ops-addr": f"127.0.0.1:{self.ops}"} | (store or {}),
            "metrics": {"m": {"frequency": 1}},
        }
        self.arguments = arguments
        self.starts = 0
        self.log: list[dict[str, Any]] = []  # of the runs that have ended
        self.process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, *(script or ["-m", "metricstore"])]

    # Its life

    def start(self, *arguments: str) -> "Program":
        """Start it; it is not ready yet."""
        assert self.process is None, "it is running"
        self.config.write_text(json.dumps(self.settings))
        self.starts += 1
        command = [*self._command, "--config", str(self.config), *(arguments or self.arguments)]
        with self._path("log").open("wb") as log, self._path("err").open("wb") as err:
            self.process = subprocess.Popen(command, stdout=log, stderr=err, start_new_session=True)
        return self

    def ready(self, seconds: float = START_SECONDS) -> float:
        """Wait until /readyz says so; how long that took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self._output()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz", port=self.ops, timeout=2).status == 200:
                    return time.monotonic() - begun
            time.sleep(0.01)
        raise AssertionError(f"not ready within {seconds:g} s: {self._output()}")

    def run(self, *arguments: str) -> "Program":
        """Started and ready."""
        self.start(*arguments).ready()
        return self

    def send(self, sign: signal.Signals) -> None:
        """A signal to the process."""
        assert self.process is not None
        self.process.send_signal(sign)

    def wait(self, seconds: float = STOP_SECONDS) -> tuple[int, list[dict[str, Any]]]:
        """Exit status, and what this run logged."""
        assert self.process is not None
        status = self.process.wait(seconds)
        self.process = None
        errors = self._path("err").read_text(errors="replace")
        assert not errors, f"standard error is for nothing: {errors[-2000:]}"
        found = list(self._lines())
        self.log += found
        return status, found

    def end(self, sign: signal.Signals = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Send the signal and wait."""
        self.send(sign)
        return self.wait()

    def kill(self) -> None:
        """Whatever state it is in, it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log += list(self._lines())

    def refusal(self, *arguments: str) -> tuple[int, str]:
        """Exit status and message of a start that does not succeed."""
        status, lines = self.start(*arguments).wait()
        assert lines[-1]["level"] == "critical"
        assert len([line for line in lines if line["level"] != "info"]) == 1, "one clear line"
        return status, lines[-1]["message"]

    # Asking

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        port: int | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One request on a connection of its own."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, body.encode() if isinstance(body, str) else body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, text, fields, time.monotonic() - begun)
        finally:
            connection.close()

    def lines(self) -> dict[tuple[str, str], float]:
        """`metricstore_lines_total` by outcome and reason, and the lines received as ("received", "")."""
        found = {}
        for line in self.ask("GET", "/metrics/self", port=self.ops).text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == "metricstore_lines_received_total":
                found["received", ""] = float(value)
            elif name.startswith("metricstore_lines_total{"):
                labels = dict(part.split("=") for part in name.partition("{")[2].rstrip("}").split(","))
                found[labels["outcome"].strip('"'), labels["reason"].strip('"')] = float(value)
        return found

    def gauge(self, name: str) -> float:
        """A value of /metrics/self without labels."""
        for line in self.ask("GET", "/metrics/self", port=self.ops).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise KeyError(name)

    def use(self) -> Use:
        """Memory, files and processor time."""
        assert self.process is not None
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        times = (folder / "stat").read_text().rpartition(")")[2].split()
        cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        files = len(list((folder / "fd").iterdir()))
        return Use(int(status["VmRSS"].split()[0]) * 1024, int(status["VmHWM"].split()[0]) * 1024, files, cpu)

    # Its log

    def check_logs(self) -> None:
        """Every line of every run is JSON of bounded length without control bytes; nothing is a bug or a traceback."""
        for start in range(1, self.starts + 1):
            for raw in self._path("log", start).read_bytes().split(b"\n")[:-1]:
                assert len(raw) <= LOG_LINE_MAX, raw[:200]
                assert not any(byte < 0x20 or byte == 0x7F for byte in raw), raw[:200]
                line = json.loads(raw)
                assert {"time", "level", "message"} <= line.keys(), line
                assert "traceback" not in line, line
                assert not line["message"].startswith("BUG"), line

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self._path("log").read_text().split("\n")[:-1]:  # a kill may have cut the last one
            yield json.loads(line)

    def _output(self) -> str:
        return "\n".join(self._path(kind).read_text(errors="replace")[-2000:] for kind in ("log", "err"))

    def _path(self, kind: str, start: int | None = None) -> Path:
        return self.folder / f"store-{self.port}-{start or self.starts}.{kind}"
