"""Requests that are no HTTP, two requests in one, or far too much, as bytes; and what each has to be answered with."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

HOST = b"host: x\r\n"
POST = b"POST /api/write HTTP/1.1\r\n" + HOST
# What a smuggled request would store: there must be no such series afterwards.
LINE = b"smuggled,cluster=c,hostname=h value=1\n"
SMUGGLED = POST + b"content-length: %d\r\n\r\n" % len(LINE) + LINE
MIB = 1024**2


class Abuse(NamedTuple):
    """Bytes to send, and the statuses that the first answer may have."""

    name: str
    data: bytes
    wanted: tuple[int, ...]


def lengths() -> Iterator[Abuse]:
    """Lengths that are none, or contradict each other or the body."""
    for text in ("-1", "+5", "0x5", "1e1", "5 5", "5, 5", "5,6", " ", "99999999999999999999", "5;", "\x0b5", "5.0"):
        yield Abuse(f"Content-Length {text!r}", POST + f"content-length: {text}\r\n\r\n".encode() + SMUGGLED, (400,))
    yield Abuse("two lengths", POST + b"content-length: 5\r\ncontent-length: 50\r\n\r\n" + SMUGGLED, (400,))
    yield Abuse("equal lengths", POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde" + SMUGGLED, (400,))
    yield Abuse("10^18 bytes", POST + b"content-length: %d\r\n\r\nx" % 10**18, (413,))
    yield Abuse("a length that is too small", POST + b"content-length: 1\r\n\r\nx" + b"yz\r\n\r\n", (200, 400))


def encodings() -> Iterator[Abuse]:
    """Transfer encodings that somebody might read otherwise."""
    chunked = b"transfer-encoding: chunked\r\n"
    end = b"\r\n0\r\n\r\n" + SMUGGLED
    yield Abuse("CL + TE", POST + b"content-length: 6\r\n" + chunked + end, (400,))
    yield Abuse("TE + CL", POST + chunked + b"content-length: 6\r\n" + end, (400,))
    texts = ["xchunked", "chunked, identity", "identity", "chunked, chunked", "\x0bchunked", "chunked\x00", "chunked;a", "gzip"]
    for text in (*texts, '"chunked"', "chunke", "chunked, xchunked"):  # fmt: skip
        yield Abuse(f"TE {text!r}", POST + f"transfer-encoding: {text}\r\n".encode() + end, (400, 501))
    yield Abuse("TE twice", POST + chunked + b"transfer-encoding: identity\r\n" + end, (400, 501))
    yield Abuse("blank before the colon", POST + b"transfer-encoding : chunked\r\n" + end, (400,))
    yield Abuse("folded", POST + b"transfer-encoding:\r\n chunked\r\n" + end, (400,))
    yield Abuse("blank in front", POST + b" transfer-encoding: chunked\r\n" + end, (400,))
    yield Abuse("no name", POST + b": chunked\r\n" + end, (400,))
    for size in (b"-1", b"0x1", b"1 ", b" 1", b"g", b"", b"ffffffffffffffffff", b"1;\n", b"+1", b"1_0"):
        yield Abuse(f"chunk size {size!r}", POST + chunked + b"\r\n" + size + b"\r\nx\r\n0\r\n\r\n" + SMUGGLED, (400,))
    yield Abuse("chunk longer than said", POST + chunked + b"\r\n1\r\nxy\r\n0\r\n\r\n" + SMUGGLED, (400,))
    yield Abuse("bare LF in chunks", POST + chunked + b"\r\n1\nx\n0\n\n" + SMUGGLED, (400,))
    yield Abuse("1.0 with TE", POST.replace(b"1.1", b"1.0") + chunked + end, (400,))


def forms() -> Iterator[Abuse]:
    """Requests that are none."""
    for name, data in {
        "no version": b"GET /\r\n" + HOST + b"\r\n",
        "version 0.9": b"GET / HTTP/0.9\r\n" + HOST + b"\r\n",
        "version 3": b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
        "no such version": b"GET / HTTP/1.2.3\r\n" + HOST + b"\r\n",
        "lower case": b"get / http/1.1\r\n" + HOST + b"\r\n",
        "NUL in a name": POST + b"a\0b: c\r\n\r\n",
        "NUL in a value": POST + b"a: b\0c\r\n\r\n",
        "CR alone": POST + b"a: b\rc: d\r\n\r\n",
        "bare LF": b"GET / HTTP/1.1\nhost: x\n\n" + SMUGGLED,
        "not ASCII in the target": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
        "TLS": bytes.fromhex("1603010200010001fc0303") + b"\r\n\r\n" * 20,
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        "no host": b"GET /metrics HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /metrics HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    }.items():
        yield Abuse(name, data, (400, 505))
    for name, data in {
        "another server's address": b"GET http://other/api/query HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        "CONNECT": b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        "upgrade to h2c": POST + b"connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n\r\n",
        "websocket": POST
        + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n",
        "expect anything": POST + b"expect: 200-maybe\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    }.items():
        yield Abuse(name, data, (200, 400, 404, 405, 417, 426, 501))


def headers() -> Iterator[Abuse]:
    """Headers beyond the bounds."""
    yield Abuse("10^4 fields", POST + b"a: b\r\n" * 10_000 + b"\r\n", (431,))
    yield Abuse("a field of 1 MB", POST + b"a: ".ljust(MIB, b"b") + b"\r\n\r\n", (431,))
    yield Abuse("a name of 1 MB", POST + b"a" * MIB + b": b\r\n\r\n", (431,))
    yield Abuse("a target of 1 MB", b"GET /".ljust(MIB, b"b") + b" HTTP/1.1\r\n\r\n", (431, 414))
    yield Abuse("a method of 1 MB", b"G" * MIB, (431, 400))
    yield Abuse("1 MB of blank lines", b"\r\n" * (MIB // 2), (431, 400))
    yield Abuse("a chunk extension of 1 MB", POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * MIB, (431, 400, 413))
    yield Abuse("10^4 trailers", POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10_000, (431,))


def bombs(plain: int) -> Iterator[Abuse]:
    """Bodies that become `plain` bytes, and encodings of encodings."""
    bomb = gzip_bomb(plain)
    for name, encoding in (("gzip", b"gzip"), ("gzip, written otherwise", b" GZip "), ("x-gzip", b"x-gzip")):
        yield Abuse(f"{name} bomb", with_body(encoding, bomb), (413,))
    yield Abuse("deflate bomb", with_body(b"deflate", zlib_bomb(plain)), (413, 415))
    yield Abuse("zstd bomb", with_body(b"zstd", zstd_bomb(plain)), (413, 415))
    yield Abuse("a gzip member for every byte", with_body(b"gzip", gzip_of(b"\n") * (min(plain, 10 * MIB) // 40)), (400,))
    for encoding in (
        b"gzip, gzip",
        b"gzip,zstd",
        b"identity, gzip",
        b"br",
        b"gzip;q=1",
        b"chunked",
        b"gzip\r\ncontent-encoding: gzip",
    ):
        yield Abuse(f"encoding {encoding!r}", with_body(encoding, gzip_of(gzip_of(b"x"))), (415,))
    for name, body in {
        "empty": b"", "cut": gzip_of(b"m,cluster=c,hostname=h value=1")[:-9], "wrong sum": gzip_of(b"#")[:-8] + bytes(8),
        "text": b"m value=1",
        "a name without end": b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * MIB, "more behind it": gzip_of(b"#") + b"junk",
    }.items():  # fmt: skip
        yield Abuse(f"gzip: {name}", with_body(b"gzip", body), (400,) if body else (200, 400))


def with_body(encoding: bytes, body: bytes) -> bytes:
    head = POST + b"connection: close\r\ncontent-encoding: " + encoding
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def gzip_of(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=31)
    return made.compress(data) + made.flush()


def blocks(plain: int) -> bytes:
    """DEFLATE blocks of that many zeros, a thousandth of the size: one made once, then repeated."""
    made = zlib.compressobj(9, wbits=-15)
    made.compress(bytes(MIB))
    made.flush(zlib.Z_FULL_FLUSH)  # the window is empty from here on, so the next block stands alone
    one = made.compress(bytes(16 * MIB)) + made.flush(zlib.Z_FULL_FLUSH)
    return one * max(1, plain // (16 * MIB))


def gzip_bomb(plain: int) -> bytes:
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + blocks(plain) + b"\x03\0" + bytes(8)


def zlib_bomb(plain: int) -> bytes:
    return b"\x78\x9c" + blocks(plain) + b"\x03\0" + bytes(4)


def zstd_bomb(plain: int) -> bytes:
    """Frames of RLE blocks of 128 KiB: four bytes each (RFC 8878, 3.1.1)."""
    size = 128 * 1024
    block = struct.pack("<I", (size << 3) | 2)[:3] + b"\0"
    last = struct.pack("<I", (size << 3) | 3)[:3] + b"\0"
    count = max(2, plain // size)
    window = bytes([0, 0x38])  # no content size; window of 128 KiB
    return b"\x28\xb5\x2f\xfd" + window + block * (count - 1) + last


def all_abuses(plain: int) -> Iterator[Abuse]:
    return itertools.chain(lengths(), encodings(), forms(), headers(), bombs(plain))
