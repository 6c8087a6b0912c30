"""When to sample: at the multiples of the interval on the clock, so that all hosts measure the same moments.

No clock here: the time is handed in, in seconds since the epoch.
"""

import math


class Schedule:
    """The next multiple of `interval` (seconds), however the clock is set meanwhile."""

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval
        self._due = self._after(now)

    def remaining(self, now: float) -> float:
        """Seconds until the next tick, 0 when it is due.

        A clock set back by less than an interval is waited for, so that no moment comes twice; a clock set back further is
        followed.
        """
        if self._due - now > 2 * self._interval:
            self._due = self._after(now)
        return max(0.0, self._due - now)

    def take(self, now: float) -> float:
        """The time of the tick that is due: after a clock set forward, or a sleep of the machine, the last multiple."""
        self._due = max(self._due, math.floor(now / self._interval) * self._interval)
        return self._due

    def finish(self, now: float, took: float) -> int:
        """The tick is done and `took` seconds of a clock that never jumps: how many ticks were skipped for it."""
        self._due = max(self._after(now), self._due + self._interval)
        return int(took // self._interval)

    def _after(self, now: float) -> float:
        return (math.floor(now / self._interval) + 1) * self._interval
