"""Prometheus' text format read: the rules one line each, and what must hold for any bytes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from metricwire.errors import BadInput, TooLarge
from metricwire.lineprotocol import decode, encode
from metricwire.promtext import LINE, TAGS, Exposed, Parser
from metricwire.samples import Place, Sample, SeriesKey


def read(text: str | bytes, most: int = 1000) -> list[Exposed]:
    parser = Parser(most)
    parser.feed(text if isinstance(text, bytes) else text.encode())
    return parser.close()


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("up 1", Exposed("up", "untyped", (), 1.0)),
        ("  up\t 1 ", Exposed("up", "untyped", (), 1.0)),
        ("a:b_c1{} 2", Exposed("a:b_c1", "untyped", (), 2.0)),
        ('x{a="1"} 2', Exposed("x", "untyped", (("a", "1"),), 2.0)),
        ('x { b = "1" , a="2" , } 2', Exposed("x", "untyped", (("a", "2"), ("b", "1")), 2.0)),
        ('x{a="1"}2', Exposed("x", "untyped", (("a", "1"),), 2.0)),
        ('x{a="} 5 #"} 2', Exposed("x", "untyped", (("a", "} 5 #"),), 2.0)),
        (r'x{a="q\"b\\s\d"} 2', Exposed("x", "untyped", (("a", 'q"b\\s\\d'),), 2.0)),
        ('x{a="ü",b=""} 2', Exposed("x", "untyped", (("a", "ü"),), 2.0)),
        ('x{le="+Inf"} 2', Exposed("x", "untyped", (("le", "+Inf"),), 2.0)),
        ("x +1.5e-3", Exposed("x", "untyped", (), 0.0015)),
        ("x .5 1700000000000", Exposed("x", "untyped", (), 0.5)),
        ('x{a="1"} 2 1700000000.123 # {trace="y"} 0.5', Exposed("x", "untyped", (("a", "1"),), 2.0)),
        ('x{host="a",group="c"} 1', Exposed("x", "untyped", (("exported_group", "c"), ("exported_host", "a")), 1.0)),
        (
            'x{host="a",exported_host="b"} 1',
            Exposed("x", "untyped", (("exported_exported_host", "a"), ("exported_host", "b")), 1.0),
        ),
    ],
)  # fmt: skip
def test_a_line_is_a_sample(line: str, sample: Exposed) -> None:
    assert read(line + "\n") == [sample]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "x ",
        "x one",
        "x 1_0",
        "x 0x1p3",
        "x 1 2 3",
        "x 1 soon",
        "x-1 1",
        "1x 1",
        "{a='1'} 1",
        '{"x"} 1',
        'x{a="1} 1',
        'x{a=1} 1',
        'x{="1"} 1',
        'x{a="1",a="2"} 1',
        'x{a="1"b="2"} 1',
        'x{,} 1',
        'x{__name__="y"} 1',
        "x 1\r",
        "# TYPE x",
        "# TYPE x thing",
        "# TYPE 1x gauge",
        b'x{a="\xff"} 1',
        "x" * (LINE + 1) + " 1",
    ],
)  # fmt: skip
def test_what_is_no_sample_is_refused_with_its_line(line: str | bytes) -> None:
    line = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(BadInput, match=r"^line 3: "):
        read(b"# anything\nok 1\n" + line + b"\n")


@pytest.mark.parametrize("end", [b"x 12", b"x", b"# HELP", b"\n\nx 12"])
def test_a_text_that_is_cut_short_is_refused(end: bytes) -> None:
    with pytest.raises(BadInput, match="cut short"):
        read(end)


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("counter", "f", "counter"),
        ("counter", "f_total", "counter"),
        ("gauge", "f", "gauge"),
        ("gauge", "f_total", "untyped"),
        ("histogram", "f_bucket", "histogram"),
        ("histogram", "f_sum", "histogram"),
        ("summary", "f", "summary"),
        ("summary", "f_count", "summary"),
        ("untyped", "f", "untyped"),
        ("unknown", "f", "untyped"),
        ("info", "f_info", "gauge"),
        ("stateset", "f", "gauge"),
        ("gaugehistogram", "f_gcount", "histogram"),
        ("GAUGE", "f", "gauge"),
    ],
)
def test_a_sample_has_the_kind_of_its_family(kind: str, name: str, told: str) -> None:
    assert [sample.kind for sample in read(f"# HELP f TYPE f gauge\n# TYPE f {kind}\n{name} 1\n# EOF\n")] == [told]


def test_a_type_comes_once_and_before_its_samples() -> None:
    with pytest.raises(BadInput, match=r"^line 2: a second TYPE of x$"):
        read("# TYPE x gauge\n# TYPE x gauge\n")
    with pytest.raises(BadInput, match=r"^line 2: TYPE of x after its samples$"):
        read("x_sum 1\n# TYPE x summary\n")


def test_what_no_line_can_carry_is_left_out_and_counted() -> None:
    parser = Parser(100)
    many = ",".join(f'l{i}="1"' for i in range(TAGS + 1))
    parser.feed(f'a NaN\nb -Inf\nc{{x="1\\n2"}} 1\nd{{x="{"y" * 256}"}} 1\ne{{{many}}} 1\ninfo{{pod="mine"}} 1\nf 1\n'.encode())
    parser.feed(b'g{x="C:\\\\"} 1\n' + 'h{{x="{}"}} 1\n'.format("ü" * 128).encode())
    assert [sample.name for sample in parser.close()] == ["f"]
    assert (parser.not_finite, parser.unspeakable) == (2, 6)


def test_timestamps_are_noted() -> None:
    parser = Parser(10)
    parser.feed(b"a 1\nb 1 5\nc 1 6\n")
    parser.close()
    assert parser.stamped == 2


def test_there_is_a_limit_of_samples_and_of_families() -> None:
    with pytest.raises(TooLarge, match=r"^line 3: more than 2 samples$"):
        read("a 1\na 2\na NaN\n", most=2)
    with pytest.raises(TooLarge, match=r"^line 3: more than 2 families$"):
        read("".join(f"# TYPE f{i} gauge\n" for i in range(3)), most=2)


def test_there_is_a_limit_of_lines() -> None:
    assert read("# x\n\n" * 510, most=2) == []
    with pytest.raises(TooLarge, match=r"^line 1021: more than 1020 lines$"):
        read("# x\n\n" * 511, most=2)


def test_a_line_without_an_end_is_not_kept() -> None:
    parser = Parser(10)
    for _ in range(LINE // 1000):
        parser.feed(b"x" * 1000)
    with pytest.raises(BadInput, match=f"longer than {LINE} bytes"):
        parser.feed(b"x" * 1000)


TEXT = st.lists(
    st.one_of(
        st.sampled_from([
            b"x 1\n", b'x{a="1"} 2\n', b'y{b="\\\\"} NaN\n', b"x 1 5\n", b"# TYPE x gauge\n", b"x  1\n", b"x nan\n", b"x{} 3\n",
            b'x{a="1",host="h"} 2\n', b"# EOF\n", b"x 1_0\n", b"info 1\n", b'x{a="1"} +4e3\n', b'x{a="1"}\n', b"x 1\r\n",
        ]),
        st.binary(max_size=12),
        st.text('x{}="\\,\n #1', max_size=12).map(str.encode),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


def outcome(pieces: list[bytes], heads: dict[bytes, object]) -> object:
    parser = Parser(50, heads=heads)  # type: ignore[arg-type]
    try:
        for piece in pieces:
            parser.feed(piece)
        samples = parser.close()
    except (BadInput, TooLarge) as error:
        return str(error), parser.heads
    return samples, parser.heads, parser.not_finite, parser.unspeakable, parser.stamped


@given(TEXT, st.integers(0, 150))
def test_any_bytes_give_the_same_however_cut_and_whatever_was_known(body: bytes, at: int) -> None:
    whole = outcome([body], {})
    heads = whole[1]  # type: ignore[index]
    for pieces in ([body[:at], body[at:]], [body]):
        found = outcome(pieces, heads)
        assert found[::2] == whole[::2]  # type: ignore[index]
        assert found[1] == heads  # type: ignore[index]


@given(TEXT)
def test_every_sample_goes_through_a_line_and_stays_what_it_is(body: bytes) -> None:
    here = Place("c", "h", "container", "a" * 64, "app", "gauge")
    try:
        samples = read(body)
    except BadInput:
        return
    for name, _, tags, value in samples:
        series = SeriesKey(here, name, tags)
        assert decode(encode(Sample(series, 5, value)), now=0).samples == [Sample(series, 5, value)]


NAME = st.from_regex(r"\A[a-zA-Z_:][a-zA-Z0-9_:]{0,8}\Z").filter(lambda name: name != "info")
VALUE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6).filter(lambda text: text[-1] != "\\")
LABELS = st.dictionaries(st.from_regex(r"\Al_[a-zA-Z0-9_]{0,5}\Z"), VALUE, max_size=4)


@given(st.lists(st.tuples(NAME, LABELS, st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_it_reads_what_prometheus_client_reads(samples: list[tuple[str, dict[str, str], float]]) -> None:
    def text(labels: dict[str, str]) -> str:
        return ",".join('{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in labels.items())

    lines = [f"{name}{{{text(labels)}}} {number!r}\n" for name, labels, number in samples]
    theirs = [
        (sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
        for family in text_string_to_metric_families("".join(lines))
        for sample in family.samples
    ]
    assert [(name, tags, value) for name, _, tags, value in read("".join(lines))] == theirs
    assert all(math.isfinite(value) for *_, value in theirs)
