"""Lines as InfluxDB's clients send them: several fields, a timestamp of a unit that the request says, all tags kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricwire.lineprotocol import Decoder, Heads, decode
from metricwire.samples import Place, Sample, SeriesKey

HOST = Place("c", "h")
NOW = 1_700_000_000
BITS = st.sampled_from(
    [
        b"cpu",
        b",",
        b" ",
        b"=",
        b"host=h",
        b"source=s",
        b"a=1",
        b'b="x\\"\n"',
        b"c=t",
        b"value=2i",
        b"\n",
        b"\\",
        b" 170",
        b'"',
        b"\xff",
    ]
)


def found(line: str, unit: int = 10**9) -> list[tuple[str, int, float]]:
    batch = decode(line.encode(), now=NOW, cluster="c", influx_unit=unit)
    assert not batch.bad, batch.bad
    return [(sample.series.metric, sample.timestamp, sample.value) for sample in batch.samples]


@pytest.mark.parametrize(
    ("line", "samples"),
    [
        ("m,host=h a=1,b=2i,c=3u", [("m_a", NOW, 1.0), ("m_b", NOW, 2.0), ("m_c", NOW, 3.0)]),
        ("m,host=h value=1,values=2", [("m", NOW, 1.0), ("m_values", NOW, 2.0)]),
        ("m,host=h a=t,b=TRUE,c=f,d=False 7", [("m_a", 7, 1.0), ("m_b", 7, 1.0), ("m_c", 7, 0.0), ("m_d", 7, 0.0)]),
        ('m,host=h a="x, \\" y=1",b=1e3 7', [("m_b", 7, 1000.0)]),
        ('m,host=h event="started",b=1', [("m_b", NOW, 1.0)]),
        ("m,host=h a\\ b\\,c\\=d=1", [("m_a b,c=d", NOW, 1.0)]),
        ("m\\ n,host=h a=1", [("m n_a", NOW, 1.0)]),
        ("m,host=h a=1,a=2", [("m_a", NOW, 1.0), ("m_a", NOW, 2.0)]),
        ("info,host=h a=1", [("info_a", NOW, 1.0)]),
    ],
)
def test_fields(line: str, samples: list[tuple[str, int, float]]) -> None:
    assert found(line) == samples


@pytest.mark.parametrize(
    ("unit", "stamp", "seconds"),
    [(1, NOW * 10**9 + 999, NOW), (10**6, -1, -1), (10**9, NOW, NOW), (60 * 10**9, 2, 120), (3600 * 10**9, 2, 7200), (1, 5, 0)],
)
def test_a_timestamp_is_of_the_unit_said(unit: int, stamp: int, seconds: int) -> None:
    assert found(f"m,host=h a=1 {stamp}", unit) == [("m_a", seconds, 1.0)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m,host=h a=1,b=zz", "value 'zz' is not a finite number"),
        ("m,host=h a=1,b=tRUE", "value 'tRUE' is not a finite number"),
        ("m,host=h a=1e999", "larger than a 64-bit float"),
        ("m a=1", "no hostname tag"),
        ("m,host=h a=1 1.5", "is not an integer"),
        ("m,host=h", "not of the form"),
        ("info,host=h value=1", "a metric cannot be called info"),
        (f"m,host=h {'f' * 254}=1", "is longer than 255 bytes"),
    ],
)
def test_a_bad_line_is_bad_as_a_whole(line: str, reason: str) -> None:
    batch = decode(f"{line}\nm,host=h good=1".encode(), now=NOW, cluster="c", influx_unit=1)
    assert (batch.bad_count, [sample.series.metric for sample in batch.samples]) == (1, ["m_good"])
    assert reason in batch.bad[0].reason
    assert batch.sample_lines == [2]


def test_strings_are_messages_and_tags_are_kept() -> None:
    batch = decode(b'm,host=h,source=s,unit=u,group=g,type=core,type-id=1 a="x",b=1,c="y"', now=NOW, cluster="c", influx_unit=1)
    tags = (("group", "g"), ("source", "s"), ("unit", "u"))
    assert batch.samples == [Sample(SeriesKey(Place("c", "h", "core", "1"), "m_b", tags), NOW, 1.0)]
    assert batch.messages == 2


def test_the_two_kinds_of_lines_do_not_know_each_others_heads() -> None:
    heads, line = Heads(), b"m,host=h,source=s value=1 1000"
    for _ in range(2):
        ours = decode(line, now=NOW, cluster="c", heads=heads).samples
        theirs = decode(line, now=NOW, cluster="c", heads=heads, influx_unit=10**6).samples
        assert ours == [Sample(SeriesKey(HOST, "m"), 1000, 1.0)]
        assert theirs == [Sample(SeriesKey(HOST, "m", (("source", "s"),)), 1, 1.0)]


@given(st.lists(BITS, max_size=30).map(b"".join), st.integers(1, 20))
def test_any_bytes_give_samples_or_bad_lines_however_they_are_cut(body: bytes, piece: int) -> None:
    whole = decode(body, now=NOW, cluster="c", influx_unit=1)
    decoder = Decoder(now=NOW, cluster="c", influx_unit=1)
    for at in range(0, len(body), piece):
        decoder.feed(body[at : at + piece])
    assert decoder.close() == whole
    assert len(whole.samples) == len(whole.sample_lines)
    assert not whole.labels
