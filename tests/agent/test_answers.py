"""What each answer of the store means, and how long to wait for the next."""

import gzip
import json
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.answers import LONGEST_WAIT, Decision, Later, Smaller, Taken, decide, retry_after
from metricagent.backoff import Backoff, Jitter
from metricagent.encoding import BrokenEncoding, Encoding, compress, decompress, zstd
from metricagent.parcels import Parcel, pieces
from metricagent.spoolfile import Packed

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
BAD = {"status": "Bad Request", "error": "2 lines refused"}
COUNTS = {"stored": 8, "rejected_lines": 2}
JSON = "application/json"
REJECTED = [{"line": 3, "text": "m value=x", "reason": "no number"}, {"line": 4, "text": "n", "reason": "no field"}]


@pytest.mark.parametrize(
    ("status", "body", "decision"),
    [
        (200, "", Taken()),
        (400, json.dumps(BAD | COUNTS | {"rejected": REJECTED}), Taken(2, ("m value=x: no number", "n: no field"))),
        (400, json.dumps(BAD | {"stored": 0, "rejected_lines": 10}), Taken(10, ("2 lines refused",))),
        (400, json.dumps(BAD | {"stored": 3, "rejected_lines": 4}), Taken(4, ("2 lines refused",))),
        (400, json.dumps(BAD | {"stored": 3, "rejected_lines": 99}), Taken(10, ("2 lines refused",))),
        (400, json.dumps(BAD | COUNTS | {"rejected": "?"}), Taken(2, ("2 lines refused",))),
        (400, json.dumps(BAD | COUNTS | {"rejected": [1]}), Taken(2, ("2 lines refused",))),
        (413, json.dumps(BAD), Smaller(by_store=True)),
        (413, "<html>nginx", Smaller(by_store=False)),
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
    assert decide(status, headers | {"Content-Type": JSON}, body.encode(), 10, NOW) == decision


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>Sign in to the hotel's network"),
        (200, "text/html", b""),
        (200, "", b""),
        (200, JSON, b"{}"),
        (200, JSON, b'{"took": 1}'),
        (201, JSON, b""),
        (204, JSON, b""),
        (400, "text/html", b"<html>nginx"),
        (400, JSON, b"[" * 100_000),
        (400, JSON, b'{"error":"\xff"}'),
        (400, JSON, json.dumps({"error": "no such index"}).encode()),
        (400, JSON, json.dumps(BAD).encode()),
        (400, JSON, json.dumps(BAD | {"stored": 0}).encode()),
        (400, JSON, json.dumps(BAD | {"rejected_lines": 10}).encode()),
        (400, JSON, json.dumps(COUNTS).encode()),
        (400, JSON, json.dumps(BAD | COUNTS | {"stored": True}).encode()),
        (400, JSON, json.dumps(BAD | COUNTS | {"stored": -1}).encode()),
        (400, JSON, json.dumps(BAD | COUNTS | {"rejected_lines": 2.0}).encode()),
        (400, JSON, json.dumps(BAD | COUNTS | {"rejected_lines": 0}).encode()),
        (400, JSON, json.dumps(BAD | COUNTS | {"rejected_lines": "2"}).encode()),
    ],
)
def test_what_a_stranger_answers_is_no_reason_to_give_samples_up(status: int, content_type: str, body: bytes) -> None:
    assert isinstance(decide(status, {"Content-Type": content_type}, body, 10, NOW), Later)


def test_the_type_of_a_whole_answer_may_have_parameters() -> None:
    assert decide(200, {"Content-Type": "Application/JSON; charset=utf-8"}, b"", 10, NOW) == Taken()


DAMAGED_JSON = st.builds(
    lambda body, at, byte: body[: at % len(body)] + byte + body[at % len(body) :],
    st.just(json.dumps(BAD | COUNTS | {"rejected": REJECTED}).encode()), st.integers(0, 999), st.binary(max_size=2),
)  # fmt: skip


@given(st.sampled_from([200, 400, 401, 413, 429, 503]) | st.integers(100, 599), st.binary() | DAMAGED_JSON, st.text())
def test_any_answer_is_a_decision(status: int, body: bytes, header: str) -> None:
    decide(status, {"Retry-After": header, "Content-Type": JSON}, body, 10, NOW)


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
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", 0),
        ("Mon, 01 Jan 2024 00:00:00 -0000", 0),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", 0),
        ("9" * 5000, LONGEST_WAIT),
        ("Mon, 01 Jan 2024 00:00:00 +" + "9" * 5000, 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.integers(), st.integers(1, 40))
def test_waits_grow_from_one_second_to_thirty_and_differ(seed: int, tries: int) -> None:
    backoff = Backoff(random.Random(seed))
    waits = [backoff.next() for _ in range(tries)]
    assert all(min(2**n, 15) <= wait <= min(2 ** (n + 1), 30) for n, wait in enumerate(waits))
    assert 120 <= backoff.next(120) <= 150
    backoff.reset()
    assert 1 <= backoff.next() <= 2


@given(st.integers(), st.floats(1, 86400))
def test_an_agent_knows_within_about_an_interval_that_its_store_is_back(seed: int, interval: float) -> None:
    backoff = Backoff(random.Random(seed), interval)
    waits = [backoff.next() for _ in range(40)]
    assert max(waits) <= min(max(interval, 2), 30)
    assert min(waits) >= 1


@pytest.mark.parametrize(
    ("interval", "first", "bound"), [(1, 0.5, 0.25), (4, 2.0, 1.0), (10, 5.0, 2.0), (60, 5.0, 2.0), (86400, 5.0, 2.0)]
)
def test_samples_are_spread_over_a_part_of_the_interval(interval: float, first: float, bound: float) -> None:
    for most, waits in (
        (first, [Jitter(random.Random(seed), interval).first() for seed in range(200)]),
        (bound, [Jitter(random.Random(seed), interval).next() for seed in range(200)]),
    ):
        assert 0 <= min(waits) < 0.1 * most
        assert 0.9 * most < max(waits) <= most


@given(st.integers(), st.floats(0, 60))
def test_late_samples_leave_the_store_to_fresh_ones_half_of_the_time(seed: int, took: float) -> None:
    assert max(1.0, took) <= Jitter(random.Random(seed), 10).rest(took) <= 1.5 * max(1.0, took)


def test_hosts_do_not_wait_in_step() -> None:
    assert len({Backoff(random.Random(seed)).next() for seed in range(50)}) == 50


@given(
    st.lists(st.tuples(st.sampled_from(Encoding), st.lists(st.text("ab", max_size=20), min_size=1, max_size=5)), max_size=5),
    st.integers(1, 40),
    st.sampled_from(Encoding),
)
def test_pieces_are_the_lines_in_order_and_small_where_they_can_be(
    batches: list[tuple[Encoding, list[str]]], most: int, wanted: Encoding
) -> None:
    texts = [(encoding, "".join(f"{line}\n" for line in lines).encode()) for encoding, lines in batches]
    whole = b"".join(text for _, text in texts)
    parcel = Parcel(tuple(Packed(one, text.count(b"\n"), len(text), compress(one, text)) for one, text in texts))
    found = list(pieces(parcel, most))
    assert b"".join(piece.text() for piece in found) == whole
    assert all(piece.text().endswith(b"\n") for piece in found if piece.lines)
    assert all(piece.size <= most or piece.lines == 1 for piece in found)
    assert sum(piece.lines for piece in found) == parcel.lines == whole.count(b"\n")
    assert not parcel.parts or UNPACK[wanted](parcel.encoded(wanted)) == whole


UNPACK = {Encoding.PLAIN: bytes, Encoding.GZIP: gzip.decompress, Encoding.ZSTD: zstd.decompress}


@pytest.mark.parametrize("encoding", [Encoding.GZIP, Encoding.ZSTD], ids=str)
@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=2))
def test_what_is_not_as_long_as_it_says_is_broken(encoding: Encoding, text: bytes, size: int, behind: bytes) -> None:
    data = compress(encoding, text)
    assert decompress(encoding, data, len(text)) == text
    if behind or size != len(text):
        with pytest.raises(BrokenEncoding):
            decompress(encoding, data + behind, size)
