"""Log lines on changes only, and how long to wait between tries."""

import logging
import random
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

FIRST, LONGEST = 0.5, 15.0  # seconds
QUIET = 60.0  # seconds without a trouble after which it is told anew


class Notice:
    """Says what is so, once: the same again is said only after something else."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, level: int, text: str) -> None:
        """Log it, unless it is what was said last."""
        if text != self._said:
            self._said = text
            logger.log(level, "%s", text)


class Trouble:
    """Something that may happen a thousand times a second: told when it begins, and anew after a quiet minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -QUIET

    def say(self, text: str, *more: object) -> None:
        """Log it as a warning, unless it goes on."""
        now = self._clock()
        if now - self._last >= QUIET:
            logger.warning(text, *more)
        self._last = now


class Backoff:
    """Waits between tries that fail one after the other: half to all of 0.5, 1, 2, 4, 8, 15, 15 ... seconds."""

    def __init__(self) -> None:
        self._bound = FIRST

    def next(self) -> float:
        """Seconds to wait now."""
        wait = random.uniform(self._bound / 2, self._bound)  # noqa: S311 - spreads load, guards nothing
        self._bound = min(self._bound * 2, LONGEST)
        return wait

    def reset(self) -> None:
        """A try has succeeded."""
        self._bound = FIRST


def cause_of(error: BaseException) -> str:
    """The error in words fit for a sentence."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return text.removeprefix("nats: ").strip("'")
