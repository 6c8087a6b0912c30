"""Refusing lines that would start a series, without decoding them whole: only where the reference would come to the same."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metricstore.memory.registry import Registry
from metricstore.numeric import kernels
from metricstore.numeric.kernels import NAMED, Closed, Lines
from metricwire.lineprotocol import Batch, Limits, decode
from metricwire.samples import SeriesKey

NOW = 1_800_000_000
OLDEST, LATEST = NOW - 1000, NOW + 1000
LIMITS = Limits(line=400, tags=6, name=20)
ALIVE = np.zeros(1, np.uint8)  # no head is known
needs_kernel = pytest.mark.skipif(not kernels.COMPILED, reason="the extension metricstore.numeric._kernels was not built here")

names = st.sampled_from(
    [b"a", b"b", b"ab", b"node", b"hwthread", b"..", ".ü".encode(), b".", b"a/b", b"a\\ b", b"x" * 21, b"", b"=", b"\x7f"]
)
few = st.sampled_from([b"a", b"b", b"ab"])
plain_tags = st.tuples(
    st.sampled_from([b"cluster", b"hostname", b"type", b"type-id", b"stype", b"stype-id", b"user", b"job", b"unit"]), few
)
odd_tags = st.tuples(st.sampled_from([b"cluster", b"host", b"hostname", b"type", b"source", b"x", b"", b"a\\,b"]), names)
heads = st.builds(
    lambda metric, tags: b",".join([metric, *(b"=".join(tag) for tag in tags)]),
    st.one_of(few, few, names, st.sampled_from([b"info", b"#a", b"a=b"])),
    st.lists(st.one_of(plain_tags, plain_tags, plain_tags, odd_tags), max_size=8),
)
lines = st.builds(
    lambda head, rest: head + rest,
    heads,
    st.sampled_from(
        [b" value=1"] * 5 + [b" value=1 %d" % at for at in (OLDEST, LATEST, OLDEST - 1, LATEST + 1)] + [b" value=x", b""]
    ),
)


def known(texts: list[bytes], cluster: str) -> Registry:
    """The series of these lines."""
    registry = Registry(10**6, 10**6)
    for sample in decode(b"\n".join(texts), now=NOW, cluster=cluster, limits=LIMITS).samples:
        if registry.find_number(sample.series) is None:
            registry.number(sample.series)
    return registry


def refused(body: bytes, registry: Registry, cluster: str = "", host: str = "", only: str = "") -> Lines:
    closed = Closed(registry.fingerprints, cluster.encode(), host.encode(), only.encode(), LIMITS.tags, LIMITS.name)
    return kernels.HeadTable(LIMITS.line).decode(body, NOW, OLDEST, LATEST, ALIVE, closed)


def is_refused(batch: Batch, registry: Registry, host: str, only: str) -> bool:
    """Whether the reference refuses the one line of the batch for want of room alone."""
    if len(batch.samples) != 1:
        return False
    (sample,) = batch.samples
    place = sample.series.place
    allowed = place.host == (host or place.host) and place.cluster == (only or place.cluster)
    return allowed and OLDEST <= sample.timestamp <= LATEST and registry.find_number(sample.series) is None


@needs_kernel
@given(
    st.lists(lines, max_size=20), st.lists(lines, max_size=10), st.sampled_from(["", "a", "ü"]), st.sampled_from(["", "a"]),
    st.sampled_from(["", "a"]),
)  # fmt: skip
@example([b"a,hostname=a,type=a,type-id=b value=1"], [b"a,hostname=a,type=ab value=1"], "a", "", "")
@example([b"a,hostname=a,stype=a,stype-id=b value=1"], [b"a,hostname=a,type=ab value=1"], "a", "", "")
@example(
    [b"a,hostname=a,x=1,y=2 value=1", b"a,y=2,hostname=a,x=1,unit=s value=1"], [b"a,y=2,x=1,hostname=a value=1"], "a", "", ""
)
@example([b"a,hostname=a,type=node,type-id=7 value=1"], [b"a,hostname=a value=1"], "a", "", "")
def test_what_is_refused_is_what_the_reference_refuses(
    texts: list[bytes], learnt: list[bytes], cluster: str, host: str, only: str
) -> None:
    registry = known(learnt, cluster)
    found = refused(b"\n".join(texts), registry, cluster, host, only)
    assert found.refused_count == len(found.refused)
    for number, _, _ in found.refused:
        batch = decode(texts[number - 1], now=NOW, cluster=cluster, limits=LIMITS)
        assert is_refused(batch, registry, host, only), texts[number - 1]
    others = sum(body.count(b"\n", start, end) + 1 for body in [b"\n".join(texts)] for _, start, end in found.others)
    assert found.refused_count + others + sum(not text for text in texts) >= len(texts)


@needs_kernel
@pytest.mark.parametrize(
    ("head", "sure"),
    [
        (b"new,cluster=c,hostname=h", True),
        (b"m,cluster=c,hostname=other", True),
        (b"m,cluster=c,hostname=h,type=container,type-id=ab,user=u,unit=s", True),
        (b"m,hostname=h", True),  # of the default cluster, which is another one
        (b"m,hostname=h,cluster=c", False),  # known, spelt otherwise
        (b"m,cluster=c,host=h,type=node", False),
        (b"m,cluster=c,hostname=h,type=t,stype=s", False),
        (b"m,cluster=c", False),
        (b"m,cluster=c,hostname=h,hostname=i", False),
        (b"info,cluster=c,hostname=i", False),
        (b"m,cluster=c,hostname=\xc3\xbc", False),  # the reference decides
        (b"m,cluster=c,hostname=a/b", False),
    ],
)
def test_which_heads_are_refused_at_once(head: bytes, sure: bool) -> None:
    learnt = known([b"m,cluster=c,hostname=h value=1", b"m,cluster=c,hostname=h,type=t,stype=s value=1"], "")
    assert refused(head + b" value=1", learnt, "default").refused_count == sure


@needs_kernel
def test_all_are_counted_and_the_first_ones_named() -> None:
    texts = [b"new%d,cluster=c,hostname=h value=1" % n if n % 3 else b"nonsense" for n in range(1000)]
    body = b"\n".join(texts)
    found = refused(body, Registry(1, 1))
    wanted = [n for n, text in enumerate(texts, 1) if text != b"nonsense"]
    assert found.refused_count == len(wanted)
    assert [number for number, _, _ in found.refused] == wanted[:NAMED]
    assert [body[start:end] for _, start, end in found.refused] == [texts[number - 1] for number in wanted[:NAMED]]
    assert len(found.others) == 1000 - len(wanted)
    assert found.total == 1000


@needs_kernel
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60))
def test_series_come_and_go(steps: list[tuple[bool, int]]) -> None:
    """Hundreds at a time, so that the table grows and what is taken out of it leaves nothing behind."""
    registry, there = Registry(10**6, 1), dict[int, int]()
    for comes, first in steps:
        for n in range(first, first + 300):
            if comes and n not in there:
                there[n] = registry.number(series_of(n))
            elif not comes and n in there:
                registry.forget([there.pop(n)])
    assert len(registry.fingerprints) == len(there)
    body = b"\n".join(b"m%d,cluster=c,hostname=h value=1" % n for n in range(3300))
    assert refused(body, registry).refused_count == 3300 - len(there)


def series_of(n: int) -> SeriesKey:
    return decode(b"m%d,cluster=c,hostname=h value=1" % n, now=NOW).samples[0].series
