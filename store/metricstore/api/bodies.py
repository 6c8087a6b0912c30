"""Request bodies: read in pieces, decompressed while reading, never more in memory than the limit allows."""

import zlib

from starlette.requests import ClientDisconnect, Request

from metricwire.errors import BadInput, TooLarge, Unsupported

_GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request, limit: int) -> bytes:
    """The decompressed body. TooLarge above the limit, Unsupported for encodings but gzip, BadInput for broken gzip."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Unsupported(f"cannot read a body with Content-Encoding {encoding[:40]!r}: gzip and identity are understood")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    body = bytearray()
    gzip = None if encoding == "identity" else Gunzip()
    try:
        async for chunk in request.stream():
            body += gzip.feed(chunk, limit - len(body)) if gzip else chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise BadInput("cannot read the body: the connection ended before it did") from None
    if gzip:
        gzip.end()
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"cannot take the body: larger than {limit} bytes (limits.body-bytes)")


class Gunzip:
    """Gzip members, one after another, in pieces."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes, most: int) -> bytes:
        """What the bytes decompress to; at most `most` bytes and one more, which tells that there is more."""
        found = bytearray()
        try:
            while data and len(found) <= most:
                self._begun = True
                found += self._member.decompress(data, most + 1 - len(found))
                data = self._member.unconsumed_tail
                if self._member.eof:
                    data, self._member, self._begun = self._member.unused_data, zlib.decompressobj(_GZIP), False
        except zlib.error as error:
            raise BadInput(f"cannot decompress the body: {error}") from error
        return bytes(found)

    def end(self) -> None:
        """BadInput when the body ended inside a member."""
        if self._begun:
            raise BadInput("cannot decompress the body: it is cut short")
