"""What has to be reconciled: each key once, never twice at a time, later after failures.

Turns that fail may be slow ones, as when nothing answers: only some of the workers take keys whose last turn failed.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")

FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0  # seconds after the first failure, doubled with each, at most
FAILING = 4  # keys at a time whose last turn failed; there must be more workers than that


class Worklist(Generic[Key]):
    """A queue of keys for several workers."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter  # 0..1
        self._waiting: dict[Key, None] = {}  # in order
        self._running: set[Key] = set()
        self._again: set[Key] = set()  # added while they ran
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def waiting(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Something about the key has changed."""
        if key in self._running:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._wake.set()

    def add_later(self, key: Key, seconds: float) -> None:
        """Look at the key again in a while; an earlier such wish stands."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    async def take(self) -> Key:
        """The next key; it is not given to another worker until `done`."""
        while (found := self._next()) is None:
            self._wake.clear()
            await self._wake.wait()
        del self._waiting[found]
        self._running.add(found)
        return found

    def _next(self) -> Key | None:
        """The first that may run now."""
        full = sum(key in self._failures for key in self._running) >= FAILING
        return next((key for key in self._waiting if not (full and key in self._failures)), None)

    def done(self, key: Key, *, failed: bool) -> None:
        """The key has been dealt with; after a failure it comes back, later with each in a row."""
        self._running.discard(key)
        self._wake.set()
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(count - 1, 10))
            self._again.discard(key)
            self.add_later(key, delay * (0.75 + self._jitter() / 2))
            return
        self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
