"""`metricscluster up` as a person runs it: a real store, a real agent, this machine's samples."""

import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from metricscluster.ports import LARGEST_OFFSET, PortInUse, Ports

RESOURCE = """
apiVersion: metricscluster.io/v1alpha1
kind: MetricsCluster
metadata: {name: fritz}
spec: {nodeAgent: {interval: 1s}}
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
PATIENCE = 60.0  # seconds that a busy machine may take for one step


@pytest.fixture
def ports() -> Ports:
    for _ in range(50):
        ports = Ports(random.SystemRandom().randrange(100, LARGEST_OFFSET))
        try:
            ports.check()
        except PortInUse:
            continue
        return ports
    raise AssertionError("no free ports")


@pytest.fixture
def resource(tmp_path: Path) -> Path:
    path = tmp_path / "fritz.yaml"
    path.write_text(RESOURCE)
    return path


class Running:
    """The command in a process, its output line by line."""

    def __init__(self, resource: Path, ports: Ports) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metricscluster", "up", str(resource), "--port-offset", str(ports.offset)],
            cwd=resource.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.output: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def until(self, text: str) -> str:
        """The next line with `text` in it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.output.append(self.lines.get(timeout=max(0.01, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no line with {text!r} in {self.output}") from None
            if text in self.output[-1]:
                return self.output[-1]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        while not self.lines.empty():
            self.output.append(self.lines.get())
        return status


@pytest.fixture
def start(resource: Path, ports: Ports) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(resource, ports))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


def ask(port: int, path: str, token: str = "", body: Any = None) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    request.data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return str(response.read().decode())


def stamps(ports: Ports, token: str) -> set[int]:
    """The times at which the store has this host's uptime."""
    now = int(time.time())
    query = {"cluster": "fritz", "from": now - 300, "to": now + 1, "with-padding": False}
    query["queries"] = [{"metric": "uptime", "host": socket.gethostname()}]
    (row,) = json.loads(ask(ports.store, "/api/query", token, query))["results"]
    return {entry["from"] + n for entry in row for n, value in enumerate(entry["data"]) if value is not None}


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def pid_of(module: str, folder: Path) -> int:
    """The process of one of the two programs that was started in `folder`."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"\0{module}\0".encode() in (path / "cmdline").read_bytes() and (path / "cwd").resolve() == folder:
                return int(path.name)
    raise AssertionError(f"no {module} runs in {folder}")


def test_a_cluster_on_this_machine(start: Callable[[], Running], ports: Ports, resource: Path) -> None:
    up = start()
    token = up.until("  token").split()[1]
    up.until("curl -s http")
    assert (resource.parent / ".metricscluster/token").read_text().strip() == token
    before = wait_for(lambda: stamps(ports, token))
    node = json.loads(wait_for(lambda: ask(ports.agent, "/system/v1/metrics/v0/node", token)))
    assert node["dimensions"]["cluster_id"] == "fritz"
    assert "cpu.cores" in {point["name"] for point in node["datapoints"]}
    wait_for(lambda: "cpu_user{" in ask(ports.store_ops, "/metrics"))
    wait_for(lambda: "uptime{" in ask(ports.agent_metrics, "/metrics"))
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"orders:3|c", ("127.0.0.1", 8125 + ports.offset))
    application = wait_for(lambda: ask(ports.store, "/system/v1/metrics/v0/containers/unknown/app", token))
    assert ("orders", 3.0) in {(point["name"], point["value"]) for point in json.loads(application)["datapoints"]}

    store, killed = pid_of("metricstore", resource.parent), time.time()
    os.kill(store, signal.SIGKILL)
    up.until("store  was ended by SIGKILL; starting it again in 0.5 s")
    up.until("store  ready")
    wait_for(lambda: max(stamps(ports, token)) > killed)
    after = stamps(ports, token)
    assert before <= after
    assert up.end(signal.SIGINT) == 0
    assert up.output[-1].split("  ", 1)[1] == "up     agent and store have stopped; their data stay in .metricscluster"
    assert [line.split()[1] for line in up.output if line.endswith("stopped") or "agent stopped" in line] == ["agent", "store"]

    again = start()
    assert again.until("  token").split()[1] == token
    assert after <= wait_for(lambda: stamps(ports, token))
    assert again.end(signal.SIGTERM) == 0


def run(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "metricscluster", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_file_that_is_wrong_or_absent(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(RESOURCE + "  store: {}\n")
    assert run("up", "f.yaml", cwd=tmp_path) == (
        2,
        "",
        "f.yaml:6: cannot read YAML: expected <block end>, but found '<block mapping start>'\n",
    )
    (tmp_path / "f.yaml").write_text(RESOURCE.replace("MetricsCluster", '"\\e[31m\\n\\u2028\\u202e"'))
    assert run("up", "f.yaml", cwd=tmp_path) == (
        2,
        "",
        "f.yaml:1: kind: expected a document of kind MetricsCluster, found \\x1b[31m\\n\\u2028\\u202e\n",
    )
    (tmp_path / "f.yaml").write_text(RESOURCE.replace("1s", "!!int 0b_"))
    assert run("up", "f.yaml", cwd=tmp_path) == (2, "", "f.yaml:5: cannot read YAML: '0b_' is no int; text is in quotes\n")
    assert run("up", "/dev/zero", cwd=tmp_path) == (2, "", "/dev/zero:1: cannot read YAML: it is larger than 1 MiB\n")
    assert run("up", "none.yaml", cwd=tmp_path) == (2, "", "none.yaml: cannot read it: No such file or directory\n")
    assert not (tmp_path / ".metricscluster").exists()


def test_a_port_in_use_and_a_folder_of_another_cluster(tmp_path: Path, resource: Path, ports: Ports) -> None:
    offset = ("--port-offset", str(ports.offset))
    with socket.create_server(("127.0.0.1", ports.agent)):
        status, output, error = run("up", resource.name, *offset, cwd=tmp_path)
    assert (status, output) == (1, "")
    assert error.startswith(f"cannot listen on 127.0.0.1:{ports.agent} for the agent: Address already in use; ")
    resource.write_text(RESOURCE.replace("fritz", "alex"))
    assert run("up", resource.name, *offset, cwd=tmp_path) == (
        1,
        "",
        "cannot use .metricscluster: it holds data of cluster fritz, not of alex; another folder: --directory\n",
    )


def test_a_program_that_does_not_stay_up_ends_the_command(tmp_path: Path, resource: Path, ports: Ports) -> None:
    (tmp_path / ".metricscluster").mkdir()
    (tmp_path / ".metricscluster/agent").touch()
    status, output, error = run("up", resource.name, "--port-offset", str(ports.offset), cwd=tmp_path)
    assert status == 1
    assert error == ("agent ended with status 1, 3 times in a row: cannot write spool .metricscluster/agent: File exists\n")
    assert output.count("agent  ended with status 1; starting it again in") == 2


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path) == (0, "metricscluster 0.1.0\n", "")
