"""T21 (P12): login tells nobody which users exist, slows guessing down, hinders no samples, and keeps secrets.

Addresses are those of the loopback network, 127.0.0.0/8: each is a client's own.
"""

import http.client
import itertools
import json
import math
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import numpy as np
import pytest

from chaos.conftest import Figures, Size
from chaos.program import Answer, Program
from metricwire.tokens import SUPERUSER
from metricwire.users import COST, Cost, entry, new_password
from rsapairs import ACCOUNT, FOREIGN, OURS

LOGIN = "/acs/api/v1/auth/login"
SECRET = "canary-of-alice"
LEAST = Cost(14, 1)  # the cheapest that a store takes: differences show the most


class Store(NamedTuple):
    """A store that people log in to, from many addresses."""

    program: Program

    def login(self, address: int, **credentials: Any) -> Answer:
        """One login from the address with that number."""
        source = f"127.{1 + address // 62500}.{address // 250 % 250}.{2 + address % 250}"
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=120, source_address=(source, 0))
        try:
            connection.request("POST", LOGIN, json.dumps(credentials))
            answer = connection.getresponse()
            text = answer.read().decode()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, text, headers, time.perf_counter() - begun)
        finally:
            connection.close()


@pytest.fixture
def store(make_program: Callable[..., Program], tmp_path: Path) -> Store:
    folder = tmp_path / "users"
    folder.mkdir()
    (tmp_path / "key").write_text(OURS[0])
    (folder / "alice").write_bytes(entry("alice", [SUPERUSER], password=new_password(SECRET, LEAST)))
    (folder / "poller").write_bytes(entry("poller", [SUPERUSER], public_key=ACCOUNT[1]))
    settings = {"login": {"key-files": [str(tmp_path / "key")], "users": str(folder)}, "anonymous-metrics": True}
    return Store(make_program(store=settings))


def area(one: list[float], other: list[float]) -> float:
    """The share of pairs in which the first is the larger one: 0.5 when nobody can tell them apart."""
    ranks = np.argsort(np.argsort(np.array(one + other))) + 1
    return float((ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other)))


def credentials(uid: str, kind: str, number: int) -> dict[str, Any]:
    if kind == "password":
        return {"uid": uid, "password": f"guess {number:05}"}
    claims = {"uid": uid, "exp": int(time.time()) + 60, "jti": f"{number:05}"}
    return {"uid": uid, "token": jwt.encode(claims, FOREIGN[0], algorithm="RS256")}


@pytest.mark.parametrize(("kind", "known", "unknown"), [("password", "alice", "alicf"), ("login token", "poller", "pollex")])
def test_t21_times_do_not_tell_who_exists(
    kind: str, known: str, unknown: str, store: Store, rng: random.Random, size: Size, figures: Figures
) -> None:
    store.program.run()
    wanted = size.pick(3, 2_000)
    times: dict[str, list[float]] = {known: [], unknown: []}
    answers = set()
    for number in range(wanted):
        for uid in rng.sample([known, unknown], 2):
            answer = store.login(number // 8, **credentials(uid, kind, number))
            answers.add((answer.status, answer.text))
            times[uid].append(answer.seconds)
    assert len(answers) == 1, answers
    assert answers.pop()[0] == 401
    medians = [statistics.median(found) * 1000 for found in times.values()]
    apart, told = abs(medians[0] - medians[1]), area(*times.values())
    figures(
        f"T21: {wanted} wrong logins each by {kind}: medians {medians[0]:.2f} ms for a known uid, {medians[1]:.2f} ms for an "
        f"unknown one; a classifier on the times gets AUC {told:.3f}"
    )
    if size.full:
        assert apart < 1 or apart < 0.05 * max(medians)
        assert 0.45 <= told <= 0.55


def test_t21_guessing_is_slowed_down_for_a_uid_and_an_address_alone(
    store: Store, tmp_path: Path, size: Size, figures: Figures
) -> None:
    store.program.run()
    begun = time.monotonic()
    counts: dict[str, Counter[int]] = {}
    waits = []
    many = size.pick(2, 50)
    for name, addresses, guesses in (
        ("one", range(1), size.pick(12, 10_000)),
        ("many", range(1, many + 1), size.pick(22, 10_000)),
    ):
        counts[name] = Counter()
        for number, address in zip(range(guesses), itertools.cycle(addresses), strict=False):
            answer = store.login(address, uid="alice", password=f"guess {number}")
            counts[name][answer.status] += 1
            if answer.status == 429:
                waits.append(int(answer.headers["retry-after"]))
    minutes = 1 + math.floor((time.monotonic() - begun) / 60)
    while store.login(0, uid="alice", password="guess").status != 429:
        pass  # a lock may have ended meanwhile
    assert store.login(0, uid="alice", password=SECRET).status == 429, "the right password does not open a lock"
    assert store.login(1000, uid="alice", password=SECRET).status == 200, "from elsewhere she may"
    assert store.login(0, uid="nobody", password=SECRET).status == 401, "others from there may"
    figures(
        f"T21: of {counts['one'].total()} guesses from 1 address {counts['one'][401]} were looked at, "
        f"of {counts['many'].total()} from {many} addresses {counts['many'][401]}; Retry-After up to {max(waits)} s; "
        "locked for that uid from there alone"
    )
    assert set(counts["one"]) | set(counts["many"]) == {401, 429}
    assert counts["one"][401] <= 10 * minutes
    assert counts["many"][401] <= 10 * minutes * many
    assert max(waits) <= 900


class Writer:
    """Writes one batch after the other, until told to stop."""

    def __init__(self, program: Program) -> None:
        self.seconds: list[float] = []
        self.refused = 0
        self._program, self._stop = program, threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        for number in itertools.count():
            lines = "\n".join(f"m,cluster=c,hostname=h{host} value={number}" for host in range(300))
            answer = self._program.ask("POST", "/api/write", lines)
            self.seconds.append(answer.seconds)
            self.refused += answer.status != 200
            if self._stop.is_set():
                return


def test_t21_a_crowd_that_logs_in_does_not_hinder_samples(store: Store, tmp_path: Path, size: Size, figures: Figures) -> None:
    people = size.pick(3, 50)
    password = new_password(SECRET, size.pick(LEAST, COST))
    entries = b",".join(entry(f"user{number}", [], password=password) for number in range(people))
    (tmp_path / "users" / "crowd.json").write_bytes(b"[" + entries + b"]")
    store.program.run()
    answers: list[Answer] = []
    with Writer(store.program) as writer:
        crowd = [
            threading.Thread(target=lambda n=n: answers.append(store.login(n, uid=f"user{n}", password=SECRET)))
            for n in range(people)
        ]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
    slowest = sorted(writer.seconds)[math.ceil(0.99 * len(writer.seconds)) - 1]
    figures(
        f"T21: {people} logins at once took up to {max(answer.seconds for answer in answers):.1f} s; beside them "
        f"{len(writer.seconds)} writes, p99 {slowest * 1000:.0f} ms, {writer.refused} refused"
    )
    assert {answer.status for answer in answers} == {200}
    assert writer.refused == 0
    if size.full:
        assert slowest < 0.5


def canaries() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies and headers of logins with a secret in each place where one may be put."""
    texts = ["canary-1", "canary\n{}%s", "canary\x00", "canary\u202e", "canary" * 3000]
    fields = [field for text in texts for field in ({"uid": text, "password": "x"}, {"uid": "x", "password": text},
              {"uid": "x", "token": text}, {"uid": "x", "password": "x", text: text}, {"uid": {text: 1}},
              {"uid": "x", "password": [text]}, text)]  # fmt: skip
    for field in fields:
        yield json.dumps(field).encode(), {}
    for raw in (b"canary", b'{"uid": "canary', b'{"uid": "\xffcanary"}', b"uid=canary&password=canary", b""):
        yield raw, {}
    for name in ("Authorization", "User-Agent", "Content-Type", "X-Forwarded-For", "Cookie", "Referer", "Content-Encoding"):
        yield b'{"uid": "x", "password": "y"}', {name: "canary"}
    yield json.dumps({"uid": "alice", "password": SECRET}).encode(), {}
    yield (
        json.dumps(
            {"uid": "poller", "token": jwt.encode({"uid": "poller", "exp": 1, "x": "canary"}, ACCOUNT[0], "RS256")}
        ).encode(),
        {},
    )


def test_t21_secrets_are_told_nobody(store: Store, tmp_path: Path, figures: Figures) -> None:
    (tmp_path / "users" / "bad").write_text('{"uid": "bad", "password": "canary", "permissions": []}')
    (tmp_path / "users" / "worse").write_text('{"uid": "worse", "canary": ["canary"]}')
    program = store.program.run()
    count, shown, statuses = 0, [], Counter[int]()
    for body, headers in canaries():
        for path in (LOGIN, f"{LOGIN}?password=canary", f"{LOGIN}/canary"):
            answer = program.ask("POST", path, body, headers)
            statuses[answer.status] += 1
            count += 1
            shown += [answer.text] if answer.status != 200 and "canary" in answer.text else []
    metrics = "".join(program.ask("GET", path, port=program.ops).text for path in ("/metrics", "/metrics/self"))
    status, log = program.end()
    in_log = [line for line in log if "canary" in json.dumps(line)]
    figures(
        f"T21: {count} requests with canaries in all fields, {statuses[500]} answered 500; canaries in {len(shown)} error "
        f"bodies, {len(in_log)} log lines, {metrics.count('canary')} places of /metrics"
    )
    assert (status, statuses[500]) == (0, 0)
    assert not shown
    assert not in_log
    assert "canary" not in metrics
    assert "metricstore_logins_total" in metrics
    assert OURS[0].splitlines()[1] not in json.dumps(log)
