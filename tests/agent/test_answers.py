"""What each answer of the store means, and how long to wait for the next."""

import json
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.answers import LONGEST_WAIT, Decision, Later, Smaller, Taken, decide, retry_after
from metricagent.backoff import Backoff
from metricagent.parcels import lines, pieces

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
BAD = {"status": "Bad Request", "error": "2 lines refused"}
REJECTED = [{"line": 3, "text": "m value=x", "reason": "no number"}, {"line": 4, "text": "n", "reason": "no field"}]


@pytest.mark.parametrize(
    ("status", "body", "decision"),
    [
        (200, "", Taken()),
        (200, "OK", Taken()),
        (204, "", Taken()),
        (400, json.dumps(BAD | {"rejected": REJECTED, "stored": 8}), Taken(2, ("m value=x: no number", "n: no field"))),
        (400, json.dumps(BAD | {"stored": 0}), Taken(10, ("2 lines refused",))),
        (400, json.dumps(BAD), Taken(10, ("2 lines refused",))),
        (400, json.dumps(BAD | {"stored": 99}), Taken(0, ("2 lines refused",))),
        (400, json.dumps(BAD | {"stored": -1, "rejected": "?"}), Taken(10, ("2 lines refused",))),
        (400, json.dumps(BAD | {"stored": "?", "rejected": [1]}), Taken(10, ("2 lines refused",))),
        (400, "<html>nginx", Later("400", "it answers 400")),
        (400, "[" * 100_000, Later("400", "it answers 400")),
        (413, "", Smaller()),
        (401, json.dumps(BAD | {"error": "no"}), Later("token", "it refuses our token: 401 (no)")),
        (403, "", Later("token", "it refuses our token: 403")),
        (301, "", Later("301", "it answers 301")),
        (404, "", Later("404", "it answers 404")),
        (415, "", Later("415", "it answers 415")),
        (429, "", Later("429", "it answers 429", 7.0)),
        (500, "", Later("500", "it answers 500", 7.0)),
        (503, json.dumps(BAD | {"error": "disk full"}), Later("503", "it answers 503 (disk full)", 7.0)),
    ],
)
def test_decision(status: int, body: str, decision: Decision) -> None:
    headers = {"Retry-After": "7"} if isinstance(decision, Later) and decision.wait else {}
    assert decide(status, headers, body.encode(), 10, NOW) == decision


@given(st.integers(100, 599), st.binary())
def test_any_answer_is_a_decision(status: int, body: bytes) -> None:
    decide(status, {}, body, 10, NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("0", 0),
        ("999999", LONGEST_WAIT),
        ("-3", 0),
        ("1.5", 0),
        ("soon", 0),
        ("Sat, 31 Jan 2026 12:00:20 GMT", 20),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("²", 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.integers(), st.integers(1, 40))
def test_waits_grow_from_one_second_to_thirty_and_differ(seed: int, tries: int) -> None:
    backoff = Backoff(random.Random(seed))
    waits = [backoff.next() for _ in range(tries)]
    assert all(min(2**n, 15) <= wait <= min(2 ** (n + 1), 30) for n, wait in enumerate(waits))
    assert backoff.next(120) == 120
    backoff.reset()
    assert 1 <= backoff.next() <= 2


def test_hosts_do_not_wait_in_step() -> None:
    assert len({Backoff(random.Random(seed)).next() for seed in range(50)}) == 50


@given(st.lists(st.lists(st.text("ab", max_size=20), max_size=5), max_size=5), st.integers(1, 40))
def test_pieces_are_the_lines_in_order_and_small_where_they_can_be(batches: list[list[str]], most: int) -> None:
    texts = ["".join(f"{line}\n" for line in batch).encode() for batch in batches]
    found = list(pieces(texts, most))
    assert b"".join(found) == b"".join(texts)
    assert all(piece.endswith(b"\n") for piece in found)
    assert all(len(piece) <= most or lines(piece) == 1 for piece in found)
    assert sum(map(lines, found)) == sum(map(len, batches))
