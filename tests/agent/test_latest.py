"""What this node shows: the last sample of each series, fresh ones only, however the clock is set."""

import pytest

from metricagent.latest import Latest
from metricwire.samples import Place, Sample, SeriesKey

A, B = (SeriesKey(Place("c", "h"), metric) for metric in "ab")


@pytest.mark.parametrize(
    ("then", "left"),
    [
        (1010, {A: 1000, B: 1010}),
        (1030, {A: 1000, B: 1030}),
        (1031, {B: 1031}),
        (990, {A: 1000, B: 990}),  # set back by an interval, which may be a tick's delay
        (989, {B: 989}),
        (1_000_000, {B: 1_000_000}),
        (0, {B: 0}),
    ],
)
def test_what_was_sampled_before(then: int, left: dict[SeriesKey, int]) -> None:
    latest = Latest(10)
    latest.update([Sample(A, 1000, 1.0), Sample(B, 1000, 1.0)], 1000)
    latest.update([Sample(B, then, 2.0)], then)
    assert {sample.series: sample.timestamp for sample in latest.fresh(then)} == left


def test_nothing_is_shown_for_longer_than_three_intervals() -> None:
    latest = Latest(10)
    latest.update([Sample(A, 1000, 1.0)], 1000)
    assert latest.fresh(1030)
    assert not latest.fresh(1031)
