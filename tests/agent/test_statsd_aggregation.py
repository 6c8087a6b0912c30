"""Values to readings: what each kind shows, what stays from interval to interval, and the limits."""

import random
from collections.abc import Callable

import pytest

from metricagent.attribution import UNKNOWN, Owner
from metricagent.collector import Reading
from metricagent.statsd.aggregation import ALL, BYTES_OF_POD, COSTS, OF_POD, Aggregation, Arrival, Limits, Series
from metricagent.statsd.cells import KEPT_MOST, make

WEB = Owner("a" * 64, "u1")
DB = Owner("b" * 64, "u2")
Make = Callable[..., Aggregation]


@pytest.fixture
def aggregation() -> Aggregation:
    return Aggregation(Limits(1000, 500, 4000, 300), random.Random(1).random)


def arrive(kind: str, *values: float | bytes, weight: float = 1.0, relative: bool = False, owner: Owner = WEB) -> list[Arrival]:
    return [Arrival(Series(owner, "m", kind, ()), value, weight, relative) for value in values]


def shown(aggregation: Aggregation, now: float) -> dict[str, float]:
    """What is shown of metric m, by what is behind its name."""
    return {reading.metric.removeprefix("m"): reading.value for reading in aggregation.collect(now)}


def test_a_reading_says_whose_it_is(aggregation: Aggregation) -> None:
    aggregation.add([Arrival(Series(WEB, "m", "counter", (("k", "v"),)), 1.0, 1.0, False)])
    assert aggregation.collect(0) == [Reading("m", 1.0, "container", "a" * 64, "app", "counter", (("k", "v"),))]


def test_a_counter_grows(aggregation: Aggregation) -> None:
    aggregation.add(arrive("counter", 1.0, 2.0, weight=10))
    assert shown(aggregation, 0) == {"": 30}
    assert shown(aggregation, 10) == {"": 30}
    aggregation.add(arrive("counter", 1.0))
    assert shown(aggregation, 20) == {"": 31}


def test_a_gauge_keeps_its_value(aggregation: Aggregation) -> None:
    aggregation.add(arrive("gauge", 5.0, 3.0))
    assert shown(aggregation, 0) == shown(aggregation, 10) == {"": 3}
    aggregation.add(arrive("gauge", 2.0, -1.0, relative=True))
    assert shown(aggregation, 20) == {"": 4}
    aggregation.add([*arrive("gauge", 9.0), *arrive("gauge", 1.0, relative=True)])
    assert shown(aggregation, 30) == {"": 10}


def test_a_gauge_that_was_only_changed_begins_at_0(aggregation: Aggregation) -> None:
    aggregation.add(arrive("gauge", 2.0, relative=True))
    assert shown(aggregation, 0) == {"": 2}


@pytest.mark.parametrize("kind", ["timer", "histogram", "distribution"])
def test_a_timer_has_sums_for_ever_and_quantiles_of_the_interval(aggregation: Aggregation, kind: str) -> None:
    aggregation.add(arrive(kind, *map(float, range(1, 101))))
    assert shown(aggregation, 0) == {
        ".count": 100,
        ".sum": 5050,
        ".min": 1,
        ".max": 100,
        ".p50": 50,
        ".p90": 90,
        ".p95": 95,
        ".p99": 99,
    }
    assert shown(aggregation, 10) == {".count": 100, ".sum": 5050}
    aggregation.add(arrive(kind, 7.0, weight=2))
    assert shown(aggregation, 20) == {".count": 102, ".sum": 5064} | dict.fromkeys(
        (".min", ".max", ".p50", ".p90", ".p95", ".p99"), 7
    )


def test_quantiles_of_many_values_are_estimated(aggregation: Aggregation) -> None:
    values = list(map(float, range(100_000)))
    random.Random(2).shuffle(values)
    aggregation.add(arrive("timer", *values))
    found = shown(aggregation, 0)
    assert (found[".count"], found[".min"], found[".max"]) == (100_000, 0, 99_999)
    assert abs(found[".p50"] - 50_000) < 7_000
    assert abs(found[".p99"] - 99_000) < 1_000


def test_a_set_counts_the_different_ones_of_the_interval(aggregation: Aggregation) -> None:
    aggregation.add(arrive("set", b"a", b"b", b"a"))
    assert shown(aggregation, 0) == {"": 2}
    assert shown(aggregation, 10) == {"": 0}
    aggregation.add(arrive("set", b"b"))
    assert shown(aggregation, 20) == {"": 1}


@pytest.mark.parametrize("count", [KEPT_MOST, 20_000])
def test_a_set_is_exact_up_to_a_size_and_estimated_beyond(aggregation: Aggregation, count: int) -> None:
    members = [b"%d" % at for at in range(count)]
    aggregation.add(arrive("set", *members, *members))
    (found,) = shown(aggregation, 0).values()
    assert found == count if count <= KEPT_MOST else abs(found / count - 1) < 0.3


def test_two_kinds_of_one_name_are_two_series(aggregation: Aggregation) -> None:
    aggregation.add([*arrive("counter", 1.0), *arrive("gauge", 2.0)])
    assert sorted((r.stype_id, r.value) for r in aggregation.collect(0)) == [("counter", 1.0), ("gauge", 2.0)]


def test_who_is_idle_is_forgotten_and_begins_again(aggregation: Aggregation) -> None:
    aggregation.add(arrive("counter", 5.0))
    aggregation.collect(0)
    assert shown(aggregation, 300) == {"": 5}
    assert shown(aggregation, 301) == {}
    assert aggregation.cost == 0
    aggregation.add(arrive("counter", 1.0))
    assert shown(aggregation, 311) == {"": 1}


def test_the_limit_of_a_pod_and_of_all(aggregation: Aggregation) -> None:
    def flood(owner: Owner) -> None:
        aggregation.add(Arrival(Series(owner, f"m{at}", "counter", ()), 1.0, 1.0, False) for at in range(600))

    def refused() -> dict[str, int]:
        return {reason: count for reason, count in aggregation.refused.items() if count}

    flood(WEB)
    assert (aggregation.taken, aggregation.cost, refused()) == (500, 500, {OF_POD: 100})
    flood(DB)
    flood(UNKNOWN)
    assert (aggregation.taken, aggregation.cost, refused()) == (1000, 1000, {ALL: 600, OF_POD: 200})
    flood(WEB)
    assert (aggregation.taken, aggregation.cost) == (1500, 1000), "those that are known go on"
    assert len(aggregation.collect(0)) == 1000
    flood(WEB)
    assert aggregation.taken == 2000, "after the interval, too"
    assert aggregation.collect(301) != []
    assert aggregation.cost == 500
    assert aggregation.collect(602) == []
    assert aggregation.cost == 0
    flood(DB)
    assert aggregation.taken == 2500


def test_the_limit_on_what_names_the_series_of_a_pod(aggregation: Aggregation) -> None:
    def send(owner: Owner, metric: str, kind: str, text: str) -> None:
        aggregation.add([Arrival(Series(owner, metric, kind, (("tag", text),)), 1.0, 1.0, False)])

    for at in range(10):
        send(WEB, f"n{at}", "counter", "x" * 995)
    assert (aggregation.taken, aggregation.refused[BYTES_OF_POD]) == (4, 6), "four of 1000 bytes"
    send(WEB, "n0", "counter", "x" * 995)
    send(DB, "load", "timer", "ö" * 247)
    assert (aggregation.taken, aggregation.refused[BYTES_OF_POD]) == (5, 7), "a timer makes eight lines of 501 bytes"
    send(DB, "load", "timer", "ö" * 246)
    assert aggregation.taken == 6
    assert aggregation.collect(0)
    assert not aggregation.collect(301)
    send(WEB, "n9", "counter", "x" * 995)
    assert aggregation.taken == 7, "what is forgotten counts no longer"


def test_what_a_series_costs_is_what_the_store_gets(aggregation: Aggregation) -> None:
    for kind, cost in COSTS.items():
        cell = make(kind, random.Random(1).random)
        cell.add(b"x" if kind == "set" else 1.0, 1.0, relative=False)
        assert len(list(cell.take())) <= cost
    assert set(COSTS) == {"counter", "gauge", "timer", "histogram", "distribution", "set"}
