import asyncio

import pytest

from metricsoperator import worklist
from metricsoperator.apply import THREADS
from metricsoperator.worklist import AT_ONCE, MOST, Worklist


def make() -> Worklist[str]:
    return Worklist(lambda: 0.5)


async def taken(work: Worklist[str]) -> str:
    return await asyncio.wait_for(work.take(), 60)


async def nothing_waits(work: Worklist[str]) -> bool:
    try:
        await asyncio.wait_for(work.take(), 0.01)
    except TimeoutError:
        return True
    return False


def test_each_key_once_in_order() -> None:
    async def play() -> None:
        work = make()
        for key in ("a", "b", "a"):
            work.add(key)
        assert [await taken(work), await taken(work)] == ["a", "b"]
        assert await nothing_waits(work)

    asyncio.run(play())


def test_a_key_is_never_out_twice_and_comes_back_when_it_changed_meanwhile() -> None:
    async def play() -> None:
        work = make()
        work.add("a")
        assert await taken(work) == "a"
        work.add("a")
        assert await nothing_waits(work)
        work.done("a", failed=False)
        assert await taken(work) == "a"
        work.done("a", failed=False)
        assert await nothing_waits(work)

    asyncio.run(play())


def test_a_failure_comes_back_later_each_time() -> None:
    async def play() -> list[float]:
        work, delays = make(), []
        work.add_later = lambda key, seconds: delays.append(seconds)  # type: ignore[method-assign]
        for _ in range(9):
            work.add("a")
            await taken(work)
            work.done("a", failed=True)
        work.add("a")
        await taken(work)
        work.done("a", failed=False)
        work.add("a")
        await taken(work)
        work.done("a", failed=True)
        return delays

    delays = asyncio.run(play())
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert delays[8] == worklist.LONGEST_DELAY
    assert delays[9] == worklist.FIRST_DELAY, "a success in between starts anew"


def test_a_key_that_changed_during_a_turn_that_failed_is_looked_at_soon() -> None:
    """And no sooner than a turn's own writes, which change it too, may lead to the next."""

    async def play() -> list[float]:
        work, delays = make(), []
        work.add_later = lambda key, seconds: delays.append(seconds)  # type: ignore[method-assign]
        for change in [False] * 8 + [True] * 2 + [False]:
            work.add("a")
            await taken(work)
            if change:
                work.add("a")
            work.done("a", failed=True)
            assert work.waiting() == 0
        return delays

    assert asyncio.run(play())[7:] == [worklist.LONGEST_DELAY, worklist.SOON, worklist.SOON, worklist.LONGEST_DELAY]


def test_the_earlier_of_two_wishes_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        work = make()
        work.add_later("a", 60)
        work.add_later("a", 0.01)
        work.add_later("a", 60)
        assert await taken(work) == "a"
        assert await nothing_waits(work)

    asyncio.run(play())


def test_keys_that_fail_hold_up_no_others() -> None:
    async def play() -> None:
        work = make()
        work.add_later = lambda key, seconds: None  # type: ignore[method-assign]
        broken = [f"broken {number}" for number in range(50)]
        for key in broken:
            work.add(key)
            await taken(work)
            work.done(key, failed=True)
        for key in [*broken, "good"]:
            work.add(key)
        for _ in range(worklist.FAILING):
            assert (await taken(work)).startswith("broken")
        assert await taken(work) == "good"
        assert await nothing_waits(work), "the others have their share"
        work.done("broken 0", failed=True)
        assert await taken(work) == "broken 4"

    asyncio.run(play())
    assert worklist.FAILING < AT_ONCE < MOST < THREADS - 1, "listers have their own"


def test_turns_that_last_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those too that never failed before."""
    monkeypatch.setattr(worklist, "LONG", 0.2)

    async def play() -> None:
        work = make()
        for number in range(MOST - 1):
            work.add(f"hangs {number}")
        for key in ("good", "more"):
            work.add(key)
        for _ in range(AT_ONCE):
            await taken(work)
        assert await nothing_waits(work), "as many as are meant to run do"
        for _ in range(AT_ONCE, MOST - 1):
            assert (await taken(work)).startswith("hangs")
        assert await taken(work) == "good"
        await asyncio.sleep(2 * worklist.LONG)
        assert await nothing_waits(work), "there is an end to it"
        work.done("good", failed=False)
        assert await taken(work) == "more"

    asyncio.run(play())
