"""The time that samples age by. A clock that is set wrong must not delete what is good, however newer samples came under it.

The wall clock counts as long as it goes on as time does. Where it leaves that by more than STEP, samples age by the time that
has passed since it was last good. Once it has been so for PATIENCE it may be right (the store was down, or the clock was wrong
before): then they age twice as fast until both agree. So a clock that is wrong for less than that deletes nothing, and one that
is wrong for longer, in each day of it, a day's samples. A clock that is behind deletes nothing by itself.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

logger = logging.getLogger(__name__)

STEP = 3600  # seconds that a clock may be set at once
PATIENCE = 86400  # seconds until a clock that was set further is believed
_YEAR_9999 = 253_402_300_799


def passing() -> float:
    """Seconds that nobody sets, sleep of the machine included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """`wall` (seconds since the epoch) corrected by `passing` (seconds since any time)."""

    def __init__(self, wall: Callable[[], float], passing: Callable[[], float]) -> None:
        self.jumps = 0  # times that the wall clock left
        self._wall, self._passing = wall, passing
        self._time, self._at = wall(), passing()
        self._since: float | None = None  # when it left (by `passing`)
        self._ahead = False

    def resume(self, known: float) -> None:
        """It was that time at least (seconds) when an earlier process said so."""
        self._time, self._at, self._since = known, self._passing(), None

    def now(self) -> float:
        """The time by which samples are as old as they are."""
        at = self._passing()
        passed, self._at = at - self._at, at
        self._time += passed
        wall = self._wall()
        if abs(wall - self._time) <= STEP:
            if self._since is not None:
                logger.info("the clock agrees again with the time that has passed: samples age by it")
            self._time, self._since = wall, None
            return wall
        self._doubt(wall, at)
        assert self._since is not None
        if at - self._since > PATIENCE:
            self._time = self._time + passed if wall > self._time else wall
        return min(wall, self._time)

    def _doubt(self, wall: float, at: float) -> None:
        """The wall clock has left, or has come over to the other side."""
        ahead = wall > self._time
        if self._since is None or ahead != self._ahead:
            self.jumps += 1
            self._since, self._ahead = at, ahead
            logger.warning(
                "the clock says %s where %s was expected: samples age by the earlier of the two until they agree; "
                "after %d hours they begin to",
                _shown(wall),
                _shown(self._time),
                PATIENCE // 3600,
            )

    @property
    def off(self) -> float:
        """Seconds that the wall clock is ahead of where it was expected; 0 while it is believed."""
        return self._wall() - self._time - (self._passing() - self._at) if self._since is not None else 0.0


def _shown(seconds: float) -> str:
    if not 0 <= seconds <= _YEAR_9999:
        return f"{seconds:.0f} s"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
