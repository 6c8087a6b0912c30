"""When the agent samples, whatever the clock and the disk do."""

import pytest

from metricagent.schedule import Schedule


@pytest.mark.parametrize(
    ("now", "interval", "wait"),
    [(1000.0, 10, 10.0), (1003.5, 10, 6.5), (1009.75, 10, 0.25), (1000.0, 60, 20.0), (7.0, 2.5, 0.5)],
)
def test_ticks_are_at_multiples_of_the_interval(now: float, interval: float, wait: float) -> None:
    assert Schedule(interval, now).remaining(now) == wait


@pytest.mark.parametrize(
    ("what", "woken", "tick", "finished", "took", "skipped", "wait"),
    [
        ("as planned", 1010.01, 1010, 1010.2, 0.2, 0, 9.8),
        ("slow", 1010.0, 1010, 1035.0, 25.0, 2, 5.0),
        ("just too slow", 1010.0, 1010, 1020.5, 10.5, 1, 9.5),
        ("clock set forward in the sleep", 4611.0, 4610, 4611.1, 0.1, 0, 8.9),
        ("clock set forward in the tick", 1010.0, 1010, 4610.5, 0.5, 0, 9.5),
        ("clock set back a little in the tick", 1010.0, 1010, 1008.0, 0.5, 0, 12.0),
        ("clock set back far in the tick", 1010.0, 1010, 503.0, 0.5, 0, 7.0),
    ],
)
def test_one_tick(what: str, woken: float, tick: float, finished: float, took: float, skipped: int, wait: float) -> None:
    schedule = Schedule(10, 1000.0)
    assert schedule.remaining(woken) == 0, what
    assert schedule.take(woken) == tick
    assert schedule.finish(finished, took) == skipped
    assert schedule.remaining(finished) == pytest.approx(wait)


@pytest.mark.parametrize(("now", "wait"), [(999.0, 11.0), (995.0, 15.0), (500.0, 10.0), (9000.0, 0.0)])
def test_a_clock_that_is_set_while_waiting(now: float, wait: float) -> None:
    assert Schedule(10, 1000.0).remaining(now) == wait
