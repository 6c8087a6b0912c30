"""The exposition: one golden answer, and what must hold of any samples, checked by prometheus_client's parser."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from metricwire.catalog import BY_NAME
from metricwire.exposition import Format, family, label_text, render, reserved
from metricwire.samples import Place, Sample, SeriesKey

HOST = Place("c", "h")
# \r and other characters that Python, not Prometheus, takes for line ends included.
NASTY = st.text(st.sampled_from('ab1_:.-\\"\n\r{},= #%é\x00\u2028\x85'), max_size=6)
TEXT = st.one_of(NASTY, st.text(max_size=8))
TAGS = st.lists(
    st.tuples(st.one_of(TEXT, st.sampled_from(["__name__", "le", "type", "hostname", "a.b", "a_b"])), TEXT), max_size=3
)
PLACES = st.builds(Place, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)
METRICS = st.one_of(st.sampled_from(sorted(BY_NAME)), TEXT.filter(bool), st.sampled_from(["a.b", "a_b", "x_total", "x"]))
SERIES = st.builds(SeriesKey, PLACES, METRICS, TAGS.map(tuple))
SAMPLES = st.lists(st.builds(Sample, SERIES, st.integers(), st.floats(allow_nan=False, allow_infinity=False)), max_size=12)


def parsed(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample line as the parser reads it; none twice. It names counters *_total, which a text of 0.0.4 need not."""
    found = {}
    for metric in text_string_to_metric_families(text.decode()):
        for sample in metric.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def test_golden() -> None:
    samples = [
        Sample(SeriesKey(HOST, "cpu_user"), 1, 12.5),
        Sample(SeriesKey(Place("c", "h", "", "", "interface", "eth0"), "net_bytes_in"), 1, 1e16),
        Sample(SeriesKey(Place("c", "h", "hwthread", "3"), "cpu_user"), 1, 50.0),
        Sample(SeriesKey(HOST, "my.own", (("2nd", 'q"'), ("hostname", "forged"))), 1, -1.0),
        Sample(SeriesKey(HOST, "cpu_user"), 11, 13.5),
    ]
    labels: Mapping[str, str] = {"pod": "web-1", "namespace": "a\\b\nc"}
    assert render(samples, lambda place: labels if place == HOST else {}).decode() == (
        "# HELP cpu_user Share of time in user mode, guests included. Unit: percent.\n"
        "# TYPE cpu_user gauge\n"
        'cpu_user{cluster="c",hostname="h",pod="web-1",namespace="a\\\\b\\nc"} 13.5\n'
        'cpu_user{cluster="c",hostname="h",type="hwthread",type_id="3"} 50.0\n'
        "# TYPE my_own untyped\n"
        'my_own{cluster="c",hostname="h",_2nd="q\\"",pod="web-1",namespace="a\\\\b\\nc"} -1.0\n'
        "# HELP net_bytes_in Bytes received. Unit: bytes.\n"
        "# TYPE net_bytes_in counter\n"
        'net_bytes_in{cluster="c",hostname="h",stype="interface",stype_id="eth0"} 1e+16\n'
    )


def app(kind: str, metric: str, id: str = "a") -> Sample:
    """Of a container's application."""
    return Sample(SeriesKey(Place("c", "h", "container", id, "app", kind), metric), 1, 1.0)


@pytest.mark.parametrize(
    ("samples", "line"),
    [
        ([app("counter", "m")], "m counter"),
        ([app("gauge", "m")], "m gauge"),
        ([app("set", "m")], "m gauge"),
        ([app("untyped", "m")], "m untyped"),
        ([app("else", "m")], "m untyped"),
        ([app("timer", "m.count")], "m_count counter"),
        ([app("histogram", "m.sum")], "m_sum counter"),
        ([app("distribution", "m.p99")], "m_p99 gauge"),
        ([app("summary", "m_count")], "m_count counter"),
        ([app("histogram", "m_bucket")], "m_bucket counter"),
        ([app("gauge", "m_count")], "m_count gauge"),
        ([app("counter", "m"), app("counter", "m", "b")], "m counter"),
        ([app("counter", "m"), app("gauge", "m")], "m untyped"),
        ([app("counter", "m.a"), app("gauge", "m_a")], "m_a untyped"),
        ([app("counter", "m"), Sample(SeriesKey(HOST, "m"), 1, 1.0)], "m untyped"),
        ([app("counter", "mem_used")], "mem_used gauge"),
        ([app("gauge", "net_bytes_in")], "net_bytes_in counter"),
    ],
)
def test_types_of_what_applications_send(samples: list[Sample], line: str) -> None:
    for ordered in (samples, samples[::-1]):
        text = render(ordered).decode().splitlines()
        assert [line for line in text if line.startswith("# TYPE")] == [f"# TYPE {line}"]


def test_a_container_is_never_of_the_pod_that_shows_it() -> None:
    """An empty label keeps a scraper with honor_labels from putting its target's there."""
    of_app = Sample(SeriesKey(Place("c", "h", "container", "1a"), "container_processes"), 1, 2.0)
    (line,) = [text for text in render([of_app]).decode().splitlines() if not text.startswith("#")]
    where = 'cluster="c",hostname="h",type="container",type_id="1a"'
    assert line == f'container_processes{{{where},namespace="",pod="",container=""}} 2.0'
    (line,) = [text for text in render([of_app], lambda _: {"pod": "web-1"}).decode().splitlines() if text[0] != "#"]
    assert line == f'container_processes{{{where},pod="web-1",namespace="",container=""}} 2.0'


def test_openmetrics_has_counters_of_such_names_as_unknown() -> None:
    assert b"# TYPE m unknown\n" in render([app("counter", "m")], form=Format.OPENMETRICS)
    assert b"# TYPE m gauge\n" in render([app("gauge", "m")], form=Format.OPENMETRICS)


@pytest.mark.parametrize(
    ("metric", "name"),
    [("cpu_user", "cpu_user"), ("a.b-c", "a_b_c"), ("2xx", "_2xx"), ("a:b", "a:b"), ("é", "_"), ("a b\n", "a_b_")],
)
def test_metric_names(metric: str, name: str) -> None:
    assert family(metric) == name


@pytest.mark.parametrize(
    ("metric", "kept_for_programs"),
    [
        ("metricstore_read_only", True),
        ("metricstore.read_only", True),
        ("metricagent_x", True),
        ("metricsoperator-x", True),
        ("process_cpu_seconds_total", True),
        ("python info", True),
        ("process", False),
        ("processes", False),
        ("proc_total", False),
        ("metricstore:x", False),
    ],
)
def test_names_that_programs_use_for_themselves_are_left_out(metric: str, kept_for_programs: bool) -> None:
    assert reserved(metric) == kept_for_programs
    assert bool(render([Sample(SeriesKey(HOST, metric), 1, 1.0)])) != kept_for_programs


@pytest.mark.parametrize(
    ("tag", "label"),
    [("team", "team"), ("a.b", "a_b"), ("2", "_2"), ("__name__", "tag__name__"), ("", "_"), ("a:b", "a_b")],
)
def test_label_names(tag: str, label: str) -> None:
    assert label_text(SeriesKey(HOST, "m", ((tag, "v"),)), {}).decode() == f'{{cluster="c",hostname="h",{label}="v"}}'


@given(SAMPLES)
def test_any_samples_are_valid_text_with_each_series_once(samples: list[Sample]) -> None:
    text = render(samples)
    lines = text.decode().split("\n")
    series = [line.rsplit(" ", 1)[0] for line in lines if line and not line.startswith("#")]
    assert len(series) == len(set(series)) == len(parsed(text))
    assert all(re.match(r"# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* |[a-zA-Z_:][a-zA-Z0-9_:]*\{", line) for line in lines if line)
    families = [line.split(" ")[2] for line in lines if line.startswith("# TYPE")]
    assert families == sorted(set(families))


@settings(max_examples=40)
@given(SAMPLES)
def test_values_and_labels_come_back(samples: list[Sample]) -> None:
    found = {labels: value for (_, labels), value in parsed(render(samples)).items()}
    for series, _, _ in samples:
        names = ("cluster", "hostname", "type", "type_id", "stype", "stype_id")
        place = {
            name: value.encode("utf-8", "replace").decode() for name, value in zip(names, series.place, strict=True) if value
        }
        assert any(place.items() <= dict(labels).items() for labels in found)
    if samples:
        assert samples[-1].value in found.values()
