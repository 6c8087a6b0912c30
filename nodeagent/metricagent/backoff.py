"""How long to wait before sending, so that hosts do not send in step.

After a failure: longer each time, never less than a second. With fresh samples, which all hosts take at the same moment: a
small part of the interval.
"""

import random

FIRST, LONGEST = 2.0, 30.0  # seconds
SPREAD = 2.0  # seconds over which fresh samples of all hosts come, at most,
SHARE = 4  # and this part of the interval


class Backoff:
    """Waits between tries that fail one after the other: half to all of 2, 4, 8, 16, 30, 30 ... seconds."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._bound = FIRST

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait now, and not less than the server asks for."""
        wait = self._chance.uniform(self._bound / 2, self._bound)
        self._bound = min(self._bound * 2, LONGEST)
        return max(wait, at_least)

    def reset(self) -> None:
        """A try has succeeded."""
        self._bound = FIRST


class Jitter:
    """Waits before fresh samples are sent: up to a quarter of `interval` (seconds), and 2 s."""

    def __init__(self, chance: random.Random, interval: float) -> None:
        self._chance = chance
        self._bound = min(interval / SHARE, SPREAD)

    def next(self) -> float:
        """Seconds to wait now."""
        return self._chance.uniform(0.0, self._bound)
