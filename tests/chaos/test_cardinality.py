"""T14 (P9): a flood of series. The limit holds, those that are known go on, and refusing costs little."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator

from chaos.conftest import Figures, Size
from chaos.program import MIB, Program

BATCH = 5_000  # lines of one body of the flood
PAUSE = 0.05  # seconds between two batches of the series that are known


class Paced(threading.Thread):
    """Writes known series at a steady rate, 500 lines at a time; how much of its rate it kept."""

    def __init__(self, store: Program, known: int) -> None:
        super().__init__(daemon=True)
        self._store, self._known = store, known
        self.stop = threading.Event()
        self.done, self.refused, self.share = 0, 0, 0.0

    def run(self) -> None:
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self._store.port, timeout=60)
        while not self.stop.is_set():
            first = self.done * 500 % self._known
            connection.request("POST", "/api/write", "\n".join(known_lines(first, min(500, self._known))))
            answer = connection.getresponse()
            answer.read()
            self.refused += answer.status != 200
            self.done += 1
            self.stop.wait(max(0.0, begun + self.done * PAUSE - time.monotonic()))
        self.share = self.done * PAUSE / (time.monotonic() - begun)
        connection.close()


def known_lines(first: int, count: int) -> Iterator[str]:
    now = int(time.time())
    return (
        f"m,cluster=c,hostname=h{n % 100},type=core,type-id={n // 100} value={n} {now}" for n in range(first, first + count)
    )


def new_lines(first: int) -> Iterator[str]:
    """New hosts, new tags and new names, as StatsD clients make them up, and every time others."""
    now = int(time.time())
    for number in range(first, first + BATCH):
        match number % 3:
            case 0:
                yield f"m,cluster=c,hostname=new{number} value=1 {now}"
            case 1:
                yield f"m,cluster=c,hostname=h1,request={number} value=1 {now}"
            case _:
                yield f"statsd.timer.{number},cluster=c,hostname=h1 value=1 {now}"


def cost(store: Program, body: str, times: int) -> float:
    """Processor seconds for the body."""
    before = store.use().cpu
    for _ in range(times):
        assert store.ask("POST", "/api/write", body).status in (200, 400)
    return (store.use().cpu - before) / times


def test_t14_a_flood_of_series(make_program: Callable[..., Program], size: Size, figures: Figures) -> None:
    limit, known, new = size.pick((5_000, 2_000, 20_000), (100_000, 10_000, 1_000_000))
    store = make_program(store={"limits": {"series": limit}}).run()
    for first in range(0, known, 500):
        assert store.ask("POST", "/api/write", "\n".join(known_lines(first, 500))).status == 200
    paced = Paced(store, known)
    paced.start()
    begun = time.monotonic()
    full, first = store.use(), 0
    while first < new:
        answer = store.ask("POST", "/api/write", "\n".join(new_lines(first)))
        assert answer.status in (200, 400, 503), answer.text[:300]
        first += BATCH if answer.status != 503 else 0
        if first <= limit:
            full = store.use()  # with as many series as there may be, and nothing refused yet
    seconds = time.monotonic() - begun
    paced.stop.set()
    paced.join()
    after, lines = store.use(), store.lines()
    unknown_selectors(store, size.pick(1_000, 100_000))
    of_known = cost(store, "\n".join(known_lines(0, min(BATCH, known))), size.pick(10, 100)) / min(BATCH, known)
    of_refused = cost(store, "\n".join(new_lines(new + 3 * BATCH)), size.pick(2, 20)) / BATCH
    metrics, own = (store.ask("GET", path, port=store.ops) for path in ("/metrics", "/metrics/self"))
    refused = {reason: int(count) for (outcome, reason), count in lines.items() if outcome == "rejected" and count}
    costs = f"a refused line costs {of_refused * 1e6:.1f} us, a known one {of_known * 1e6:.1f} us"
    figures(
        f"T14: {new:,} new series within {seconds:.0f} s, limit {limit:,}: {store.gauge('metricstore_series'):,.0f} series, "
        f"refused {refused}; known series kept {paced.share:.0%} of their rate, {paced.refused} refusals; RSS "
        f"{full.resident / MIB:.0f} MiB at the limit, {after.resident / MIB:.0f} MiB after; {costs}; /metrics/self "
        f"{own.seconds * 1000:.0f} ms, {len(own.text) / 1000:.0f} kB, /metrics with all series {metrics.seconds:.2f} s, "
        f"{len(metrics.text) / 1e6:.1f} MB"
    )
    assert store.gauge("metricstore_series") <= limit
    assert not paced.refused
    assert lines.pop(("received", "")) == sum(lines.values())
    assert sum(refused.values()) >= new - limit
    assert store.ask("GET", "/readyz", port=store.ops).status == 200
    if size.full:
        assert paced.share >= 0.9
        assert after.resident <= 1.1 * full.resident
        assert of_refused <= 2 * of_known
        assert own.seconds <= 1
        assert len(own.text) <= 5_000_000


def unknown_selectors(store: Program, count: int) -> None:
    """Asking for what is not there makes nothing; how such a request is refused is the route's affair."""
    before = store.gauge("metricstore_series")
    for first in range(0, count, 10_000):
        names = [f"none{number}" for number in range(first, min(first + 10_000, count))]
        queries = [{"metric": name, "host": name} for name in names]
        for path, body in (
            ("/api/query", {"cluster": "c", "from": 0, "to": 1, "queries": queries}),
            ("/api/free?to=1", [["c", name] for name in names]),
            (f"/api/debug?selector=c:{names[0]}", None),
        ):
            assert store.ask("POST", path, json.dumps(body)).status in (200, 400, 404, 405, 413)
    assert store.gauge("metricstore_series") == before
