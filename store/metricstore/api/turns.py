"""Long answers are made in turns, so that one request does not hold up the others."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TypeVar

from metricwire.errors import TooLarge

TURN = 0.01  # seconds of work for one request after which others are looked after
PIECE = 256 * 1024  # bytes of a long answer that are sent at once
Item = TypeVar("Item")


async def pieces_in_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces of some size; other requests get a turn while they are made."""
    gathered, turn = bytearray(), time.monotonic()
    for piece in pieces:
        gathered += piece
        if time.monotonic() - turn > TURN:
            await asyncio.sleep(0)
            turn = time.monotonic()
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


async def in_turns(items: Iterator[Item | Awaitable[object]], seconds_max: float) -> list[Item]:
    """All of the items; other requests get a turn while they are made, and while those among them are awaited that can be.

    TooLarge when that takes longer than `seconds_max`.
    """
    found = list[Item]()
    begun = turn = time.monotonic()
    for item in items:
        if isinstance(item, Awaitable):
            await item
        else:
            found.append(item)
        now = time.monotonic()
        if now - begun > seconds_max:
            raise TooLarge(f"cannot answer within {seconds_max:g} s (limits.query-seconds): ask for less at a time")
        if now - turn > TURN:
            await asyncio.sleep(0)
            turn = time.monotonic()
    return found
