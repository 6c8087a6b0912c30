"""The body of an answer, within bounds: who answers may be anybody."""

import aiohttp

PIECE = 65536  # bytes


async def read(content: aiohttp.StreamReader, most: int) -> bytearray:
    """All of it. ClientPayloadError when it has more than `most` bytes: the rest goes with the connection."""
    found = bytearray()
    async for piece in content.iter_chunked(PIECE):
        found += piece
        if len(found) > most:
            raise aiohttp.ClientPayloadError(f"answer is larger than {most} bytes")
    return found
