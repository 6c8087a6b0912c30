"""Requests that ask for too much, or for what cannot be: (kind, method, path, body) without end, from one seed."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NUMBERS = [
    0, 1, -1, 59, 60, 2**31 - 1, 2**31, 2**32, 9_000_000_000, 2**53, 2**62, 2**63 - 1, -(2**62), -(2**63), 2**63, 2**64, 10**30,
]  # fmt: skip
OTHERS: list[Any] = [None, "", "1", 1.5, True, [], {}, [1], {"a": 1}]


class Body(NamedTuple):
    """One request; `method` and `path` say to what route."""

    kind: str
    path: str
    body: bytes


def bodies(rng: random.Random, now: int) -> Iterator[Body]:
    """One after another of each kind."""
    kinds: list[Callable[[random.Random, int], tuple[str, bytes]]] = [
        times, far, resolutions, many_queries, many_ids, all_nodes, wrong_types,
        deep, many_keys, literals, broken, health, free, debug,
    ]  # fmt: skip
    while True:
        for kind in kinds:
            path, body = kind(rng, now)
            yield Body(kind.__name__, path, body)


def query(**changed: Any) -> tuple[str, bytes]:
    asked = {"cluster": "c", "from": 0, "to": 1, "queries": [{"metric": "m0", "host": "h1"}]} | changed
    return "/api/query", json.dumps(asked).encode()


def times(rng: random.Random, _: int) -> tuple[str, bytes]:
    return query(**{"from": rng.choice(NUMBERS), "to": rng.choice(NUMBERS), "with-padding": rng.random() < 0.7})


def far(rng: random.Random, now: int) -> tuple[str, bytes]:
    """Over data, and a range whose padding would not fit anywhere."""
    return query(**{"from": now - 10 ** rng.randrange(4, 18), "to": now + 10 ** rng.randrange(4, 18)})


def resolutions(rng: random.Random, now: int) -> tuple[str, bytes]:
    asked = {
        "metric": "m0",
        "host": "h1",
        "resolution": rng.choice(NUMBERS),
        "scale-by": rng.choice([1e308, -1e308, 5e-324, 0, 1]),
    }
    return query(**{"from": now - 7200, "to": now + 60, "queries": [asked]})


def many_queries(rng: random.Random, now: int) -> tuple[str, bytes]:
    count = rng.choice([10_000, 19_999, 20_001, 100_000])
    asked = [{"metric": f"m{n % 7}", "host": f"h{n % 50}"} for n in range(count)]
    return query(**{"from": now - 600, "to": now + 60, "queries": asked})


def many_ids(rng: random.Random, now: int) -> tuple[str, bytes]:
    ids = [str(n % 100) for n in range(rng.choice([1_000, 30_000]))]
    asked = {"metric": "m0", "host": "h1", "type": "hwthread", "type-ids": ids, "aggreg": rng.random() < 0.5}
    if rng.random() < 0.5:
        asked |= {"subtype": "x", "subtype-ids": ids}
    return query(**{"from": now - 600, "to": now + 60, "queries": [asked]})


def all_nodes(rng: random.Random, now: int) -> tuple[str, bytes]:
    """On every host of the cluster; the last times a metric that is not known."""
    metrics = [f"m{n}" for n in range(rng.choice([1, 19, 100]))] * rng.choice([1, 1, 20])
    return query(**{"from": now - rng.choice([600, 10**9]), "to": now + 60, "queries": None, "for-all-nodes": metrics})


def wrong_types(rng: random.Random, _: int) -> tuple[str, bytes]:
    names = ["cluster", "from", "to", "queries", "for-all-nodes", "with-stats", "with-data", "with-padding"]
    inner = ["metric", "host", "type", "type-ids", "subtype", "subtype-ids", "resolution", "scale-by", "aggreg"]
    if rng.random() < 0.5:
        return query(**{rng.choice(names): rng.choice(OTHERS)})
    asked = {"metric": "m0", "host": "h1", "type": "core", "type-ids": ["0"]} | {rng.choice(inner): rng.choice(OTHERS)}
    return query(queries=[asked])


def deep(rng: random.Random, _: int) -> tuple[str, bytes]:
    depth = rng.choice([33, 1_000, 100_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"queries":', b"}"), (b'{"x":[', b"]}")])
    return rng.choice(["/api/query", "/api/healthcheck", "/api/free"]), opening * depth + closing * depth


def many_keys(rng: random.Random, _: int) -> tuple[str, bytes]:
    count = rng.choice([1_000, 1_000_000])
    return "/api/query", b'{"cluster":"c",' + b",".join(b'"k%d":1' % n for n in range(count)) + b"}"


def literals(rng: random.Random, _: int) -> tuple[str, bytes]:
    found = rng.choice(
        [b"NaN", b"-Infinity", b"Infinity", b"1e999", b"-1e999", b"1e-999", b"0" * 9 + b"1", b"1" * 100_000, b"-0", b"1.0"]
    )
    name = rng.choice([b"from", b"to"])
    return (
        "/api/query",
        b'{"cluster":"c","queries":[{"metric":"m0","host":"h1","scale-by":' + found + b'}],"' + name + b'":' + found + b"}",
    )


def broken(rng: random.Random, _: int) -> tuple[str, bytes]:
    whole = query()[1]
    at = rng.randrange(len(whole))
    cases = [
        whole[:at],
        whole[:at] + bytes([rng.randrange(256)]) + whole[at + 1 :],
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"1",
        whole * 2,
        b"\0",
    ]
    return "/api/query", rng.choice(cases)


def health(rng: random.Random, _: int) -> tuple[str, bytes]:
    asked = {
        "cluster": rng.choice(["c", "", "none"]),
        "nodes": rng.choice([[f"h{n % 1000}" for n in range(rng.choice([1, 1_000, 100_000]))], None, [], [""]]),
        "metric-names": rng.choice([[f"m{n}" for n in range(rng.choice([1, 100, 1_000]))], None, []]),
    }
    return "/api/healthcheck", json.dumps(asked).encode()


def free(rng: random.Random, _: int) -> tuple[str, bytes]:
    """Selectors of what is not there: freeing nothing must cost nothing and break nothing."""
    selectors = rng.choice([[["none"]] * 100_000, [["c", "none"] * 1_000], [], [[]], "x", [1], [["none", ["a", "b"] * 1000]]])
    return f"/api/free?to={rng.choice([*NUMBERS, '', 'x', 'NaN', '1e9'])}", json.dumps(selectors).encode()


def debug(rng: random.Random, _: int) -> tuple[str, bytes]:
    return "/api/debug?selector=" + rng.choice(["none", ":", ":" * 2_000, "none:" * 1_000, "c:none", "%00", "%ff"]), b""
