"""A program under measurement: started in a folder of its own, its CPU time and memory read, and ended whatever happens."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from bench.sender import Load, Sent

ROOT = Path(__file__).parent.parent
LOG_SHOWN = 2000  # characters of a program's log in an error
_PARENT_DIES = 1  # PR_SET_PDEATHSIG of prctl(2)
_libc = ctypes.CDLL(None)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as a program."""
    return [sys.executable, "-m", module, *arguments]


def run(command: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a command that the kernel kills when this process is gone."""

    def end_with_parent() -> None:
        _libc.prctl(_PARENT_DIES, signal.SIGKILL)

    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # images are compiled
    return subprocess.Popen(command, cwd=ROOT, env=environment, preexec_fn=end_with_parent, **streams)  # noqa: PLW1509 - no threads


class Memory(NamedTuple):
    """Bytes: all that is resident, and what is not shared with the page cache or others."""

    resident: int
    private: int


class Program:
    """A command, running from `start` until `end` or until its `with` block is left."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command, self._log = list(command), folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; RuntimeError before `start`."""
        if self._process is None:
            raise RuntimeError(f"BUG: {self._command[0]} was not started")
        return self._process

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = run(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._measured = psutil.Process(self._process.pid)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait until the process is gone; nothing when it is already."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """RuntimeError with the end of its log when the process is gone."""
        if self.process.poll() is not None:
            shown = self._log.read_text(errors="replace")[-LOG_SHOWN:]
            raise RuntimeError(f"cannot measure {self._command[:3]}: it ended with status {self.process.returncode}\n{shown}")

    def cpu(self) -> float:
        """CPU seconds used so far by all its threads, in user mode and in the kernel."""
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> Memory:
        """What it holds now."""
        found = self._measured.memory_full_info()
        return Memory(int(found.rss), int(found.uss))

    def settle(self, longest: float = 60.0) -> float:
        """Wait until it uses 2 % of a core or less for 1.5 s, so that work left behind is done; CPU seconds of that."""
        begun, first = time.monotonic(), self.cpu()
        quiet = 0
        while quiet < 3 and time.monotonic() - begun < longest:
            before = self.cpu()
            time.sleep(0.5)
            quiet = quiet + 1 if self.cpu() - before <= 0.01 else 0
        return self.cpu() - first


class Cost(NamedTuple):
    """What a load cost the program that took it."""

    sent: Sent
    cpu: float  # seconds, from the first byte to the last answer
    after: float  # CPU seconds of what it went on doing behind the last answer

    @property
    def lines_by_cpu(self) -> float:
        """Lines in a CPU-second."""
        return self.sent.lines / max(self.cpu, 0.001)

    @property
    def requests_by_cpu(self) -> float:
        """Requests in a CPU-second."""
        return self.sent.requests / max(self.cpu, 0.001)

    @property
    def lines_by_second(self) -> float:
        """Lines in a second of the clock."""
        return self.sent.lines / self.sent.seconds


def measure(program: Program, load: Load, *, settle: float = 0.0) -> Cost:
    """Send the load from another process and measure what it costs. RuntimeError when it is not taken whole."""
    command = python("bench.sender", json.dumps(load._asdict()))
    sender = run(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if sender.stdout is None or sender.stdin is None or sender.stdout.readline() != b"ready\n":
            raise RuntimeError(f"cannot make a load: {sender.communicate()[1][-LOG_SHOWN:].decode(errors='replace')}")
        before = program.cpu()
        sender.stdin.write(b"go\n")
        sender.stdin.flush()
        answer = sender.stdout.readline()
        used = program.cpu() - before
        if not answer:
            errors = sender.communicate()[1][-LOG_SHOWN:].decode(errors="replace")
            program.check()
            raise RuntimeError(f"cannot send a load: {errors}")
        sent = Sent(**json.loads(answer))
        return Cost(sent, used, program.settle(settle) if settle else 0.0)
    finally:
        sender.kill()
        sender.communicate()
