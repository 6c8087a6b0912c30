"""The tick: at every multiple of the interval read the host, keep the samples for whoever asks, spool them for the store.

The labels of containers go the same way, as `info` lines, each of which counts as a sample in the books.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter

from metricagent.books import Books
from metricagent.collector import Runner
from metricagent.encoder import Encoder
from metricagent.labels import Labeller
from metricagent.latest import Latest
from metricagent.schedule import Schedule
from metricagent.spool import Spool
from metricwire.dcos import CONTAINER
from metricwire.samples import Place

PATIENCE = 6  # intervals without a tick after which the agent no longer calls itself alive,
LEAST_PATIENCE = 60.0  # but not sooner than this many seconds: a disk may be slow for a while
NAP = 60.0  # seconds of sleep at most, so that a clock set forward is noticed

logger = logging.getLogger(__name__)


class Clock(NamedTuple):
    """Seconds since the epoch, which may jump, and seconds of a clock that never does."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Agent:
    """Samples the host at `place` every `interval` seconds; `wake` is called when there is something in the spool."""

    def __init__(
        self,
        *,
        place: Place,
        interval: float,
        runner: Runner,
        labeller: Labeller,
        latest: Latest,
        spool: Spool,
        books: Books,
        registry: CollectorRegistry,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._interval = interval
        self._runner = runner
        self._labeller = labeller
        self._latest = latest
        self._spool = spool
        self._books = books
        self._wake = wake
        self._clock = clock
        self._skipped = Counter("metricagent_ticks_skipped", "Ticks left out: the one before took too long.", registry=registry)
        self._slow = False
        self._encoder = Encoder(place)
        self._beat = clock.steady()

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop` is set; a tick that has begun is finished. It runs in a thread: the disk may be slow."""
        await asyncio.to_thread(self._begin)
        schedule = Schedule(self._interval, self._clock.wall())
        while not stop.is_set():
            wait = schedule.remaining(self._clock.wall())
            if wait > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), min(wait, NAP))
                continue
            begun = self._clock.steady()
            await asyncio.to_thread(self.tick, schedule.take(self._clock.wall()))
            self._wake()
            self._beat = self._clock.steady()
            self._note_skipped(schedule.finish(self._clock.wall(), self._beat - begun), self._beat - begun)

    def alive(self) -> bool:
        """Whether ticks still come to an end."""
        return self._clock.steady() - self._beat < max(PATIENCE * self._interval, LEAST_PATIENCE)

    def tick(self, at: float) -> None:
        """Read everything once and stamp it `at`, seconds since the epoch."""
        readings = self._runner.run(self._clock.steady())
        measured = {reading.type_id for reading in readings if reading.type == CONTAINER}
        known, changed = self._labeller.label(measured, self._clock.steady())
        encoded = self._encoder.encode(readings, changed, round(at))
        self._books.took(len(readings) + len(changed))
        for reason, count in encoded.dropped.items():
            self._books.drop(count, reason)
        self._latest.label(known)
        self._latest.update(encoded.samples, at)
        if encoded.lines:
            self._spool.append(encoded.text, encoded.lines)

    def _begin(self) -> None:
        """What rates begin with: shown, since the next multiple may be hours away; not sent, since it is not on the grid."""
        at = self._clock.wall()
        readings = self._runner.run(self._clock.steady())
        self._latest.update(self._encoder.encode(readings, (), int(at)).samples, at)

    def _note_skipped(self, skipped: int, took: float) -> None:
        self._skipped.inc(skipped)
        if skipped and not self._slow:
            logger.warning(
                "reading the host took %.1f s, longer than the interval of %g s: ticks are skipped", took, self._interval
            )
        elif self._slow and not skipped:
            logger.info("reading the host takes less than the interval again")
        self._slow = bool(skipped)
