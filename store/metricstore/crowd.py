"""Bodies whose lines take long: they are taken piece by piece, in turn, and all together have a bound."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from metricwire.errors import Unavailable

RETRY_AFTER = 5  # seconds that a writer is told to wait


class Crowd:
    """The bodies that are being taken; `most` bounds their bytes, except that one alone has room."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._one = asyncio.Lock()

    @contextlib.contextmanager
    def room(self, size: int) -> Iterator[None]:
        """For a body of that many bytes. Unavailable when there is none."""
        if self._bytes and self._bytes + size > self._most:
            text = f"cannot take the body now: others of {self._bytes} bytes wait to be decoded (an eighth of limits.memory)"
            raise Unavailable(text, RETRY_AFTER)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """For one piece; after it everything else has a turn first, and other bodies have theirs."""
        async with self._one:
            yield
            await asyncio.sleep(0)
