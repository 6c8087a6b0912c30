"""A store or an agent under measurement: the real program, on this machine, in a folder of its own."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench import data


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Program:
    """A module run as a program with a settings file; started at once."""

    def __init__(self, module: str, settings: dict[str, Any], folder: Path, *arguments: str) -> None:
        self._config = folder / f"{module}.json"
        self._config.write_text(json.dumps(settings))
        self._command = [sys.executable, "-m", module, "--config", str(self._config), *arguments]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        self._measured = psutil.Process(self.process.pid)

    def cpu(self) -> float:
        """CPU seconds used so far, in user mode and in the kernel."""
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    def resident(self) -> int:
        """Bytes resident."""
        return int(self._measured.memory_info().rss)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(sign)
        self.process.wait(60)


class Store(Program):
    """A store without authentication, its disk synced as always."""

    def __init__(self, folder: Path) -> None:
        self.port, self.ops = free_port(), free_port()
        self.folder = folder / "data"
        settings = {
            "main": {"addr": f"127.0.0.1:{self.port}"},
            "metric-store": {"directory": str(self.folder), "ops-addr": f"127.0.0.1:{self.ops}", "retention-in-memory": "30d"},
        }
        settings["metrics"] = {
            kind: {"frequency": 60, "aggregation": "sum"} for kind in (*data.NODE_METRICS, *data.THREAD_METRICS)
        }
        super().__init__("metricstore", settings, folder, "--insecure-no-auth")

    def ready(self) -> float:
        """Seconds until it is."""
        begun = time.monotonic()
        while time.monotonic() - begun < 300:
            try:
                if self.ask("GET", "/readyz", port=self.ops)[0] == 200:
                    return time.monotonic() - begun
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("the store is not ready after 300 s")

    def ask(self, method: str, path: str, body: bytes = b"", port: int = 0) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=120)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def disk(self) -> int:
        """Bytes of its folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
