"""Line protocol: the rules one line each, and the properties that must hold for any bytes."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricwire.errors import BadInput
from metricwire.lineprotocol import BAD_KEPT, META_TAGS, Batch, Decoder, Heads, Limits, decode, encode, encode_labels
from metricwire.samples import Labels, Place, Sample, SeriesKey

NOW = 1_800_000_000
HOST = Place("c", "h")


def one(line: str, **more: str) -> Sample:
    batch = decode(line.encode(), now=NOW, **more)
    assert not batch.bad, batch.bad
    (sample,) = batch.samples
    return sample


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ("cluster=c,hostname=h", HOST),
        ("hostname=h,cluster=c", HOST),
        ("cluster=c,host=h", HOST),
        ("cluster=c,host=x,hostname=h", HOST),
        ("cluster=c,hostname=h,type=node", HOST),
        ("cluster=c,hostname=h,type=node,type-id=0", HOST),
        ("type-id=7,cluster=c,type=hwthread,hostname=h", Place("c", "h", "hwthread", "7")),
        ("cluster=c,hostname=h,type=socket", Place("c", "h", "socket")),
        ("cluster=c,hostname=h,type=accelerator,type-id=00000000:49:00.0", Place("c", "h", "accelerator", "00000000:49:00.0")),
        ("cluster=c,hostname=h,stype=filesystem,stype-id=/var", Place("c", "h", "", "", "filesystem", "/var")),
        ("cluster=c,hostname=h,type=t,type-id=1,stype=s,stype-id=2", Place("c", "h", "t", "1", "s", "2")),
        ("cluster=a\\ b\\,c\\=d,hostname=h", Place("a b,c=d", "h")),
        ("cluster=Ünï,hostname=h", Place("Ünï", "h")),
        ("cluster=c,hostname=h,unit=B,source=x,group=y", HOST),
    ],
)
def test_tags_name_the_place(tags: str, place: Place) -> None:
    assert one(f"m,{tags} value=1 {NOW}").series == SeriesKey(place, "m")


def test_further_tags_identify_the_series() -> None:
    assert one("m,cluster=c,z=1,hostname=h,a=2 value=1").series == SeriesKey(HOST, "m", (("a", "2"), ("z", "1")))


def test_default_cluster_is_for_lines_without_the_tag() -> None:
    assert one("m,hostname=h value=1", cluster="d").series.place.cluster == "d"
    assert one("m,cluster=c,hostname=h value=1", cluster="d").series.place.cluster == "c"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("35.0", 35.0),
        ("35", 35.0),
        ("-3.5e-2", -0.035),
        ("+1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("4i", 4.0),
        ("-4i", -4.0),
        ("4u", 4.0),
        ("-0.0", -0.0),
        ("9223372036854775807i", float(2**63 - 1)),
        ("18446744073709551615u", float(2**64 - 1)),
        ("0.1", 0.1),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", 1.7976931348623157e308),
    ],
)
def test_numbers(text: str, value: float) -> None:
    found = one(f"m,cluster=c,hostname=h value={text}").value
    assert found == value
    assert math.copysign(1, found) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1720879200", 1720879200),
        ("1720879200123", 1720879200),
        ("1720879200123456", 1720879200),
        ("1720879200123456789", 1720879200),
        ("0", 0),
        ("-1", -1),
        ("99999999999", 99999999999),
        ("100000000000", 100000000),
        ("4611686018427387904", 4611686018),
    ],
)
def test_timestamps_are_told_apart_by_magnitude(text: str, seconds: int) -> None:
    assert one(f"m,cluster=c,hostname=h value=1 {text}").timestamp == seconds


@pytest.mark.parametrize(
    "line", ["m,cluster=c,hostname=h value=1", "  m,cluster=c,hostname=h   value=1  ", "m,cluster=c,hostname=h value=1\r"]
)
def test_no_timestamp_means_now(line: str) -> None:
    assert one(line).timestamp == NOW


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("mem_used", "not of the form"),
        ("mem_used value=1", "no cluster tag"),
        ("m,cluster=c value=1", "no hostname tag"),
        ("m,cluster=c,hostname=../x value=1", "must not contain"),
        ("m,cluster=a/b,hostname=x value=1", "cluster 'a/b' must not contain"),
        ("m,cluster=c,hostname=. value=1", "must not contain"),
        ("m,cluster=c,hostname= value=1", "tag hostname is empty"),
        ("m,cluster=c,hostname value=1", "not of the form name=value"),
        ("m,cluster=c,hostname=a=b value=1", "not of the form name=value"),
        (",cluster=c,hostname=h value=1", "metric is empty"),
        ("m,cluster=c,hostname=h,type-id=1 value=1", "type-id without type"),
        ("m,cluster=c,hostname=h,stype-id=1 value=1", "stype-id without stype"),
        ("m,cluster=c,hostname=h value=abc", "value 'abc' is not a finite number"),
        ("m,cluster=c,hostname=h value=NaN", "not a finite number"),
        ("m,cluster=c,hostname=h value=inf", "not a finite number"),
        ("m,cluster=c,hostname=h value=0x10", "not a finite number"),
        ("m,cluster=c,hostname=h value=1_0", "not a finite number"),
        ("m,cluster=c,hostname=h value=1e999", "larger than a 64-bit float"),
        ("m,cluster=c,hostname=h value=9223372036854775808i", "not within 64 bits"),
        ("m,cluster=c,hostname=h value=-1u", "not a finite number"),
        ("m,cluster=c,hostname=h value=true", "not a finite number"),
        ('m,cluster=c,hostname=h value="1"', "not a finite number"),
        ("m,cluster=c,hostname=h load=1", "expected the one field value, found 'load'"),
        ("m,cluster=c,hostname=h value=1,x=2", "expected the one field value"),
        ("m,cluster=c,hostname=h value=1 12.5", "timestamp '12.5' is not an integer"),
        ("m,cluster=c,hostname=h value=1 9223372036854775808", "not an integer of 64 bits"),
        ("m,cluster=c,hostname=h value=1 1 1", "not of the form"),
        ("m,cluster=c,hostname=h\tx value=1", "control character"),
        (f"m,cluster=c,hostname={'h' * 256} value=1", "tag hostname is longer than 255 bytes"),
        ("m,cluster=c,hostname=h," + ",".join(f"t{n}=1" for n in range(31)) + " value=1", "more than 32 tags"),
        ("m,cluster=c,hostname=h value=1" + " " * 65536 + "1", "longer than 65536 bytes"),
    ],
)
def test_bad_lines_say_why_and_spare_the_others(line: str, reason: str) -> None:
    good = "m,cluster=c,hostname=h value=1 5"
    batch = decode(f"{good}\n{line}\n{good}\n".encode(), now=NOW)
    assert len(batch.samples) == 2
    (bad,) = batch.bad
    assert bad.number == 2
    assert reason in bad.reason
    assert bad.text == line[:80]


def test_invalid_utf8_is_named() -> None:
    (bad,) = decode(b"m,cluster=c,hostname=\xff value=1", now=NOW).bad
    assert "not UTF-8" in bad.reason


@pytest.mark.parametrize("body", ["", "\n\n", "# comment", "  # comment\n\r\n  \n"])
def test_nothing_is_nothing(body: str) -> None:
    assert decode(body.encode(), now=NOW) == Batch()


@pytest.mark.parametrize(
    "line",
    [
        'e,cluster=c,hostname=h event="job, started = 1" 5',
        'e,cluster=c,hostname=h log="two\nlines \\" quoted" 5',
        "e,cluster=c,hostname=h control=1",
        'e event="a",value=1',
    ],
)
def test_messages_are_counted_and_left_out(line: str) -> None:
    batch = decode(f"{line}\nm,cluster=c,hostname=h value=1 5\nbad".encode(), now=NOW)
    assert (batch.messages, len(batch.samples)) == (1, 1)
    assert [bad.number for bad in batch.bad] == [line.count("\n") + 3]


@pytest.mark.parametrize("line", ['e,hostname=h log="open', 'e,hostname=h log="open\\', 'e,hostname=h a="b",log="open'])
def test_a_string_that_is_never_closed_costs_one_line(line: str) -> None:
    batch = decode(f"{line}\nm,cluster=c,hostname=h value=1 5\n".encode(), now=NOW)
    assert len(batch.samples) == 1
    assert [bad.number for bad in batch.bad] == [1]


def test_info_lines_set_labels() -> None:
    batch = decode(b"info,cluster=c,hostname=h,type=container,type-id=ab,pod=web-1,namespace=shop value=1", now=NOW)
    labels = Labels(Place("c", "h", "container", "ab"), (("namespace", "shop"), ("pod", "web-1")))
    assert (batch.samples, batch.labels) == ([], [labels])
    assert decode(encode_labels(labels, NOW), now=NOW).labels == [labels]


@pytest.mark.parametrize("name", ["", "#m", "m\\", "a\nb", "a\x00"])
def test_names_that_no_line_can_carry_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot encode"):
        encode(Sample(SeriesKey(HOST, name), 0, 1.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(BadInput, match="not finite"):
        encode(Sample(SeriesKey(HOST, "m"), 0, value))


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
names = texts.filter(lambda name: not name.endswith("\\"))
hosts = names.filter(lambda name: not any(bad in name for bad in ("..", "/", "\\")) and name != ".")
reserved = META_TAGS | {"cluster", "host", "hostname", "type", "type-id", "stype", "stype-id"}
optional = st.just("") | names
levels = st.tuples(names, optional) | st.just(("", ""))
places = st.builds(
    lambda cluster, host, kind, below: Place(cluster, host, *kind, *below),
    hosts,
    hosts,
    levels.filter(lambda level: level[0] != "node"),
    levels,
)
tags = st.dictionaries(names.filter(lambda name: name not in reserved), names, max_size=4)
series = st.builds(
    lambda place, metric, more: SeriesKey(place, metric, tuple(sorted(more.items()))),
    places,
    names.filter(lambda name: not name.startswith("#") and name != "info"),
    tags,
)
samples = st.builds(Sample, series, st.integers(-(10**11) + 1, 10**11 - 1), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(samples, max_size=5))
def test_encode_then_decode_is_identity(given_samples: list[Sample]) -> None:
    body = b"\n".join(encode(sample) for sample in given_samples)
    batch = decode(body, now=NOW)
    assert not batch.bad
    assert batch.samples == given_samples
    assert [math.copysign(1, s.value) for s in batch.samples] == [math.copysign(1, s.value) for s in given_samples]


pieces = st.sampled_from(
    [
        b"m",
        b",",
        b"=",
        b" ",
        b"\n",
        b'"',
        b"\\",
        b"value=",
        b"1",
        b"event=",
        b"#",
        b"\r",
        b"cluster=c,hostname=h",
        b"\xff",
        b"\x00",
    ]
)
salads = st.lists(pieces | st.binary(max_size=3), max_size=40).map(b"".join)


# Lines of messages in parts, so that strings, fields and LFs meet where bytes are cut.
texts_in_quotes = st.lists(st.sampled_from([b"\n", b"x", b'\\"', b"\\", b","]), max_size=2).map(b"".join)
strings = texts_in_quotes.map(lambda text: b'event="' + text + b'"')
fields = st.lists(strings | st.sampled_from([b"c=1", b'event="', b"event=", b"c"]), min_size=1, max_size=3).map(b",".join)
ends = st.sampled_from([b"", b" 5", b",", b'"', b"\n"])
starts = st.sampled_from([b"a ", b" a ", b"", b"a"])
messages = st.lists(st.tuples(starts, fields, ends).map(b"".join), max_size=3).map(b"\n".join)


@pytest.mark.parametrize("at", range(17))
def test_a_message_whose_string_ends_where_the_bytes_are_cut_is_one_message(at: int) -> None:
    body = b'a event="\n",c=1'
    decoder = Decoder(now=NOW)
    decoder.feed(body[:at])
    decoder.feed(body[at:])
    assert decoder.close() == decode(body, now=NOW) == Batch(messages=1)


@given(messages)
@settings(max_examples=300)
def test_messages_are_the_same_wherever_they_are_cut_in_two(body: bytes) -> None:
    limits = Limits(line=40)
    whole = decode(body, now=NOW, limits=limits)
    for at in range(len(body)):
        decoder = Decoder(now=NOW, limits=limits)
        decoder.feed(body[:at])
        decoder.feed(body[at:])
        assert decoder.close() == whole, at


@given(salads | messages, st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=400)
def test_any_bytes_give_a_batch_however_they_are_cut(body: bytes, cuts: list[int]) -> None:
    limits = Limits(line=40)
    whole = decode(body, now=NOW, limits=limits)
    for chunks in (cut(body, cuts), [bytes([byte]) for byte in body]):
        decoder = Decoder(now=NOW, limits=limits)
        for chunk in chunks:
            decoder.feed(chunk)
        assert decoder.close() == whole


@given(st.lists(salads, max_size=4), st.lists(samples, max_size=4))
def test_lines_that_were_seen_before_are_decoded_as_ever(bodies: list[bytes], given_samples: list[Sample]) -> None:
    heads = Heads(most=3)
    lines = b"\n".join(encode(sample) for sample in given_samples)
    for body in [lines, *bodies, lines, lines.replace(b"=", b"= "), lines, lines.replace(b" value=", b" value=-")]:
        for cluster in ("", "d"):
            assert decode(body, now=NOW, cluster=cluster, heads=heads) == decode(body, now=NOW, cluster=cluster)


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(at, len(body)) for at in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("cluster", ["a\nb", "c" * 256, "a/b", "a\\b", "..", ".", "\udcff", "\x7f"])
def test_a_default_cluster_that_no_tag_could_say_is_refused(cluster: str) -> None:
    with pytest.raises(BadInput, match="cannot use the default cluster: cluster"):
        decode(b"", now=NOW, cluster=cluster)


def test_bad_lines_beyond_the_first_are_only_counted() -> None:
    """16 MB of `x` and LF were 8 million bad lines in memory."""
    batch = decode(b"x\n" * (BAD_KEPT + 5) + b"m,cluster=c,hostname=h value=1", now=NOW)
    assert (len(batch.bad), batch.bad_count, batch.bad[-1].number) == (BAD_KEPT, BAD_KEPT + 5, BAD_KEPT)
    assert batch.sample_lines == [BAD_KEPT + 6]


def test_heads_are_bounded_by_number_and_by_bytes() -> None:
    for heads, most in ((Heads(most=3), 3), (Heads(most_bytes=60), 2)):
        for number in range(50):
            for cluster in ("c", f"c{number}"):
                decode(f"metric{number},hostname=hosthost value=1".encode(), now=NOW, cluster=cluster, heads=heads)
                assert sum(map(len, heads._by_cluster.values())) <= most
                assert len(heads._by_cluster) <= most


def test_a_cluster_that_wrote_nothing_is_not_remembered() -> None:
    heads = Heads()
    for number in range(3):
        decode(b"", now=NOW, cluster=f"c{number}", heads=heads)
    assert not heads._by_cluster


def test_hostile_quotes_take_linear_time() -> None:
    """Each of these made a backtracking or rescanning decoder quadratic; the suite's timeout is the judge."""
    for body in (
        b'a b="\n' * 50_000,
        b'a b="' + b"\n" * 500_000,
        b"a" * 2_000_000,
        b"\\" * 500_000,
        b"a b=" + b'"\\' * 300_000,
    ):
        assert decode(body, now=NOW).samples == []
