"""What has to be reconciled: each key once, never twice at a time, later after failures.

A few turns are enough to keep the operator busy. One that lasts waits for the API server, as when somebody's webhook hangs, and
another begins beside it. Of keys whose last turn failed there are a few at a time, however many wait.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Key = TypeVar("Key")

FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0  # seconds after the first failure, doubled with each, at most
SOON = 5.0  # seconds, at most, if the key changed meanwhile: somebody may have mended it, or it was a write of the turn itself
AT_ONCE = 8  # turns that have not lasted for long
LONG = 2.0  # seconds
MOST = 64  # turns, those that last among them
FAILING = 4  # keys at a time whose last turn failed


class Worklist(Generic[Key]):
    """A queue of keys, which one asks for in `take`."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter  # 0..1
        self._waiting: dict[Key, None] = {}  # in order
        self._running: dict[Key, float] = {}  # since when, by the loop's time
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
        """The next key, as soon as a turn more may run; it does not come again until `done`."""
        loop = asyncio.get_running_loop()
        while (found := self._next(loop.time())) is None:
            self._wake.clear()
            with suppress(TimeoutError):  # by then turns that run now have lasted
                await asyncio.wait_for(self._wake.wait(), LONG if self._waiting else None)
        del self._waiting[found]
        self._running[found] = loop.time()
        return found

    def _next(self, now: float) -> Key | None:
        """The first that may run now."""
        if len(self._running) >= MOST or sum(now - since < LONG for since in self._running.values()) >= AT_ONCE:
            return None
        full = sum(key in self._failures for key in self._running) >= FAILING
        return next((key for key in self._waiting if not (full and key in self._failures)), None)

    def done(self, key: Key, *, failed: bool) -> None:
        """The key has been dealt with; after a failure it comes back, later with each in a row, and soon if it changed."""
        self._running.pop(key, None)
        self._wake.set()
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(SOON if key in self._again else LONGEST_DELAY, FIRST_DELAY * 2 ** min(count - 1, 10))
            self._again.discard(key)
            self.add_later(key, delay * (0.75 + self._jitter() / 2))
            return
        self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
