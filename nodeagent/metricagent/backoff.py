"""How long to wait before sending, so that hosts do not send in step.

After a failure: longer each time, never less than a second. With fresh samples, which all hosts take at the same moment: a
small part of the interval, and more of it the first time, when all of them connect. Between bodies that have waited in the
spool: so that they leave the store to the fresh ones.
"""

import random

FIRST, LONGEST = 2.0, 30.0  # seconds
MORE = 1.25  # times what a server asks to wait for, at most: it may have told everybody the same moment
SPREAD = 2.0  # seconds over which fresh samples of all hosts come, at most,
SHARE = 4  # and this part of the interval
FIRST_SPREAD = 5.0  # the same for the first of an agent's life
FIRST_SHARE = 2
REST = 1.0  # seconds between bodies of late samples, at least


class Backoff:
    """Waits between tries that fail one after the other: half to all of 2, 4, 8, 16, 30, 30 ... seconds, or less at the end.

    `longest` is the most, in seconds, that is waited unless the server asks for more: FIRST to LONGEST.
    """

    def __init__(self, chance: random.Random, longest: float = LONGEST) -> None:
        self._chance = chance
        self._longest = min(max(longest, FIRST), LONGEST)
        self._bound = FIRST

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait now, and not less than the server asks for."""
        wait = self._chance.uniform(self._bound / 2, self._bound)
        self._bound = min(self._bound * 2, self._longest)
        return max(wait, self._chance.uniform(at_least, at_least * MORE))

    def reset(self) -> None:
        """A try has succeeded."""
        self._bound = FIRST


class Jitter:
    """Waits before samples are sent that `interval` (seconds) has brought."""

    def __init__(self, chance: random.Random, interval: float) -> None:
        self._chance = chance
        self._interval = interval

    def first(self) -> float:
        """Before the first delivery: up to half of the interval, and 5 s."""
        return self._chance.uniform(0.0, min(self._interval / FIRST_SHARE, FIRST_SPREAD))

    def next(self) -> float:
        """Before any other: up to a quarter of the interval, and 2 s."""
        return self._chance.uniform(0.0, min(self._interval / SHARE, SPREAD))

    def rest(self, took: float) -> float:
        """After a body of late samples: at least a second, and as long as that body took; a busy store has peace."""
        return self._chance.uniform(1.0, 1.5) * max(REST, took)
