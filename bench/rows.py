"""The measurements, one function a row or a few; each says what it found as `Row`s."""

import http.client
import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import data
from bench.program import Program, Store, free_port
from metricwire.lineprotocol import Heads, decode
from metricwire.tokens import new_pair

REPEATS = 15
MINUTES_LARGE, MINUTES_SMALL = 3, 1


class Row(NamedTuple):
    """One figure, and what design.md section 7 asks of it."""

    what: str
    figure: float
    unit: str
    target: str


def decoder() -> Iterator[Row]:
    """The reference decoder alone."""
    body = next(data.bodies(1_700_000_000, 20_000, 1))
    heads = Heads()
    decode(body, now=0, heads=heads)
    begun = time.process_time()
    batch = decode(body, now=0, heads=heads)
    took = time.process_time() - begun
    yield Row("reference decoder, series seen before", len(batch.samples) / took / 1e6, "M lines/CPU-s", "")


def store(folder: Path) -> Iterator[Row]:
    """Everything that needs a store."""
    program = Store(folder)
    program.ready()
    yield Row("store idle, resident", program.resident() / 1e6, "MB", "<= 90")
    newest = int(time.time()) // 60 * 60
    start = newest - (MINUTES_LARGE + MINUTES_SMALL - 1) * 60
    large = [body for n in range(MINUTES_LARGE) for body in data.bodies(start + 60 * n, 7370, n)]
    cpu, _ = _send(program, large, 2)
    yield Row(
        "ingest, bodies of 7,370 lines, 2 connections, fsynced",
        MINUTES_LARGE * data.SERIES / cpu / 1e6,
        "M lines/CPU-s",
        ">= 5",
    )
    small = [body for n in range(MINUTES_SMALL) for body in data.bodies(newest, 97, n)]
    cpu, _ = _send(program, small, 16)
    yield Row("ingest, bodies of 97 lines, 16 connections, fsynced", len(small) / cpu, "req/CPU-s", ">= 22000")
    yield from _queries(program, start, newest + 60)
    before = program.cpu()
    program.ask("GET", "/metrics", port=program.ops)
    yield Row("/metrics with 147,400 series", program.cpu() - before, "CPU-s", "<= 0.4")
    samples = (MINUTES_LARGE + MINUTES_SMALL) * data.SERIES
    yield Row("resident, by series", program.resident() / data.SERIES, "bytes", "")
    yield Row("disk, by sample", program.disk() / samples, "bytes", "<= 2.5")
    program.end(signal.SIGKILL)
    program.start()
    yield Row("ready after kill -9, by million samples in the log", program.ready() / samples * 1e6, "s", "<= 0.23")
    program.end()


def _send(program: Store, bodies: list[bytes], connections: int) -> tuple[float, float]:
    """CPU seconds of the store and seconds of the clock for the bodies, sent in order by so many clients at once."""
    waiting = iter(bodies)
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", program.port)
        while True:
            with lock:
                body = next(waiting, None)
            if body is None:
                return
            connection.request("POST", "/api/write", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the store answered {answer.status}")

    cpu, begun = program.cpu(), time.monotonic()
    clients = [threading.Thread(target=client) for _ in range(connections)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return program.cpu() - cpu, time.monotonic() - begun


def _queries(program: Store, start: int, end: int) -> Iterator[Row]:
    threads = [str(number) for number in range(data.THREADS)]
    hosts = [f"host{number:04}" for number in range(data.HOSTS)]

    def query(metric: str, host: str, **more: Any) -> dict[str, Any]:
        return {"metric": metric, "host": host, **more}

    many = [query(metric, host) for host in hosts[:64] for metric in data.THREAD_METRICS]
    wide = [query(metric, hosts[0], type="hwthread", **{"type-ids": threads}) for metric in data.THREAD_METRICS]
    for what, target, asked in (
        ("query: 64 hosts x 10 metrics, 72 threads aggregated", "<= 8", {"queries": many}),
        ("query: 1 host x 720 thread series", "<= 3.5", {"queries": wide}),
        ("query: for-all-nodes, 200 hosts x 2 metrics", "<= 2.5", {"for-all-nodes": data.NODE_METRICS[:2]}),
        ("query: one host metric", "<= 0.6", {"queries": [query(data.NODE_METRICS[0], hosts[0])]}),
    ):
        body = json.dumps({"cluster": "bench", "from": start, "to": end, **asked}).encode()
        before = program.cpu()
        for _ in range(REPEATS):
            status, _ = program.ask("POST", "/api/query", body)
            if status != 200:
                raise RuntimeError(f"the store answered {status}")
        yield Row(what, (program.cpu() - before) / REPEATS * 1000, "CPU-ms", target)


def agent(folder: Path) -> Iterator[Row]:
    """An agent of this machine, sampling every second for a while: ten times what it does by default."""
    key, token = folder / "key", folder / "token"
    key.write_text(new_pair()[1])
    token.write_text("x")
    settings = {
        "cluster": "bench",
        "interval": 1,
        "store": {"url": f"http://127.0.0.1:{free_port()}", "token-file": str(token)},
        "spool": {"directory": str(folder / "spool")},
        "api": {"address": f"127.0.0.1:{free_port()}", "public-key-files": [str(key)]},
        "metrics-address": f"127.0.0.1:{free_port()}",
    }
    program = Program("metricagent", settings, folder)
    time.sleep(5)
    before = program.cpu()
    time.sleep(20)
    yield Row("agent at 10 s, without containers", (program.cpu() - before) / 20 / 10 * 100, "% of a core", "<= 1")
    yield Row("agent, resident", program.resident() / 1e6, "MB", "<= 60")
    program.end()


def all_rows() -> Iterator[Row]:
    """Every row, in the order of the table."""
    yield from decoder()
    for group in (store, agent):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            yield from group(Path(folder).resolve())
