"""How long to wait before the next try: longer each time, never less than a second, never the same on all hosts."""

import random

FIRST, LONGEST = 2.0, 30.0  # seconds


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
