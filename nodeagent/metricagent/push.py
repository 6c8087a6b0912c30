"""From the spool to the store: oldest first, one request at a time, until the store has said that it has them.

What an answer means is in answers.py, how long to wait in backoff.py, what goes into a body in parcels.py. An error that nobody
thought of (BUG in the log) is waited for as an absent store is: the samples stay, and sampling goes on.
"""

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge

from metricagent.answers import Decision, Later, Smaller, Taken, decide
from metricagent.backoff import Backoff, Jitter
from metricagent.books import Books
from metricagent.parcels import LARGEST, SMALLEST, lines, pieces
from metricagent.reasons import why
from metricagent.spool import Batch, Spool
from metricwire import __version__

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)  # seconds
ANSWER = 4 * 1024 * 1024  # bytes of an answer that are read: a line of reason for each of LARGEST bytes of lines
_LEVEL = 1  # of gzip

logger = logging.getLogger(__name__)


class StoreState:
    """Says what has changed between agent and store: once, when it changes; and shows it as metrics."""

    def __init__(self, registry: CollectorRegistry, behind: bool) -> None:
        self._reached = Gauge("metricagent_store_reached", "Whether the store took what was sent last.", registry=registry)
        self._requests = Counter("metricagent_store_requests", "Requests to the store.", ["outcome"], registry=registry)
        self._bugs = Counter("metricagent_push_bugs", "Deliveries ended by an error nobody thought of.", registry=registry)
        self._trouble: str | None = "not tried yet"
        self._behind = behind
        self._delivered = 0
        self._refusing = False

    def answered(self, decision: Decision) -> None:
        """An attempt has come to an end, with or without an answer."""
        self._requests.labels(type(decision).__name__.lower()).inc()
        if isinstance(decision, Later):
            self._away(decision)
        elif isinstance(decision, Taken):
            self._here(decision)

    def broken(self, error: Exception) -> Later:
        """An attempt has ended in `error`, which is a bug of ours: what to do is to try again, and to tell people."""
        self._bugs.inc()
        self._reached.set(0)
        self._behind, self._trouble = True, "bug"
        logger.error("BUG: cannot deliver samples: %r; keeping them in the spool", error, exc_info=error)
        return Later("bug", f"cannot deliver samples: {error!r}")

    def delivered(self, batches: int) -> None:
        """The store has these batches."""
        self._delivered += batches if self._behind else 0

    def caught_up(self) -> None:
        """The spool is empty."""
        if self._behind:
            logger.info("caught up: %d batches delivered", self._delivered)
        self._behind, self._delivered = False, 0

    def _away(self, later: Later) -> None:
        self._reached.set(0)
        self._behind = True
        if self._trouble != later.kind:
            logger.warning("store away: %s; keeping samples in the spool", later.reason)
        self._trouble = later.kind

    def _here(self, taken: Taken) -> None:
        self._reached.set(1)
        if self._trouble is not None:
            logger.info("store reached")
        self._trouble = None
        if taken.rejected and not self._refusing:
            logger.warning("store refuses %d samples: %s", taken.rejected, "; ".join(taken.reasons))
        self._refusing = bool(taken.rejected)


class Pusher:
    """Delivers what is in the spool to `url`; the bearer token is read from `token_file` for each request."""

    def __init__(
        self,
        *,
        url: str,
        token_file: Path,
        session: aiohttp.ClientSession,
        spool: Spool,
        books: Books,
        state: StoreState,
        backoff: Backoff,
        jitter: Jitter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url.rstrip("/") + "/api/write"
        self._token_file = token_file
        self._session = session
        self._spool = spool
        self._books = books
        self._state = state
        self._backoff = backoff
        self._jitter = jitter
        self._now = now
        self._sleep = sleep
        self._most = LARGEST
        self._first = True  # nothing is delivered yet
        self._filled = asyncio.Event()
        self._filled.set()  # with what an earlier run has left

    def wake(self) -> None:
        """There is something in the spool."""
        self._filled.set()

    async def run(self) -> None:
        """Deliver, until cancelled: fresh samples a little later on each host, the first and those that wait at once."""
        while True:
            await self._filled.wait()
            if not self._first:
                await self._sleep(self._jitter.next())
            self._filled.clear()
            while (later := await self.drain()) is not None:
                await self._sleep(self._backoff.next(later.wait))

    async def drain(self) -> Later | None:
        """Deliver until the spool is empty (None) or the store, or this program, is in trouble."""
        try:
            return await self._drain()
        except Exception as error:  # noqa: BLE001 it is logged; the samples are in the spool, whatever it is
            return self._state.broken(error)

    async def _drain(self) -> Later | None:
        while batches := await asyncio.to_thread(self._spool.oldest, self._most):
            later = await self._deliver(batches)
            if later is not None:
                return later
        self._state.caught_up()
        return None

    async def _deliver(self, batches: list[Batch]) -> Later | None:
        """Send the batches and forget them; they all stay in the spool when the store is in trouble or takes less at a time."""
        rejected = too_large = 0
        for piece in pieces((batch.text for batch in batches), self._most):
            decision = await self._send(piece)
            self._state.answered(decision)
            if isinstance(decision, Later):
                return decision
            if isinstance(decision, Taken):
                rejected += decision.rejected
            elif len(piece) > SMALLEST:
                self._most = max(SMALLEST, len(piece) // 2)
                logger.info("store takes no body of %d bytes; sending at most %d", len(piece), self._most)
                return None
            else:
                too_large += lines(piece)
        await asyncio.to_thread(self._settle, batches, rejected, too_large)
        self._first = False
        self._backoff.reset()
        self._state.delivered(len(batches))
        return None

    def _settle(self, batches: list[Batch], rejected: int, too_large: int) -> None:
        """The store has these batches: forget and count them, both or neither, even when the delivery is cancelled."""
        self._spool.remove(batches)
        self._books.rejected.inc(rejected)
        self._books.drop(too_large, "too-large")
        self._books.delivered.inc(sum(batch.stored.samples for batch in batches) - rejected - too_large)

    async def _send(self, piece: bytes) -> Decision:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
            if not token.isprintable() or not token:
                return Later("token file", f"{self._token_file} holds no token")
        except (OSError, ValueError) as error:
            return Later("token file", f"cannot read {self._token_file}: {getattr(error, 'strerror', None) or error}")
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # an answer that unpacks to more than is read would be no help
            "User-Agent": f"metricagent/{__version__}",
        }
        body = gzip.compress(piece, _LEVEL)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False, timeout=TIMEOUT
            ) as response:
                answer = await _bounded(response.content)
                decision = decide(response.status, response.headers, answer, lines(piece), self._now())
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Later("unreachable", why(error))
        if isinstance(decision, Smaller) and not decision.by_store and len(piece) <= SMALLEST:
            return Later("413", f"something before it takes no body of {len(piece)} bytes")
        return decision


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """At most ANSWER bytes of an answer; the rest is cut off with the connection."""
    found = bytearray()
    async for chunk in stream.iter_chunked(65536):
        found += chunk
        if len(found) > ANSWER:
            raise aiohttp.ClientPayloadError(f"answer is larger than {ANSWER} bytes")
    return bytes(found)
