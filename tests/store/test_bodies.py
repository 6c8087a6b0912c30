"""Bodies: every encoding comes back whole however it is cut, and what is broken, cut or a bomb is refused early."""

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from metricstore.api.bodies import SMALL, Body
from metricstore.settings import Limits
from metricwire.errors import BadInput, TooLarge, Unsupported

LIMITS = Limits()
ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "gzip": ("gzip", gzip.compress),
    "gzip members": ("x-gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:]) + gzip.compress(b"")),
    "zlib": ("deflate", zlib.compress),
    "raw": ("Deflate", lambda body: zlib.compress(body, wbits=-15)),
    "raw, stored": ("deflate", lambda body: zlib.compress(body, 0, wbits=-15)),
    "zstd": ("zstd", zstandard.compress),
    "zstd frames": ("zstd", lambda body: zstandard.compress(body[:7]) + skippable(9) + zstandard.compress(body[7:])),
    "zstd, streamed": ("zstd", lambda body: streamed(body, 22)),
}


def skippable(size: int) -> bytes:
    """A zstd frame that says nothing (RFC 8878 section 3.1.2)."""
    return b"\x50\x2a\x4d\x18" + size.to_bytes(4, "little") + bytes(size)


def streamed(body: bytes, window_log: int) -> bytes:
    """A zstd frame whose header does not know how long it is."""
    made = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=window_log, write_checksum=1)
    )
    stream = made.compressobj()
    return stream.compress(body) + stream.flush()


def read(encoding: str, data: bytes, piece: int = 4096, limits: Limits = LIMITS) -> bytes:
    body = Body(encoding, limits)
    for at in range(0, len(data), piece):
        body.feed(data[at : at + piece])
    return body.end()


@pytest.mark.parametrize("name", ENCODERS)
@given(content=st.binary(max_size=400), piece=st.integers(1, 50))
def test_what_was_encoded_comes_back(name: str, content: bytes, piece: int) -> None:
    encoding, encode = ENCODERS[name]
    assert read(encoding, encode(content), piece) == content


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "plain"])
def test_any_end_but_the_last_is_too_early(name: str) -> None:
    encoding, encode = ENCODERS[name]
    whole = encode(b"load_one,cluster=c,hostname=h value=1.5\n" * 3)
    ends = []
    for end in range(len(whole) + 1):
        try:
            read(encoding, whole[:end])
            ends.append(end)
        except BadInput:
            pass
    between = {"gzip members": 2, "zstd frames": 2}.get(name, 0)  # what ends between two of them is whole
    assert len(ends) == 2 + between
    assert ends[0] == 0
    assert ends[-1] == len(whole)


@given(st.sampled_from(["gzip", "deflate", "zstd"]), st.binary(max_size=100))
def test_any_bytes_are_a_body_or_bad_input(encoding: str, data: bytes) -> None:
    with contextlib.suppress(BadInput, TooLarge):
        read(encoding, data)


@pytest.mark.parametrize("encode", [zlib.compress, lambda body: zlib.compress(body, wbits=-15)])
def test_nothing_may_follow_a_deflated_body(encode: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadInput, match="something follows its end"):
        read("deflate", encode(b"x") + b"more")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip,identity", "compress", "zstd;q=1", "\x00"])
def test_other_encodings_and_layers_are_not_spoken(encoding: str) -> None:
    with pytest.raises(Unsupported, match="one of deflate, gzip, zstd is understood, once"):
        Body(encoding, LIMITS)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("piece", [1000, 2**20])
def test_a_bomb_is_cut_while_it_comes(encoding: str, piece: int) -> None:
    made = {
        "gzip": zlib.compressobj(9, wbits=31),
        "deflate": zlib.compressobj(9),
        "zstd": zstandard.ZstdCompressor(level=3).compressobj(),
    }[encoding]
    bomb = b"".join([made.compress(bytes(2**20)) for _ in range(100)]) + made.flush()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"limits\.body-(ratio|bytes)"):
            read(encoding, bomb, piece)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_ratio_above_the_limit_is_named_and_small_bodies_may_have_any() -> None:
    assert len(read("gzip", gzip.compress(bytes(SMALL)))) == SMALL
    with pytest.raises(TooLarge, match=r"more than 100 times its size \(limits.body-ratio\)"):
        read("gzip", gzip.compress(bytes(4 * SMALL)))
    assert len(read("gzip", gzip.compress(bytes(4 * SMALL)), limits=Limits(body_ratio=1100))) == 4 * SMALL


def test_a_window_above_the_bound_is_not_allocated() -> None:
    content = bytes(range(256)) * 40000
    assert read("zstd", streamed(content, 23), limits=Limits(body_ratio=10**6)) == content
    with pytest.raises(BadInput, match="requires too much memory"):
        read("zstd", streamed(content, 27))


@pytest.mark.parametrize(
    ("encoding", "nothing"),
    [("zstd", skippable(1000)), ("gzip", gzip.compress(b"", mtime=0)), ("zstd", zstandard.compress(b""))],
)
def test_a_body_without_end_that_says_nothing_is_cut(encoding: str, nothing: bytes) -> None:
    with pytest.raises(TooLarge, match="larger than 10000 bytes"):
        read(encoding, nothing * 2000, limits=Limits(body_bytes=10_000))


def test_the_limit_holds_to_the_byte() -> None:
    limits = Limits(body_bytes=100)
    for name, (encoding, encode) in ENCODERS.items():
        if name != "raw, stored":  # that is larger as it is sent
            assert read(encoding, encode(bytes(100)), limits=limits) == bytes(100)
        with pytest.raises(TooLarge, match="larger than 100 bytes"):
            read(encoding, encode(bytes(101)), limits=limits)


def test_members_without_end_are_cut() -> None:
    body = Body("gzip", LIMITS)
    with pytest.raises(BadInput, match="more than 1000 gzip members"):
        body.feed(gzip.compress(b"") * 1001)
