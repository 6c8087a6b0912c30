"""Readings to samples and lines: what is remembered changes no line, and what no line can carry costs itself alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.collector import Reading
from metricagent.encoder import KEPT, TOGETHER, Encoder
from metricwire.errors import BadInput
from metricwire.lineprotocol import encode
from metricwire.samples import Labels, Place, Sample, SeriesKey

HERE = Place("c", "h")

words = st.text(max_size=4) | st.sampled_from(["a", "b c", "d,e=f", "#x", "info", "back\\", "m", "\u00e4"])
tags = st.lists(st.tuples(words, words), max_size=2, unique_by=lambda tag: tag[0]).map(lambda found: tuple(sorted(found)))
readings = st.builds(Reading, words, st.floats(), words, words, words, words, tags)


@given(st.lists(st.lists(readings, max_size=4), max_size=4))
def test_lines_are_those_of_the_reference_encoder(ticks: list[list[Reading]]) -> None:
    encoder = Encoder(HERE)
    for at, tick in enumerate(ticks):
        lines, samples, dropped = b"", [], 0
        for metric, value, *part, own_tags in tick:
            sample = Sample(SeriesKey(Place("c", "h", *part), metric, own_tags), at, value)
            if math.isfinite(value):
                samples.append(sample)
            try:
                lines += encode(sample) + b"\n"
            except BadInput:
                dropped += 1
        found = encoder.encode(tick, [], at)
        assert (found.text, found.samples, found.dropped.total()) == (lines, samples, dropped)
        assert found.lines == len(tick) - dropped


def test_many_readings_come_in_order() -> None:
    many = [Reading("m", float(n)) for n in range(3 * TOGETHER + 1)]
    found = Encoder(HERE).encode(many, [Labels(HERE, (("a", "b"),))], 7)
    lines = found.text.splitlines()
    assert lines[0] == b"info,cluster=c,hostname=h,a=b value=1 7"
    assert lines[1:] == [b"m,cluster=c,hostname=h value=%b 7" % repr(each.value).encode() for each in many]
    assert found.lines == len(lines)


def test_series_that_are_no_more_are_not_remembered_for_ever() -> None:
    """Containers come and go, and workloads make up names: what is remembered follows what is measured."""
    encoder = Encoder(HERE)
    for tick in range(50):
        encoder.encode([Reading("m", 1.0, "container", f"{tick:032x}{n:032x}") for n in range(100)], [], tick)
        assert sum(len(part.series) for part in encoder._parts.values()) <= 2 * 100 + KEPT


def test_what_cannot_be_sent_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    encoder = Encoder(HERE)
    bad = [Reading("m", 1.0, stype="s", stype_id="a\nb"), Reading("n\r", 1.0), Reading("x", math.nan)]
    for at in range(3):
        found = encoder.encode(bad, [Labels(HERE, (("a", "\n"),))], at)
        assert dict(found.dropped) == {"name": 3, "value": 1}
        assert found.text == b""
    assert len(caplog.messages) == 4
