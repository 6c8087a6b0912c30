"""Request bodies: read in pieces, decompressed while reading, never more in memory than the limits allow."""

from starlette.requests import ClientDisconnect, Request

from metricstore.api import encodings
from metricstore.settings import Limits
from metricwire.errors import BadInput, MetricsError, TooLarge

SMALL = 65536  # bytes of a decompressed body up to which its ratio does not matter


class Body:
    """One body within the limits: pieces in, the whole out.

    Unsupported for an encoding that is not spoken, TooLarge at a limit.
    """

    def __init__(self, encoding: str, limits: Limits) -> None:
        self._decoder = encodings.decoder(encoding)
        self._limits = limits
        self._received = 0
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """The next bytes as they were sent."""
        self._received += len(data)
        size, allowed = len(self._body), self._limits.body_bytes
        by_ratio = max(SMALL, self._received * self._limits.body_ratio)
        self._body += self._decoder.feed(data, min(allowed, by_ratio) - size)
        if len(self._body) > allowed or self._received > allowed:
            raise too_large(allowed)
        if len(self._body) > by_ratio:
            times = self._limits.body_ratio
            raise TooLarge(f"cannot take the body: it decompresses to more than {times} times its size (limits.body-ratio)")

    def end(self) -> bytes:
        """The whole; BadInput when something is missing."""
        self._decoder.end()
        return bytes(self._body)


async def read_body(request: Request, limits: Limits) -> bytes:
    """The decompressed body. The errors of Body; BadInput for broken compression and a connection that ends early."""
    encodings_asked = []
    for name, value in request.scope["headers"]:
        if name == b"content-encoding":
            encodings_asked.append(value.decode("latin-1"))
        elif name == b"content-length" and value.isdigit() and int(value) > limits.body_bytes:
            raise too_large(limits.body_bytes)
    try:
        if not encodings_asked:
            return await _read_plain(request, limits.body_bytes)
        body = Body(",".join(encodings_asked), limits)
        async for chunk in request.stream():
            body.feed(chunk)
    except ClientDisconnect:
        raise BadInput("cannot read the body: the connection ended before it did") from None
    return body.end()


async def _read_plain(request: Request, limit: int) -> bytes:
    """A body that is not compressed, copied once at most."""
    parts, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> MetricsError:
    """What a body above the limit is told."""
    return TooLarge(f"cannot take the body: larger than {limit} bytes (limits.body-bytes)")
