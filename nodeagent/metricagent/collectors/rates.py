"""Changes per second of counters."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Rates(Generic[Key]):
    """Keeps the last reading of the counters and its time, in seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._before: Mapping[Key, float] = {}
        self._at = 0.0

    def take(self, counters: Mapping[Key, float], now: float) -> dict[Key, float]:
        """The rates since the last call; none of a counter that is new or started again."""
        before, seconds = self._before, now - self._at
        self._before, self._at = counters, now
        if seconds <= 0:
            return {}
        return {
            key: (count - before[key]) / seconds for key, count in counters.items() if key in before and count >= before[key]
        }
