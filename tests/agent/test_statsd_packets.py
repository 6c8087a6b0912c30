"""StatsD packets: what is a value, what is bad and why, what is left out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.statsd.packets import KINDS, LARGEST, NAME_MOST, REASONS, TAGS_MOST, Claim, Packet, Tail, parse
from metricwire.lineprotocol import decode, encode
from metricwire.samples import Place, Sample, SeriesKey

PLACE = Place("c", "h", "container", "a" * 64, "app", "counter")


@pytest.mark.parametrize(
    ("packet", "metric", "value", "tail"),
    [
        (b"a:1|c", "a", 1.0, Tail("counter")),
        (b"a.b-c/d e,f=g:0.5|ms", "a.b-c/d e,f=g", 0.5, Tail("timer")),
        ("gr\u00f6\u00dfe:1e3|g".encode(), "gr\u00f6\u00dfe", 1000.0, Tail("gauge")),
        (b"a:.5|h", "a", 0.5, Tail("histogram")),
        (b"a:5.|d", "a", 5.0, Tail("distribution")),
        (b"a:192.168.0.1:80|s", "a", b"192.168.0.1:80", Tail("set")),
        (b"a:1|c|@0.1", "a", 1.0, Tail("counter", 10.0)),
        (b"a:1|g|@0.1", "a", 1.0, Tail("gauge")),
        (b"a:1|c|@1", "a", 1.0, Tail("counter")),
        (b"a:1|c\r", "a", 1.0, Tail("counter")),
        (b"a:-1|ms", "a", -1.0, Tail("timer")),
        (b"a:1|c|#", "a", 1.0, Tail("counter")),
        (b"a:1|c|#b:x,a:y:z,flag,,empty:", "a", 1.0, Tail("counter", 1.0, (("a", "y:z"), ("b", "x"), ("flag", "true")))),
        (b"a:1|c|#a:1,a:2", "a", 1.0, Tail("counter", 1.0, (("a", "2"),))),
        (b"a:1|c|#host:x,pod-uid:y", "a", 1.0, Tail("counter", 1.0, (("exported_host", "x"), ("exported_pod-uid", "y")))),
        (b"a:1|c|c:abc", "a", 1.0, Tail("counter", claim=Claim("abc"))),
        (b"a:1|c|c:ci-abc|T1656581400", "a", 1.0, Tail("counter", claim=Claim("abc"))),
        (b"a:1|c|c:", "a", 1.0, Tail("counter")),
        (b"a:1|c|c:in-12345", "a", 1.0, Tail("counter")),
        (b"a:1|c|e:it-false,cn-app,pu-u1|card:low", "a", 1.0, Tail("counter", claim=Claim("", "u1", "app"))),
        (b"a:1|c|#dd.internal.entity_id:u1,dd.internal.card:low", "a", 1.0, Tail("counter", claim=Claim("", "u1"))),
        (
            b"a:1|c|#container_name:app",
            "a",
            1.0,
            Tail("counter", 1.0, (("container_name", "app"),), Claim("", "", "app")),
        ),
    ],
)
def test_a_value(packet: bytes, metric: str, value: float | bytes, tail: Tail) -> None:
    found = parse(packet)
    assert not found.bad
    ((got, number, relative, rest),) = found.values
    assert (got, number, relative, rest) == (metric, value, False, tail)


def test_several_values_and_lines() -> None:
    found = parse(b"a:1:2:3|ms\nb:+1|g\n\nb:-2.5|g\n_e{5,4}:title|text|#a\n_sc|name|0\n")
    assert [(v.metric, v.value, v.relative) for v in found.values] == [
        ("a", 1.0, False),
        ("a", 2.0, False),
        ("a", 3.0, False),
        ("b", 1.0, True),
        ("b", -2.5, True),
    ]
    assert found[1:] == ([], 1, 1)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "empty"),
        (b"\n\r\n", "empty"),
        (b"a", "form"),
        (b"a:1", "form"),
        (b"a|c", "form"),
        (b"|||", "form"),
        (b"_sc", "form"),
        (b"a:|c", "value"),
        (b"a:|s", "value"),
        (b"a:x|c", "value"),
        (b"a:1_0|c", "value"),
        (b"a: 1|c", "value"),
        (b"a:inf|g", "value"),
        (b"a:nan|g", "value"),
        (b"a:1e400|g", "value"),
        (b"a:1e101|g", "value"),
        (b"a:0x10|g", "value"),
        ("a:\u0661|g".encode(), "value"),
        (b"a:" + b"1" * 65 + b"|g", "value"),
        (b"a:-1|c", "negative"),
        (b"a:1|", "kind"),
        (b"a:1|m", "kind"),
        (b"a:1|C", "kind"),
        (b"a:1|c|@0", "rate"),
        (b"a:1|c|@-0.5", "rate"),
        (b"a:1|c|@1.1", "rate"),
        (b"a:1|c|@1e-300", "rate"),
        (b"a:1|c|@nan", "rate"),
        (b"a:1|c|@", "rate"),
        (b"a:1|c|", "field"),
        (b"a:1|c|x", "field"),
        (b"a:1|c|Tx", "field"),
        (b"a:1|c|c:\x00", "field"),
        (b"a:1|c|#:x", "tag"),
        (b"a:1|c|#a:x\\", "tag"),
        (b"a:1|c|#a\x1b:x", "tag"),
        (b"a:1|c|#a:\xff", "tag"),
        (b"a:1|c|#" + b",".join(b"t%d:x" % at for at in range(TAGS_MOST + 1)), "tag"),
        (b"a:1|c|#a:" + b"x" * 256, "tag"),
        (b"a:1|c|#" + b"x," * 501, "tag"),
        (b":1|c", "name"),
        (b"#a:1|c", "name"),
        (b"a\\:1|c", "name"),
        (b"a\x00b:1|c", "name"),
        (b"\xff:1|c", "name"),
        (b"a" * (NAME_MOST + 1) + b":1|c", "name"),
        (b"info:1|g", "name"),
        (b"disk_used:1|g", "name"),
        (b"disk.used:1|g", "name"),
        (b"load_one:1|g", "name"),
        (b"net.bytes in:1|c", "name"),
        (b"files:1|ms", "name"),  # it would have files.max
        (b"files:1|d|#a:b", "name"),
        (b"a:1|c|#label_" + b"x" * 241 + b":1", "tag"),  # exported_label_...
    ],
)
def test_what_is_bad(packet: bytes, reason: str) -> None:
    assert [bad.reason for bad in parse(packet).bad] == [reason]


def test_one_bad_value_costs_no_other() -> None:
    found = parse(b"a:1:x:3|ms\nb\nc:1|c")
    assert [(v.metric, v.value) for v in found.values] == [("a", 1.0), ("a", 3.0), ("c", 1.0)]
    assert [tuple(bad) for bad in found.bad] == [("a:1:x:3|ms", "value"), ("b", "form")]


# Pieces that come close to what is understood.
PIECES = (
    *(
        b"|",
        b":",
        b"#",
        b"@",
        b",",
        b"\n",
        b"\r",
        b"c",
        b"g",
        b"ms",
        b"h",
        b"d",
        b"s",
        b"1",
        b"-",
        b"+",
        b".",
        b"e",
        b"a",
        b" ",
    ),
    *(b"0.5", b"1e-300", b"inf", b"\\", b"\x00", b"\xff", b"_e{", b"_sc|", b"T", b"c:", b"e:", b"cn-", b"=", b"host", b"info"),
    *(b"dd.internal.entity_id", b"container_name", b"a:1|c", b"b:2|ms|#"),
)
SALAD = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


def holds(found: Packet) -> None:
    """What is true of any packet: it holds something, reasons are of the list, each value is one that a line can carry."""
    assert found.values or found.bad or found.events or found.checks
    for text, reason in found.bad:
        assert reason in REASONS
        assert text.isascii()
        assert text.isprintable()
    for metric, value, relative, (kind, weight, tags, _) in found.values:
        assert kind in KINDS.values()
        assert 1 <= weight <= 1e6
        assert isinstance(value, bytes) == (kind == "set")
        assert kind == "gauge" or not relative
        assert isinstance(value, bytes) or abs(value) <= LARGEST
        line = encode(Sample(SeriesKey(PLACE, f"{metric}.count", tags), 1, 1.0))
        (sample,) = decode(line, now=1).samples
        assert sample == Sample(SeriesKey(PLACE, f"{metric}.count", tags), 1, 1.0), "the line says the same, and the same place"


@given(SALAD)
def test_salads_give_values_or_reasons(packet: bytes) -> None:
    holds(parse(packet))


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_reasons(packet: bytes) -> None:
    holds(parse(packet))


@given(
    st.text(max_size=20).filter(bool),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-LARGEST, max_value=LARGEST),
    st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4),
)
def test_any_text_in_the_places_of_names(metric: str, value: float, tags: dict[str, str]) -> None:
    text = ",".join(f"{key}:{said}" for key, said in tags.items())
    packet = f"{metric}:{value!r}|h|#{text}".encode("utf-8", "surrogatepass")
    found = parse(packet)
    holds(found)
    if found.values and not found.bad and len(found.values) == 1:
        assert math.isfinite(value)
