"""The stores that are compared: ours, VictoriaMetrics, cc-metric-store. All take the same bodies; each says how it is asked."""

import abc
import contextlib
import http.client
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import orjson

from bench.data import CLUSTER, FREQUENCY, METRICS, Fleet, Numbers, host
from bench.program import Program, free_port, python

READY_LIMIT = 600.0  # seconds
REST, REST_LIMIT = 6.0, 90.0  # seconds without a change of its files, until a store is at rest; at most


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    path: str
    body: bytes = b""


QUERIES = {
    "query: 64 hosts x 10 metrics, 72 threads aggregated, 60 points": 8.0,
    "query: 1 host x 720 thread series, 60 points": 3.5,
    "query: for-all-nodes, 200 hosts x 2 metrics": 2.5,
    "query: one host metric": 0.6,
}  # what it is: CPU milliseconds that design.md section 7 asks for


class Store(Program, abc.ABC):
    """A store in a folder of its own, listening on a free port of this machine."""

    name: str
    write_path: str

    def __init__(self, command: list[str], folder: Path) -> None:
        super().__init__(command, folder)
        self.data = folder / "data"
        self._connection: http.client.HTTPConnection | None = None

    @property
    @abc.abstractmethod
    def port(self) -> int: ...

    @abc.abstractmethod
    def alive(self) -> bool:
        """Whether it answers queries. OSError when it does not listen."""

    @abc.abstractmethod
    def queries(self, fleet: Fleet, start: int, end: int) -> list[Request]:
        """The requests of QUERIES."""

    @abc.abstractmethod
    def count(self, fleet: Fleet, start: int, end: int, hosts: list[int]) -> int:
        """Samples of these hosts in [start, end), found by queries."""

    def exposition(self) -> Request | None:
        """The scrape of all fresh series, where there is one."""
        return None

    def flush(self) -> None:
        """Have it write what it holds back, where it can be told."""

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        self.hang_up()
        super().end(sign)

    def hang_up(self) -> None:
        """Close the connection that `ask` keeps."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ready(self, limit: float = READY_LIMIT) -> float:
        """Seconds until it answers, looked at every 5 ms."""
        begun = time.monotonic()
        while time.monotonic() - begun < limit:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.alive():
                    return time.monotonic() - begun
            self.hang_up()
            self.check()
            time.sleep(0.005)
        raise TimeoutError(f"cannot measure {self.name}: it is not ready after {limit:.0f} s")

    def ask(self, request: Request) -> bytes:
        """The body of its answer. RuntimeError for another status than 200 and 204."""
        status, content = self.exchange(request)
        if status not in {200, 204}:
            raise RuntimeError(f"cannot query {self.name}: {request.path[:100]} answered {status} {content[:300]!r}")
        return content

    def exchange(self, request: Request, port: int = 0) -> tuple[int, bytes]:
        """Status and body; to the store's own port the connection stays open, as clients keep theirs."""
        if port:
            return _exchange(http.client.HTTPConnection("127.0.0.1", port, timeout=120), request)
        if self._connection is not None:
            try:
                return _exchange(self._connection, request)
            except ConnectionError:  # closed for being idle
                self.hang_up()
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        return _exchange(self._connection, request)

    def at_rest(self) -> int:
        """Bytes that its folder takes, when it works no more and writes no more; stores write some seconds behind."""
        self.flush()
        begun, before, found = time.monotonic(), -1, 0
        while time.monotonic() - begun < REST_LIMIT and not (before and abs(found - before) <= found // 1000):
            before = found
            self.settle(REST_LIMIT)
            time.sleep(REST)
            found = self.disk()
        return found

    def disk(self) -> int:
        """Bytes that its folder takes on the disk now."""
        found = 0
        for path in self.data.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a store removes files beside us
                found += path.stat().st_blocks * 512
        return found


class ClusterCockpitStore(Store):
    """What ours and cc-metric-store have in common: the API of spec/metric-store-api.md."""

    write_path = "/api/write"

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        super().__init__(command, folder)
        self._port = port

    @property
    def port(self) -> int:
        return self._port

    def queries(self, fleet: Fleet, start: int, end: int) -> list[Request]:
        hosts = [host(number) for number in range(fleet.hosts)]
        threads = [str(number) for number in range(fleet.threads)]
        many = [{"metric": metric, "host": name} for name in hosts[:64] for metric in fleet.thread_metrics]
        return [
            query(start, end, queries=many),
            query(start, end, queries=[thread_query(metric, hosts[0], threads) for metric in fleet.thread_metrics]),
            query(start, end, **{"for-all-nodes": fleet.node_metrics[:2]}),
            query(start, end, queries=[{"metric": fleet.node_metrics[0], "host": hosts[0]}]),
        ]

    def count(self, fleet: Fleet, start: int, end: int, hosts: list[int]) -> int:
        return sum(values is not None for number in hosts for data in self.read(fleet, start, end, number) for values in data)

    def read(self, fleet: Fleet, start: int, end: int, number: int) -> Iterator[list[float | None]]:
        """Values of all series of a host, in the order of `Fleet.heads`."""
        threads = [str(thread) for thread in range(fleet.threads)]
        asked: list[dict[str, Any]] = [{"metric": metric, "host": host(number)} for metric in fleet.node_metrics]
        asked += [thread_query(metric, host(number), threads) for metric in fleet.thread_metrics]
        results = orjson.loads(self.ask(query(start, end, queries=asked, **{"with-stats": False})))["results"]
        rows = [[entry["data"] for entry in row] for row in results]
        yield from (row[0] for row in rows[: len(fleet.node_metrics)] if row)
        for found in zip(*rows[len(fleet.node_metrics) :], strict=True):
            yield from found

    def differences(self, fleet: Fleet, start: int, end: int, number: int, sent: list[Numbers]) -> int:
        """Samples of a host that are not exactly what was sent: `sent` are the thousandths by minute."""
        begin = number * fleet.by_host
        expected = np.stack([minute[begin : begin + fleet.by_host] for minute in sent], axis=1) / 1000
        found = np.array(list(self.read(fleet, start, end, number)), np.float64)
        return int((found != expected).sum()) if found.shape == expected.shape else expected.size


class Ours(ClusterCockpitStore):
    """The store of this repository, without authentication, its disk synced as always."""

    name = "ours"

    def __init__(self, folder: Path, *, retention: str = "48h") -> None:
        port, self._ops = free_port(), free_port()
        store = {
            "directory": str(folder / "data"),
            "ops-addr": f"127.0.0.1:{self._ops}",
            "retention-in-memory": retention,
            "limits": {"series": 2_000_000},
        }
        settings = {"main": {"addr": f"127.0.0.1:{port}"}, "metric-store": store, "metrics": declared()}
        command = python("metricstore", "--insecure-no-auth", "--config", config(folder, settings))
        super().__init__(command, folder, port)

    def alive(self) -> bool:
        return self.exchange(Request("GET", "/readyz"), self._ops)[0] == 200

    def exposition(self) -> Request | None:
        return Request("GET", f"/metrics?cluster={CLUSTER}")


class CCMetricStore(ClusterCockpitStore):
    """cc-metric-store, the binary that CC_METRIC_STORE names, with its write-ahead log."""

    name = "cc-metric-store"

    def __init__(self, folder: Path, *, retention: str = "48h") -> None:
        port = free_port()
        store = {
            "checkpoints": {"file-format": "wal", "directory": str(folder / "data")},
            "checkpoint-interval": "12h",
            "memory-cap": 100,
            "retention-in-memory": retention,
            "cleanup": {"mode": "delete"},
        }
        settings = {"main": {"addr": f"127.0.0.1:{port}", "jwt-public-key": ""}, "metric-store": store, "metrics": declared()}
        (folder / "data").mkdir()
        super().__init__([os.environ["CC_METRIC_STORE"], "-config", config(folder, settings)], folder, port)

    def alive(self) -> bool:
        return self.exchange(query(0, 60, queries=[]))[0] == 200


class VictoriaMetrics(Store):
    """VictoriaMetrics, single node, as Debian has it; its results cache is off, as ours has none."""

    name = "VictoriaMetrics"
    write_path = "/write?precision=s"

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        options = {
            "storageDataPath": str(folder / "data"),
            "httpListenAddr": f"127.0.0.1:{self._port}",
            "retentionPeriod": "3",
            "influxSkipSingleField": "true",
            "search.disableCache": "true",
            "search.latencyOffset": "0s",
            "search.maxUniqueTimeseries": "3000000",
            "loggerLevel": "ERROR",
        }
        super().__init__([victoria_metrics(), *(f"-{name}={value}" for name, value in options.items())], folder)

    @property
    def port(self) -> int:
        return self._port

    def alive(self) -> bool:
        return self.exchange(Request("GET", "/health"))[0] == 200

    def queries(self, fleet: Fleet, start: int, end: int) -> list[Request]:
        names = "|".join(host(number) for number in range(min(64, fleet.hosts)))
        threads, two = 'type="hwthread"', "|".join(fleet.node_metrics[:2])
        asked = (
            f'sum by (hostname, __name__) ({{cluster="{CLUSTER}",hostname=~"{names}",{threads}}})',
            f'{{cluster="{CLUSTER}",hostname="{host(0)}",{threads}}}',
            f'{{__name__=~"{two}",cluster="{CLUSTER}"}}',
            f'{fleet.node_metrics[0]}{{cluster="{CLUSTER}",hostname="{host(0)}"}}',
        )
        times = {"start": start, "end": end - FREQUENCY, "step": FREQUENCY}
        return [Request("GET", f"/api/v1/query_range?{urlencode({'query': one, **times})}") for one in asked]

    def count(self, fleet: Fleet, start: int, end: int, hosts: list[int]) -> int:
        self.flush()
        names = "|".join(map(host, hosts)) if len(hosts) < fleet.hosts else ".*"
        asked = f'sum(count_over_time({{cluster="{CLUSTER}",hostname=~"{names}"}}[{end - start}s]))'
        content = self.ask(Request("GET", f"/api/v1/query?{urlencode({'query': asked, 'time': end - FREQUENCY})}"))
        found = json.loads(content)["data"]["result"]
        return int(found[0]["value"][1]) if found else 0

    def exposition(self) -> Request | None:
        selector = f'{{cluster="{CLUSTER}"}}'
        return Request("GET", f"/federate?{urlencode({'match[]': selector})}")

    def flush(self) -> None:
        self.ask(Request("GET", "/internal/force_flush"))


def _exchange(connection: http.client.HTTPConnection, request: Request) -> tuple[int, bytes]:
    connection.request(request.method, request.path, request.body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def declared() -> dict[str, dict[str, object]]:
    """The metrics of the load, as the settings of both ClusterCockpit stores want them."""
    return {metric: {"frequency": FREQUENCY, "aggregation": "sum"} for metric in METRICS}


def config(folder: Path, settings: dict[str, Any]) -> str:
    """Path of a file with these settings."""
    path = folder / "config.json"
    path.write_text(json.dumps(settings))
    return str(path)


def query(start: int, end: int, **more: object) -> Request:
    """A request of the ClusterCockpit API, as cc-backend makes it: GET with a body."""
    return Request("GET", "/api/query", json.dumps({"cluster": CLUSTER, "from": start, "to": end, **more}).encode())


def thread_query(metric: str, name: str, threads: list[str]) -> dict[str, Any]:
    """All threads of a host, one entry each."""
    return {"metric": metric, "host": name, "type": "hwthread", "type-ids": threads}


def victoria_metrics() -> str:
    """Path of the program, from VICTORIA_METRICS or the PATH; empty when it is not installed."""
    return os.environ.get("VICTORIA_METRICS") or shutil.which("victoria-metrics") or ""


def peers() -> tuple[list[type[CCMetricStore] | type[VictoriaMetrics]], list[str]]:
    """Those that are here, and sentences about those that are not."""
    found: list[type[CCMetricStore] | type[VictoriaMetrics]] = []
    missing = []
    if victoria_metrics():
        found.append(VictoriaMetrics)
    else:
        missing.append("VictoriaMetrics is not measured: install the Debian package victoria-metrics, or set VICTORIA_METRICS")
    if os.environ.get("CC_METRIC_STORE"):
        found.append(CCMetricStore)
    else:
        missing.append("cc-metric-store is not measured: set CC_METRIC_STORE to its binary")
    return found, missing
