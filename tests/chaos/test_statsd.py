"""T15 (P8, P10, P13): a flood of StatsD packets of all kinds, and no number in a container that did not send it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chaos.conftest import Figures, Size
from chaos.program import MIB, free_port
from chaos.statsdflood import PODS

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
RATE = 50_000  # packets per second, of all senders
STRANGER = "127.0.1.9"  # no pod's address
SERIES = 10_000
LOG_LINE_MAX = 4096
OWN, SENT = "metricagent_statsd_", "from_"  # what names of the agent's own metrics begin with, and of the flood's


class Agent:
    """The agent as a process, without a store to send to."""

    def __init__(self, folder: Path, interval: int) -> None:
        self.udp, self.ops, self.api = free_port(), free_port(), free_port()
        (folder / "token").write_text("none")
        settings = {
            "cluster": "c",
            "hostname": "n1",
            "interval": interval,
            "store": {"url": "http://127.0.0.1:1", "token-file": str(folder / "token")},
            "spool": {"directory": str(folder / "spool"), "bytes": 8 * MIB},
            "api": {"address": f"127.0.0.1:{self.api}", "anonymous": True},
            "metrics-address": f"127.0.0.1:{self.ops}",
            "statsd": {"address": f"127.0.0.1:{self.udp}", "series": SERIES},
        }
        (folder / "agent.json").write_text(json.dumps(settings))
        self._log = (folder / "agent.log").open("w+b")
        command = [sys.executable, str(HERE / "statsdagent.py"), "--config", str(folder / "agent.json")]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=ENVIRONMENT)

    def get(self, url: str) -> str:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())

    def metrics(self, beginning: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Those values of /metrics whose names begin so, by name and labels."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        lines = self.get(f"http://127.0.0.1:{self.ops}/metrics").splitlines(keepends=True)
        for family in text_string_to_metric_families("".join(line for line in lines if line.startswith(beginning))):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def use(self) -> tuple[float, int]:
        """Seconds of processor time, and bytes resident at most, since its start."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        times = (folder / "stat").read_text().rpartition(")")[2].split()
        cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        return cpu, int(status["VmHWM"].split()[0]) * 1024

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log()
            try:
                if condition():
                    return
            except OSError:
                pass
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture
def agent(tmp_path: Path, size: Size) -> Iterator[Agent]:
    one = Agent(tmp_path, interval=size.pick(1, 10))
    yield one
    one.end()


class Asking(threading.Thread):
    """Asks the agent's servers again and again; how long each answer took."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent
        self.stop = threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        while not self.stop.wait(0.02):
            for url in (
                f"http://127.0.0.1:{self.agent.ops}/healthz",
                f"http://127.0.0.1:{self.agent.api}/system/v1/metrics/v0/node",
            ):
                begun = time.monotonic()
                self.agent.get(url)
                self.seconds.append(time.monotonic() - begun)


def kernel_drops(port: int) -> int:
    """As the kernel's own table has it."""
    for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}"):
            return int(fields[-1])
    raise AssertionError("nobody listens")


def flood(agent: Agent, rate: int, seconds: int, seed: int) -> tuple[int, float]:
    """From two pods and a stranger: how many packets in all, and how many seconds that took."""
    senders = [
        subprocess.Popen(
            [sys.executable, str(HERE / "statsdflood.py"), ip, str(agent.udp), str(rate // share), str(seconds), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        for ip, share in (*((ip, 2) for ip in PODS), (STRANGER, 20))
    ]
    for sender in senders:
        assert sender.stdout is not None
        assert sender.stdout.readline() == b"ready\n"
    begun = time.monotonic()
    for sender in senders:
        assert sender.stdin is not None
        sender.stdin.write(b"go\n")
        sender.stdin.flush()
    sent = sum(int(sender.communicate()[0]) for sender in senders)
    return sent, time.monotonic() - begun


def test_t15_a_flood_of_packets(agent: Agent, size: Size, seed: int, figures: Figures) -> None:
    agent.until(lambda: bool(agent.get(f"http://127.0.0.1:{agent.ops}/readyz")))
    asking = Asking(agent)
    asking.start()
    before, _ = agent.use()
    sent, seconds = flood(agent, RATE, size.pick(1, 30), seed)

    def packets() -> dict[str, float]:
        return {
            dict(labels)["outcome"]: value for labels, value in agent.metrics(OWN)["metricagent_statsd_packets_total"].items()
        }

    try:
        agent.until(lambda: sum(packets().values()) >= sent)
    finally:
        asking.stop.set()
        asking.join()
    cpu = agent.use()[0] - before
    agent.until(lambda: len({sender for sender, _ in whose(agent.metrics(SENT))}) == len(PODS) + 1)
    books, shown = packets(), agent.metrics(OWN)
    peak = agent.use()[1]
    late = sorted(asking.seconds)
    owners = whose(agent.metrics(SENT))
    wrong = [pair for pair in owners if PODS.get(pair[0], "unknown") != pair[1]]
    values = {
        " ".join(filter(None, dict(labels).values())): v for labels, v in shown["metricagent_statsd_values_total"].items()
    }
    figures(
        f"T15: {sent:,} packets in {seconds:.1f} s ({sent / seconds:,.0f}/s) = {sum(books.values()):,.0f} in the books "
        f"({', '.join(f'{count:,.0f} {outcome}' for outcome, count in books.items())}; "
        f"{kernel_drops(agent.udp):,} in the kernel's table); "
        f"values: {', '.join(f'{count:,.0f} {what}' for what, count in values.items() if count)}; "
        f"{cpu / seconds:.2f} cores, {peak / MIB:.0f} MiB at most; HTTP p99 {late[int(len(late) * 0.99)] * 1000:.0f} ms of "
        f"{len(late)}; {len(wrong)} foreign attributions in {sum(owners.values())} series"
    )
    assert sum(books.values()) == sent
    assert books["kernel-dropped"] == kernel_drops(agent.udp)
    assert not wrong
    assert {pair[0] for pair in owners} == {*PODS, STRANGER}
    assert shown["metricagent_statsd_series"][()] <= SERIES
    assert shown["metricagent_statsd_bugs_total"][()] == 0
    assert late, "it was asked"
    if size.full:
        assert cpu <= seconds
        assert peak <= 128 * MIB
        assert late[int(len(late) * 0.99)] < 0.2
    ended(agent)


def whose(shown: dict[str, Any]) -> dict[tuple[str, str], int]:
    """How many series there are of each sender (its address, of which their names begin) at each container."""
    found: dict[tuple[str, str], int] = {}
    for name, series in shown.items():
        for labels in series:
            said = dict(labels)
            assert said["stype"] == "app"
            pair = (".".join(name.split("_")[1:5]), said["type_id"])
            found[pair] = found.get(pair, 0) + 1
    return found


def ended(agent: Agent) -> None:
    """It ends when it is told to, and has logged little, all of it JSON."""
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(60) == 0, agent.log()
    lines = agent.log().splitlines()
    assert len(lines) < 40, lines
    for line in lines:
        assert len(line) <= LOG_LINE_MAX
        assert "traceback" not in json.loads(line), line
