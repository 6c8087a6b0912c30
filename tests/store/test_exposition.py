"""The store's exposition: what the reference renders, from numbers learned once; and T19, names and labels of any kind.

CHAOS_SIZE multiplies the size of T19; 1 is what `make test` has time for, 25 are the 5,000 sets of reliability.md.
"""

import math
import os
import random
from collections.abc import Iterable

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from metricstore.api.exposition import Exposition, Fresh
from metricwire.catalog import BY_NAME
from metricwire.exposition import END, Format, family, label_text, render, reserved
from metricwire.samples import Place, Sample, SeriesKey

SETS = max(1, int(200 * float(os.environ.get("CHAOS_SIZE", "1"))))
HOST = Place("c", "h")
# What breaks formats: escapes, line ends of Prometheus and of Python, half surrogates, words that mean something.
ODD = [
    "\\",
    '"',
    "\n",
    "\r",
    "\x00",
    "%s",
    "\ud800",
    "\u2028",
    "\x85",
    "{",
    "}",
    ",",
    "=",
    " ",
    "#",
    "\u00e9",
    "a",
    "_",
    ".",
    "1",
    "\U0001f600",
]
WORDS = ["__name__", "le", "quantile", "type", "type-id", "cluster", "hostname", "a.b", "a_b", "NaN", "", "x" * 300]
METRICS = [*sorted(BY_NAME)[:6], "a.b", "a_b", "x_total", "x", "x_bucket", "x_info", "x_created", "# TYPE x gauge\n"]
VALUES = [0.0, -0.0, 1e300, 5e-324, 0.1, math.nan, math.inf, -math.inf]


def text_of(rng: random.Random) -> str:
    return rng.choice(WORDS) if rng.random() < 0.4 else "".join(rng.choices(ODD, k=rng.randint(1, 5)))


def tags_of(rng: random.Random) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({text_of(rng): text_of(rng) for _ in range(rng.randint(0, 3))}.items()))


def sample_of(rng: random.Random) -> Sample:
    place = Place("c", *(text_of(rng) if rng.random() < 0.7 else "" for _ in range(5)))
    metric = rng.choice(METRICS) if rng.random() < 0.7 else text_of(rng)
    return Sample(SeriesKey(place, metric, tags_of(rng)), rng.randint(0, 3), rng.choice(VALUES))


def shown(samples: Iterable[Sample], form: Format = Format.TEXT, made: Exposition | None = None, **narrowed: str) -> bytes:
    """The samples through an Exposition that learns what it does not know; a series' number is its place in the list."""
    samples, made = list(samples), made or Exposition(lambda _: {})
    keys = [sample.series for sample in samples]
    fresh = Fresh(
        np.arange(len(samples)),
        np.array([sample.timestamp for sample in samples], np.int64),
        np.array([sample.value for sample in samples], np.float64),
    )
    unknown = made.unknown(fresh.numbers, 1)
    made.learn(unknown, [keys[number] for number in unknown.tolist()])
    return made.render(fresh, form, **narrowed)


def lines(text: bytes) -> list[bytes]:
    return sorted(text.split(b"\n"))


def test_it_is_what_the_reference_renders() -> None:
    places = [HOST, Place("c", "h2"), Place("d", "h", "hwthread", "1"), Place("c", "h", "", "", "interface", "eth0")]
    metrics = ["mem_used", "net_bytes_in", "my.own", "metricstore_x"]
    samples = [
        Sample(SeriesKey(place, metric, (("team", "a"),)), 1, number / 8)
        for number, (place, metric) in enumerate((place, metric) for place in places for metric in metrics)
    ]
    for form in Format:
        assert lines(shown(samples, form)) == lines(render(samples, form=form))


def test_units_of_metrics_that_are_not_built_in() -> None:
    made = Exposition(lambda _: {}, {"flops.any": "F/s", "energy_joules": "joules", "mem_used": "pages"})
    samples = [Sample(SeriesKey(HOST, metric), 1, 1.0) for metric in ("flops.any", "energy_joules", "mem_used", "other")]
    text = shown(samples, made=made).decode()
    assert "# HELP flops_any Unit: F/s.\n# TYPE flops_any untyped\n" in text
    assert "Unit: bytes." in text
    assert "pages" not in text
    assert "# HELP other" not in text
    text = shown(samples, Format.OPENMETRICS, made).decode()
    assert "# HELP energy_joules Unit: joules.\n# TYPE energy_joules unknown\n# UNIT energy_joules joules\n" in text
    assert "# UNIT flops" not in text


def test_kinds_are_those_of_the_reference() -> None:
    """A family has one TYPE: that of all its series that are shown."""
    samples = [
        Sample(SeriesKey(Place("c", "h", "container", one, "app", kind), metric), 1, 1.0)
        for one in "ab"
        for metric in ("m", "m.count", "m.p50", "mem_used")
        for kind in ("counter", "gauge", "timer", "set", "untyped")
        if (metric, one) != ("m", "b") or kind == "counter"
    ]
    two = [sample for sample in samples if sample.series.place.stype_id in ("timer", "gauge")]
    for form in Format:
        for some in (samples, samples[:1], two, [*two, Sample(SeriesKey(HOST, "m"), 1, 1.0)]):
            assert lines(shown(some, form)) == lines(render(some, form=form))
    assert b"# TYPE m counter\n" in shown(samples[:1])
    made = Exposition(lambda _: {})
    shown(samples, made=made)
    numbers = np.array([0])
    text = made.render(Fresh(numbers, np.array([1]), np.array([1.0])), Format.TEXT)
    assert text.startswith(b"# TYPE m counter\n"), "what is no longer sent does not count"


def test_nothing_is_nothing() -> None:
    assert shown([]) == b""
    assert shown([Sample(SeriesKey(HOST, "process_x"), 1, 1.0)]) == b""


def test_it_can_be_narrowed() -> None:
    samples = [Sample(SeriesKey(Place(c, "h"), m), 1, 1.0) for c in ("a", "b") for m in ("mem_used", "my.own", "my_own")]
    assert shown(samples, cluster="a", metric="mem_used").endswith(b'mem_used gauge\nmem_used{cluster="a",hostname="h"} 1.0\n')
    assert shown(samples, metric="my.own").count(b"\nmy_own{") == 2
    assert shown(samples, cluster="a").count(b"my_own{") == 1, "two that come to one line are one"
    assert shown(samples, cluster="x") == shown(samples, metric="x") == b""


@pytest.mark.parametrize(("first", "second", "value"), [(1, 2, b"2.0"), (2, 1, b"1.0"), (1, 1, b"2.0")])
def test_of_two_series_of_one_line_the_newer_sample_counts(first: int, second: int, value: bytes) -> None:
    twins = [
        [SeriesKey(HOST, "a.b"), SeriesKey(HOST, "a_b")],
        [SeriesKey(HOST, "m", (("a.b", "x"),)), SeriesKey(HOST, "m", (("a_b", "x"),))],
    ]
    for keys in twins:
        samples = [Sample(keys[0], first, 1.0), Sample(keys[1], second, 2.0)]
        assert shown(samples).split(b"\n")[1:] == [shown(samples[:1]).split(b"\n")[1].replace(b"1.0", value), b""]


def test_what_is_known_is_learned_again_only_at_another_generation() -> None:
    labels = {"rack": "r1"}
    made = Exposition(lambda _: labels)
    numbers, fresh = np.array([7000]), Fresh(np.array([7000]), np.array([1]), np.array([1.0]))
    assert made.unknown(numbers, 1).tolist() == [7000]
    made.learn(numbers, [SeriesKey(HOST, "m")])
    assert made.unknown(numbers, 1).tolist() == []
    labels = {"rack": "r2"}
    assert b'rack="r1"' in made.render(fresh, Format.TEXT)
    assert made.unknown(numbers, 2).tolist() == [7000]
    made.learn(numbers, [SeriesKey(HOST, "m")])
    assert b'rack="r2"' in made.render(fresh, Format.TEXT)


@pytest.mark.parametrize("form", Format)
def test_any_samples_are_read_back_as_they_are(form: Format) -> None:
    """T19, the renderer's part: any names, labels and values, also those that no line of line protocol could bring."""
    rng = random.Random(19)
    long = Sample(SeriesKey(HOST, "m", (("t", "x" * 65536),)), 1, 1.0)
    forged = Sample(SeriesKey(Place("c", "h", "core", "1"), "m", (("cluster", "forged"), ("type_id", "2"))), 1, 1.0)
    check_read_back([long, forged], {"hostname": "x"}, form)
    for _ in range(SETS):
        samples = {sample.series: sample for sample in (sample_of(rng) for _ in range(rng.randint(0, 10)))}
        check_read_back(list(samples.values()), dict(tags_of(rng)), form)


def check_read_back(samples: list[Sample], labels: dict[str, str], form: Format) -> None:
    """The parser reads it, labels and values come back, no line twice, one TYPE a family, no line begins with data."""
    text = shown(samples, form, Exposition(lambda _: labels))
    parse = parse_text if form is Format.TEXT else parse_openmetrics
    read = {}
    for metric in parse((text + (END if form is Format.OPENMETRICS else b"")).decode()):
        for sample in metric.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in read
            read[key] = sample.value
    told = [line for line in text.decode().split("\n") if line.startswith("# TYPE")]
    assert len(told) == len({line.split(" ")[2] for line in told})
    written = {}
    for sample in sorted(samples, key=lambda sample: sample.timestamp):
        if not reserved(sample.series.metric):
            name = family(sample.series.metric)
            written[name, tuple(sorted(as_labels(label_text(sample.series, labels)).items()))] = sample.value
    assert {key: repr(value) for key, value in read.items()} == {key: repr(value) for key, value in written.items()}
    names = ("#", *(f"{name}{{" for name, _ in read))
    assert all(line.startswith(names) for line in text.decode().split("\n") if line)


def as_labels(text: bytes) -> dict[str, str]:
    """What a text of labels says, read without either parser."""
    found, at, body = {}, 1, text.decode()
    while body[at] != "}":
        name, at = body[at : body.index("=", at)].lstrip(","), body.index("=", at) + 2
        value = ""
        while body[at] != '"':
            if body[at] == "\\":
                at += 1
                value += {"n": "\n"}.get(body[at], body[at])
            else:
                value += body[at]
            at += 1
        found[name] = value
        at += 1
    return found
