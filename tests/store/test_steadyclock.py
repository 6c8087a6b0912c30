"""The time that samples age by, whatever a clock is set to."""

import logging

import pytest

from metricstore.steadyclock import PATIENCE, STEP, SteadyClock, passing

NOW = 1_800_000_000
YEAR = 365 * 86400


class Time:
    """A clock that can be set, and the time that passes."""

    def __init__(self) -> None:
        self.wall, self.passed = float(NOW), 0.0
        self.steady = SteadyClock(lambda: self.wall, lambda: self.passed)

    def go(self, seconds: int, off: float = 0.0) -> float:
        """Time goes on in steps of a minute, the clock having been set by so much; what time it is then."""
        self.wall += off
        for _ in range(0, seconds, 60):
            self.wall, self.passed = self.wall + 60, self.passed + 60
            self.steady.now()
        return self.steady.now() - NOW


def test_a_clock_that_goes_on_is_believed() -> None:
    time = Time()
    assert time.go(10 * PATIENCE) == 10 * PATIENCE
    assert time.go(600, off=STEP) == 10 * PATIENCE + 600 + STEP
    assert time.go(600, off=-STEP) == 10 * PATIENCE + 1200
    assert time.steady.jumps == 0


def test_a_clock_that_is_set_ahead_makes_nothing_older(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    assert time.go(600, off=10 * YEAR) == 600
    assert time.steady.off == 10 * YEAR
    assert time.go(600, off=-10 * YEAR) == 1200
    assert (time.steady.jumps, time.steady.off) == (1, 0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("the clock says 2037-01-12T08:01:00Z where 2027-01-15T08:01:00Z was expected: ")


def test_a_clock_that_is_behind_makes_nothing_older_at_any_time() -> None:
    time = Time()
    assert time.go(600, off=-YEAR) == 600 - YEAR
    assert time.go(600, off=YEAR) == 1200
    assert time.go(2 * PATIENCE, off=-YEAR) == 1200 + 2 * PATIENCE - YEAR
    assert time.steady.off == 0, "after a day it is believed"
    assert time.go(60, off=YEAR) < 1200 + 3 * PATIENCE - YEAR, "so that this is a jump"


def test_a_clock_that_stays_ahead_is_believed_little_by_little() -> None:
    time = Time()
    time.go(PATIENCE, off=10 * PATIENCE)
    assert time.go(600) == pytest.approx(PATIENCE + 1200, abs=120)
    time.go(20 * PATIENCE)
    assert time.steady.off == 0


def test_what_an_earlier_process_knew_counts() -> None:
    time = Time()
    time.steady.resume(NOW - YEAR)
    assert time.go(600) == 600 - YEAR
    time.steady.resume(NOW - STEP + 600)
    assert time.go(600) == 1200


def test_the_time_that_passes_does() -> None:
    assert 0 <= passing() <= passing()
