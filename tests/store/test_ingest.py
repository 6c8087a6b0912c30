"""Bodies in pieces: what is stored and answered does not depend on how they are cut, and all together stay within a bound."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricstore import ingest
from metricstore.crowd import Crowd
from metricstore.engine import Engine
from metricstore.ingest import Ingest, Receipt
from metricstore.settings import Limits, MetricStore, Settings
from metricwire.errors import Unavailable

NOW = 1_700_000_000
LINES = [
    b"m,cluster=c,hostname=h value=%d",
    b"m,cluster=c,hostname=h value=%di",
    b"n,hostname=h2,cluster=c value=%d 1699999000",
    b"old,cluster=c,hostname=h value=%di 1",
    b"event,cluster=c,hostname=h event=1",
    b"info,cluster=c,hostname=h,rack=r%d value=1",
    b"# %d",
    b"wrong %d",
    b"",
    b"m,cluster=c,hostname=%d value=1\r",
    b"x".ljust(70, b"y"),
]
QUOTED = [b'm,cluster=c,hostname=h log="a\nb"', b'm,cluster=c,hostname=h log="%d']
Made = Callable[..., tuple[Engine, Ingest]]


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    def make(**limits: Any) -> tuple[Engine, Ingest]:
        bounds = Limits(**limits)
        folder: Path = tmp_path_factory.mktemp("store")
        engine = Engine(folder, metrics={}, retention=86400, limits=bounds, clock=lambda: float(NOW))
        engine.recover()
        return engine, Ingest(engine, Settings(metric_store=MetricStore(limits=bounds)), lambda: float(NOW))

    return make


def outcome(made: Made, bodies: list[bytes], unit: int, piece: int, patch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Receipts, counts, samples and labels."""
    patch.setattr(ingest, "PIECE_BYTES", piece)
    engine, into = made(line_bytes=64)

    async def main() -> list[Receipt]:
        found = [await into.write(body, "c", None, unit) for body in bodies]
        await engine.close()
        return found

    receipts = asyncio.run(main())
    counts = into.received, into.stored, into.messages, into.skipped, into.unavailable, +into.rejected
    samples = [(key, list(stamps), list(values)) for host in engine.hosts("c") for key, stamps, values in stored(engine, host)]
    assert counts[0] == sum(counts[1:5]) + into.rejected.total()
    return receipts, counts, samples, engine.registry.labels


def stored(engine: Engine, host: str) -> list[Any]:
    return sorted(engine.samples_of("c", host, 0, NOW + 1), key=lambda one: str(one[0]))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.integers(0, 3)), min_size=150, max_size=250),
    st.lists(st.tuples(st.integers(0, 150), st.sampled_from(QUOTED)), max_size=2),
    st.sampled_from([0, 0, 1_000_000_000]),
)
def test_a_body_means_the_same_however_it_is_cut(
    made: Made, lines: list[tuple[bytes, int]], quoted: list[tuple[int, bytes]], unit: int
) -> None:
    body = [form % number if b"%d" in form else form for form, number in lines]
    for at, form in quoted:
        body[at:at] = [form.replace(b"%d", b"1")]
    whole = b"\n".join(body)
    with pytest.MonkeyPatch.context() as patch:
        wanted = outcome(made, [whole, whole[:500]], unit, 1 << 20, patch)
        assert outcome(made, [whole, whole[:500]], unit, 100, patch) == wanted


def test_the_first_bad_lines_of_a_long_body_are_named(made: Made) -> None:
    engine, into = made()
    lines = [b"m,cluster=c,hostname=h value=4i"] * 10_000
    for at in range(5_000, 9_000, 10):
        lines[at : at + 3] = b"old,cluster=c,hostname=h value=1i 1", b"nonsense", b"info,cluster=c,rack=r value=1"

    async def main() -> Receipt:
        found = await into.write(b"\n".join(lines), "")
        await engine.close()
        return found

    receipt = asyncio.run(main())
    assert (receipt.stored, receipt.rejected) == (10_000 - 1_200, 1_200)
    assert [bad.number for bad in receipt.bad] == [at + n + 1 for at in range(5_000, 5_340, 10) for n in range(3)][:100]
    assert all(lines[bad.number - 1].startswith(bad.text.encode()) for bad in receipt.bad)


def test_long_bodies_take_no_thread_and_let_others_pass(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that everybody shares check tokens and make expositions."""
    engine, into = made()
    monkeypatch.delattr(asyncio, "to_thread")
    long = b"m,cluster=c,hostname=h value=4i\n" * 10_000
    ended = []

    async def write(body: bytes) -> None:
        assert not (await into.write(body, "")).rejected
        ended.append(len(body))

    async def main() -> None:
        await asyncio.gather(*(write(body) for body in (long, long, long[:32])))
        await engine.close()

    asyncio.run(main())
    assert ended == [32, len(long), len(long)]


def test_long_bodies_have_a_bound_together(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "CROWD", 500_000 / Limits().memory)
    engine, into = made()
    long = b"m,cluster=c,hostname=h value=4i\n" * 10_000

    async def main() -> list[Receipt | BaseException]:
        found = await asyncio.gather(*(into.write(long, "") for _ in range(3)), return_exceptions=True)
        found.append(await into.write(long, ""))
        await engine.close()
        return found

    first, *refused, last = asyncio.run(main())
    assert isinstance(first, Receipt)
    assert first == last
    for one in refused:
        assert isinstance(one, Unavailable)
        assert "limits.memory" in str(one)
    assert into.received == into.stored == 20_000


def test_one_body_alone_always_has_room() -> None:
    crowd = Crowd(10)
    with crowd.room(11), pytest.raises(Unavailable), crowd.room(1):
        pass
    with crowd.room(5), crowd.room(5):
        pass
