"""Whether the operator still does its work: a loop that began something says so, and a silence that is too long is seen."""

from collections.abc import Callable

LONGEST = 180.0  # seconds; a turn takes at most a few slow requests


class Pulse:
    """The last turn of each loop; `clock` gives seconds and never steps back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """The loop has made a turn, or begins one."""
        self._last[loop] = self._clock()

    def rest(self, loop: str) -> None:
        """The loop waits for work: from now on its silence means nothing."""
        self._last.pop(loop, None)

    def silent(self) -> dict[str, float]:
        """Loops that have been silent for too long, and for how many seconds."""
        now = self._clock()
        return {loop: now - last for loop, last in self._last.items() if now - last > LONGEST}
