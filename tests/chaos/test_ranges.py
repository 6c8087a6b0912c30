"""T13 (P9): ranges and fans. A request that asks for too much is refused quickly and named; none takes the store along."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable

from chaos.bodies import bodies
from chaos.conftest import Figures, Size
from chaos.program import MIB, Program

REFUSED = (400, 413, 422)
# What a route that a build has not got answers is as good as a refusal here.
FINE = (200, *REFUSED, 404, 405, 503)


def fill(store: Program, hosts: int, metrics: int, now: int) -> None:
    """Two samples of each metric of each host, 60 s apart, and some threads of host h1."""
    for at in (now - 60, now):
        for piece in range(0, hosts, 100):
            hosts_now = range(piece, min(piece + 100, hosts))
            lines = [f"m{m},cluster=c,hostname=h{host} value={m}.5 {at}" for host in hosts_now for m in range(metrics)]
            assert store.ask("POST", "/api/write", "\n".join(lines)).status == 200
        threads = [f"m0,cluster=c,hostname=h1,type=hwthread,type-id={n},stype=x,stype-id={n} value=1 {at}" for n in range(100)]
        assert store.ask("POST", "/api/write", "\n".join(threads)).status == 200


def test_t13_no_request_takes_the_store_along(
    make_program: Callable[..., Program], size: Size, rng: random.Random, figures: Figures
) -> None:
    store, now = make_program(), int(time.time())
    rules = itertools.cycle(["sum", "avg", None])
    store.settings["metrics"] = {f"m{n}": {"frequency": 60, "aggregation": next(rules)} for n in range(100)}
    if not size.full:
        store.settings["metric-store"]["limits"] = {"points": 300_000}
    store.run()
    hosts, metrics = size.pick((50, 20), (1000, 100))
    fill(store, hosts, metrics, now)
    base, answers, wrong = store.use(), Counter[int](), []
    refusals, others, peak = [(0.0, "")], [(0.0, "")], base.resident
    for body in itertools.islice(bodies(rng, now), count := size.pick(42, 300)):
        answer = store.ask("POST", body.path, body.body)
        answers[answer.status] += 1
        if answer.status not in FINE:
            wrong.append(f"{body.kind} {body.path} {body.body[:300]!r}: {answer.status} {answer.text[:300]}")
        if answer.status in REFUSED:
            refusals.append((answer.seconds, body.kind))
            assert answer.json["error"].startswith("cannot "), answer.text[:300]
        else:
            others.append((answer.seconds, body.kind))
        peak = max(peak, store.use().peak)
    grown, refusal, slowest = (peak - base.resident) / MIB, max(refusals), max(others)
    each = ", ".join(f"{found} x {status}" for status, found in sorted(answers.items()))
    figures(
        f"T13: {count} bodies on {hosts} hosts x {metrics} metrics, {answers[500]} x 500, {each}; "
        f"slowest refusal {refusal[0] * 1000:.0f} ms ({refusal[1]}), "
        f"slowest other answer {slowest[0]:.2f} s ({slowest[1]}), RSS {grown:+.0f} MiB"
    )
    assert not wrong, "\n".join(wrong)
    assert store.ask("GET", "/healthz", port=store.ops).status == 200
    if size.full:
        assert refusal[0] <= 0.1
        assert slowest[0] <= 10
        assert grown <= 256
