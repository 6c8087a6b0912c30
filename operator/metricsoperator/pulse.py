"""Whether the operator still does its work: a loop that began something says so, and a silence that is too long is seen.

Requests that are answered late are no silence, however many one turn takes: starting anew would not make them faster.
"""

from collections.abc import Callable
from contextvars import ContextVar

LONGEST = 180.0  # seconds; a request takes at most 25, and between two of them there is little to do
_LOOP: ContextVar[str] = ContextVar("loop", default="")  # whose work this is


class Pulse:
    """The last turn of each loop; `clock` gives seconds and never steps back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """The loop has made a turn, or begins one."""
        self._last[loop] = self._clock()
        _LOOP.set(loop)

    def answered(self) -> None:
        """A request of the loop that calls this has come back, whatever the answer."""
        if _LOOP.get() in self._last:
            self._last[_LOOP.get()] = self._clock()

    def rest(self, loop: str) -> None:
        """The loop waits for work: from now on its silence means nothing."""
        self._last.pop(loop, None)

    def silent(self) -> dict[str, float]:
        """Loops that have been silent for too long, and for how many seconds."""
        now = self._clock()
        return {loop: now - last for loop, last in self._last.items() if now - last > LONGEST}
