"""Merging of blocks: what is read stays the same, whatever comes late, goes, or fails in the middle of it."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chaos.book import Found
from chaos.library import NOW, RETENTION, Library, run
from chaos.seam import Recorder
from metricstore import merging
from metricstore.disk import formats
from metricstore.disk.formats import Block
from metricstore.memory.window import SLOTS
from metricstore.settings import Limits
from metricwire.samples import Place, SeriesKey

LASTS = SLOTS * 10  # seconds of a window
GROUP = 4 * LASTS
BEGIN = (NOW - 2 * GROUP) // GROUP * GROUP  # of a group of windows that ended long ago
DAY = 86400
KEYS = [SeriesKey(Place("c", f"h{number % 3}", "t", str(number)), "m") for number in range(140)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four windows are merged, 128 series to a block, and each is a turn of its own."""
    monkeypatch.setattr(formats, "MERGED_SECONDS", GROUP)
    monkeypatch.setattr(formats, "MERGED_ROWS", 4 * 128)
    monkeypatch.setattr(merging, "TURN", 0.0)


class Store(Library):
    """A store with three windows of all series in single blocks."""

    wanted: Found  # what it holds

    async def fill(self) -> "Store":
        self.options["retention"] = 10 * RETENTION
        self.open()
        self.clock, self.wanted, rng = NOW + GROUP, {}, random.Random(1)
        for window in (0, 1, 3):
            await self.put([(key, BEGIN + window * LASTS + 10 * n) for key in KEYS for n in range(2)], rng.random())
        await self.put([(KEYS[0], NOW)], 1.0)
        await self.it.seal()
        return self

    async def put(self, slots: list[tuple[SeriesKey, int]], value: float) -> None:
        await self.write([(*slot, value + n) for n, slot in enumerate(slots)])
        self.wanted |= {slot: value + n for n, slot in enumerate(slots)}

    async def merge(self) -> None:
        while await self.it.merge():
            assert self.found() == self.wanted

    def check(self) -> None:
        assert self.found() == self.wanted
        assert self.listed() == self.wanted

    def blocks(self) -> list[tuple[int, int, int]]:
        """First window of the group's, windows, part of each block but the newest."""
        found = sorted(filter(None, (Block.named(path.name) for path in (self.path / "blocks").iterdir())))
        return [(block.window - BEGIN // LASTS, *block[2:]) for block in found if block.window < NOW // LASTS]

    def again(self) -> None:
        self.kill()
        self.open()
        assert self.found() == self.wanted
        assert not self.it.damaged


def played(test: Callable[[Store], Awaitable[None]]) -> Callable[[Path], None]:
    """A test on a filled store."""

    def play(tmp_path: Path) -> None:
        async def life() -> None:
            store = await Store(tmp_path / "data").fill()
            await test(store)
            store.kill()

        run(life())

    play.__name__ = test.__name__
    return play


@played
async def test_merged_blocks_take_the_place_of_single_ones(store: Store) -> None:
    assert store.blocks() == [(0, 1, 0), (1, 1, 0), (3, 1, 0)]
    await store.merge()
    assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
    assert store.it.merges == 1
    store.check()
    store.again()
    (store.path / "checkpoint").unlink()
    store.kill()
    store.open()
    store.check()


@played
async def test_late_samples_are_seen_beside_merged_blocks_and_merged_into_them(store: Store) -> None:
    await store.merge()
    await store.put([(KEYS[5], BEGIN + 10), (KEYS[5], BEGIN + 630), (KEYS[139], BEGIN + 2 * LASTS)], 7.5)
    store.check()
    store.again()
    await store.it.seal()
    assert store.blocks() == [(0, 1, 0), (0, 4, 0), (0, 4, 1), (2, 1, 0)]
    store.check()
    store.again()
    await store.put([(KEYS[5], BEGIN + 20)], 8.5)
    await store.it.seal()
    await store.merge()
    assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
    store.again()


@played
async def test_what_is_written_while_it_is_merged_stays_in_its_own_block(store: Store) -> None:
    assert await store.it.merge()
    await store.put([(KEYS[5], BEGIN), (KEYS[130], BEGIN), (KEYS[5], BEGIN + 2 * LASTS)], 7.5)
    await store.it.seal()
    store.check()
    assert await store.it.merge()
    assert await store.it.merge()
    assert store.blocks() == [(0, 1, 0), (0, 4, 0), (0, 4, 1), (2, 1, 0)]
    store.check()
    await store.merge()
    assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
    store.again()


@played
async def test_windows_of_a_merged_block_are_freed_each_by_itself(store: Store) -> None:
    await store.merge()
    await store.put([(KEYS[0], BEGIN + 30), (KEYS[0], BEGIN + 3 * LASTS + 30)], 7.5)
    await store.it.seal()
    before = BEGIN + 2 * LASTS + 10
    mine = [key for key in KEYS if key.place.host == "h0"]
    store.wanted = {slot: value for slot, value in store.wanted.items() if slot[0] not in mine or slot[1] > before}
    assert await store.it.free([("c", "h0")], before) == 2 * len(mine)
    store.check()
    assert await store.it.free([("c", "h0")], before) == 0
    await store.merge()
    store.again()


@played
async def test_a_merged_block_goes_when_all_of_it_is_past_the_retention(store: Store) -> None:
    await store.merge()
    store.it._it.retention = NOW - (BEGIN + 3 * LASTS)
    await store.it.keep()
    assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
    store.check()
    store.it._it.retention = NOW - (BEGIN + GROUP + 10)
    await store.it.keep()
    assert store.blocks() == []
    store.wanted = {(KEYS[0], NOW): 1.0}
    store.check()


@pytest.mark.parametrize("operation", ["create", "append", "sync", "close", "rename", "sync_directory", "remove"])
def test_a_merging_that_failed_is_made_up_for(tmp_path: Path, operation: str) -> None:
    left = [-1]

    def fault(name: str, _: int) -> int:
        left[0] -= name == operation
        return 5 if name == operation and left[0] == 0 else 0

    async def life() -> None:
        store = await Store(tmp_path / "data", Recorder(tmp_path / "data", fault)).fill()
        for failing in (1, 2):
            left[0] = failing
            with pytest.raises(OSError, match="Input/output error"):
                await store.merge()
            store.again()
        left[0] = -1
        await store.merge()
        assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
        store.again()
        store.kill()

    run(life())


def test_nothing_is_merged_that_is_written_to_or_alone(tmp_path: Path) -> None:
    async def life() -> None:
        store = await Store(tmp_path / "data").fill()
        await store.put([(KEYS[0], BEGIN)], 7.5)  # its window is in memory
        assert not await store.it.merge()
        await store.it.seal()
        await store.put([(KEYS[0], BEGIN - LASTS)], 8.5)
        await store.it.seal()
        await store.merge()
        assert store.blocks() == [(-1, 1, 0), (0, 4, 0), (0, 4, 1)]
        store.kill()

    run(life())


def test_a_store_short_of_room_merges_nothing(tmp_path: Path) -> None:
    async def life() -> None:
        store = await Store(tmp_path / "data", limits=Limits(log_bytes=2**60)).fill()
        assert not await store.it.merge()
        store.kill()

    run(life())


@pytest.mark.parametrize("merged", [False, True])
def test_what_lies_across_midnight_is_archived_with_the_second_day_and_not_missed_before(tmp_path: Path, merged: bool) -> None:
    midnight = NOW // DAY * DAY
    slow = SeriesKey(Place("c", "h0"), "slow")

    async def life() -> None:
        store = Store(tmp_path / "data", clock=midnight + 10 * LASTS, archived=True, retention=DAY // 2)
        store.wanted = {}
        store.open()
        times = range(midnight - 2 * GROUP, midnight + GROUP, 60)
        await store.put([(key, time) for key in (KEYS[0], KEYS[1], slow) for time in times], 0.5)
        for later in (0, DAY // 2, DAY, 2 * DAY):
            store.clock += later
            await store.put([(KEYS[0], store.clock)], 1.5)
            await store.it.seal()
            while merged and await store.it.merge():
                pass
            await store.it.keep()
            assert store.found() == store.wanted
            store.kill()
            assert store.open().found() == store.wanted
        assert len(list((store.path / "archive").rglob("*.parquet"))) > 1
        store.kill()

    run(life())
