"""From the spool to the store, in two lanes, so that what has waited hinders nothing fresh.

| lane | delivers | when |
|---|---|---|
| fresh | the newest batch | after each tick, a little later on each host; while the store is away, at each try |
| late | the others, the oldest first, joined | while the fresh lane gets through; one body at a time, with a rest between |

A fresh batch that cannot be delivered before the next one comes is a late one. How long to wait is in backoff.py, what goes
into a body in parcels.py. An error that nobody thought of (BUG in the log) is waited for as an absent store is: the samples
stay, and sampling goes on.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from metricagent.answers import Decision, Later, Smaller, Taken
from metricagent.backoff import Backoff, Jitter
from metricagent.parcels import LARGEST, SMALLEST, Parcel, pieces
from metricagent.spool import Batch, Spool
from metricagent.storestate import StoreState

logger = logging.getLogger(__name__)


class Destination(Protocol):
    """Where samples go."""

    async def send(self, parcel: Parcel) -> Decision:
        """Send these lines; what has become of them."""
        ...


class Attempt(NamedTuple):
    """How many batches were there to be sent, and why they are not delivered, if so."""

    batches: int
    later: Later | None = None


class Pusher:
    """Delivers what is in the spool. `fresh` and `late` are the waits of the two lanes after a failure."""

    def __init__(
        self,
        *,
        destination: Destination,
        spool: Spool,
        state: StoreState,
        fresh: Backoff,
        late: Backoff,
        jitter: Jitter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._destination = destination
        self._spool = spool
        self._state = state
        self._fresh = fresh
        self._late = late
        self._jitter = jitter
        self._sleep = sleep
        self._most = self._ceiling = LARGEST  # bytes of a body's text: now, and ever
        self._told = LARGEST  # the least that the log has
        self._filled = asyncio.Event()
        if spool:
            self._filled.set()  # with what an earlier run has left
        self._way_is_free = asyncio.Event()  # the fresh lane got through, and others wait

    def wake(self) -> None:
        """There is something in the spool."""
        self._filled.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._run_fresh())
            lanes.create_task(self._run_late())

    async def drain(self) -> Later | None:
        """Deliver everything now, without rest: None, or what the trouble is."""
        attempt = await self._attempt(self._spool.newest, late=False)
        while attempt.later is None:
            attempt = await self._attempt(self._oldest, late=True)
            if not attempt.batches:
                self._state.caught_up()
                break
        return attempt.later

    async def _run_fresh(self) -> None:
        wait = self._jitter.first
        while True:
            await self._filled.wait()
            await self._sleep(wait())
            self._filled.clear()
            while (later := (await self._attempt(self._spool.newest, late=False)).later) is not None:
                self._way_is_free.clear()
                await self._sleep(self._fresh.next(later.wait))
            self._fresh.reset()
            wait = self._jitter.next
            if self._spool.behind:
                self._way_is_free.set()
            else:
                self._state.caught_up()

    async def _run_late(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await self._way_is_free.wait()
            begun = now()
            attempt = await self._attempt(self._oldest, late=True)
            if attempt.later is not None:
                await self._sleep(self._late.next(attempt.later.wait))
                continue
            self._late.reset()
            if attempt.batches:
                await self._sleep(self._jitter.rest(now() - begun))
            else:
                self._way_is_free.clear()
                self._state.caught_up()

    def _oldest(self) -> list[Batch]:
        return self._spool.oldest(self._most)

    async def _attempt(self, take: Callable[[], list[Batch]], *, late: bool) -> Attempt:
        """Deliver what `take` takes from the spool; what is not delivered stays there."""
        batches: list[Batch] = []
        try:
            batches = await self._take(take)
            return Attempt(len(batches), await self._deliver(batches, late) if batches else None)
        except Exception as error:  # noqa: BLE001 it is logged; the samples are in the spool, whatever it is
            return Attempt(len(batches), self._state.broken(error, late))
        finally:
            self._spool.release(batches)

    async def _take(self, take: Callable[[], list[Batch]]) -> list[Batch]:
        """What `take` takes. Its thread goes on when this is cancelled: what it then has is released, for `drain` to find."""
        taking = asyncio.create_task(asyncio.to_thread(take))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait({taking})
            if taking.exception() is None:
                self._spool.release(taking.result())
            raise

    async def _deliver(self, batches: list[Batch], late: bool) -> Later | None:
        """Send the batches and forget them; they all stay in the spool when the store is in trouble."""
        rejected = too_large = 0
        refused = False
        waiting = deque(pieces(Parcel(tuple(batch.packed for batch in batches)), self._most))
        while waiting:
            parcel = waiting.popleft()
            decision = await self._destination.send(parcel)
            self._state.answered(decision, late)
            if isinstance(decision, Later):
                return decision
            if isinstance(decision, Taken):
                rejected += decision.rejected
            elif (most := _less(parcel, decision)) is not None:
                self._most = most
                if decision.most is not None:
                    self._ceiling = min(self._ceiling, most)
                if most < self._told:
                    self._told = most
                    logger.info("store takes no body of %d bytes; sending at most %d", parcel.size, most)
                refused = True
                waiting.extendleft(reversed(list(pieces(parcel, most))))
            else:
                too_large += parcel.lines
        # In a thread that goes on when this is cancelled: forgotten and counted, or neither.
        await asyncio.to_thread(self._spool.settle, batches, rejected=rejected, too_large=too_large)
        self._state.delivered(len(batches))
        if not refused:
            self._most = min(self._ceiling, 2 * self._most)  # what refused more may have been in front of the store, and gone
        return None


def _less(parcel: Parcel, smaller: Smaller) -> int | None:
    """Bytes to send at most after a body was too large; None: these lines cannot be sent in less."""
    if parcel.lines == 1:
        return None
    if smaller.most is not None:
        return smaller.most
    return max(SMALLEST, parcel.size // 2) if parcel.size > SMALLEST else None
