"""Merging of blocks: what is read stays the same, whatever comes late, goes, or fails in the middle of it."""

import random
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from chaos.book import Found
from chaos.library import NOW, RETENTION, Library, run
from chaos.seam import Disk, Recorder, State, lay
from metricstore import merging, reading
from metricstore.disk import formats
from metricstore.disk.backup import unpack
from metricstore.disk.formats import Block
from metricstore.memory.window import SLOTS
from metricstore.reading import Groups
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
async def test_a_number_that_a_merged_block_still_has_is_given_to_no_other_series(store: Store) -> None:
    gone = SeriesKey(Place("c", "gone"), "m")
    store.it.registry.given = 600  # so that nothing else is in its chunk
    await store.put([(gone, BEGIN)], 9.5)
    await store.it.seal()
    await store.merge()
    assert store.it.registry.find_number(gone) == 600
    store.it._it.forget_before(BEGIN + LASTS + 10)
    names = [(known, store.it.key(known)) for known in store.it.registry.numbers().tolist()]
    await store.it.seal()
    await store.it.commits.rewrite(names)
    store.kill()
    store.open()
    assert store.it.registry.find_number(gone) is None
    assert store.it.registry._spare.tolist() == list(range(256, 512)), "all but whole chunks of 128 that a block has"


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


@played
async def test_a_backup_in_the_middle_of_a_merging_is_whole(store: Store) -> None:
    assert await store.it.merge()
    backup, wanted = await store.it.hold(), dict(store.wanted)
    await store.merge()
    await store.put([(KEYS[5], BEGIN)], 7.5)
    await store.it.seal()
    content = b"".join(backup.stream())
    backup.release()
    folder = store.path.with_name("restored")
    unpack(BytesIO(content), folder)
    restored = Library(folder, clock=store.clock, retention=10 * RETENTION).open()
    assert restored.found() == wanted
    restored.kill()


@played
async def test_a_query_that_began_before_a_merging_and_ends_after_it_misses_nothing(store: Store) -> None:
    numbers = store.it.holding(store.it.registry.numbers())
    answer = store.it.read(Groups.of([numbers[at : at + 1] for at in range(len(numbers))]), BEGIN, BEGIN + GROUP, 10**9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "TURN_POINTS", 5000)
        totals = [next(answer)]
    await store.merge()
    totals += answer
    assert len(totals) > 1
    found = {
        (store.it.key(int(numbers[place])), int(one.starts[at]) + column * 10): float(one.values[at, column])
        for one in totals
        for at, place in enumerate(one.places.tolist())
        for column in np.flatnonzero(~np.isnan(one.values[at])).tolist()
    }
    assert found == {slot: value for slot, value in store.wanted.items() if BEGIN <= slot[1] < BEGIN + GROUP}


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


def test_of_archived_blocks_a_power_cut_brings_no_older_values_back(tmp_path: Path) -> None:
    """A merged block has an older value of a slot than a single one beside it. Both are in the archive, and being deleted."""
    recorder, disk = Recorder(tmp_path / "data"), Disk()

    async def check(state: State, folder: Path, store: Store) -> None:
        other = Library(folder, clock=store.clock, archived=True, retention=DAY // 2)
        lay(state, folder)
        assert other.open().found() == store.wanted
        await other.it.keep()
        assert other.found() == store.wanted
        other.kill()

    async def life() -> None:
        store = await Store(tmp_path / "data", recorder, archived=True).fill()
        await store.merge()
        await store.put([(KEYS[0], BEGIN + 10), (KEYS[139], BEGIN + LASTS)], 7.5)
        await store.it.seal()
        store.clock += 2 * DAY
        await store.put([(KEYS[0], store.clock)], 2.5)
        store.it._it.retention = DAY // 2
        before, states = len(recorder.done), 0
        await store.it.keep()
        assert list((store.path / "archive").rglob("*.parquet"))
        for number, done in enumerate(recorder.done):
            disk.apply(done)
            for state in disk.after_power_cut(random.Random(number), 2) if done.name == "remove" and number >= before else ():
                states += 1
                await check(state, tmp_path / str(states), store)
        assert states
        store.kill()

    run(life())


def test_a_merging_that_fails_is_put_off_and_keeps_no_other_from_being_made(tmp_path: Path) -> None:
    async def life() -> None:
        store = await Store(tmp_path / "data").fill()
        await store.put([(KEYS[0], BEGIN - GROUP + window * LASTS) for window in range(2)], 7.5)
        await store.it.seal()
        obstacle = store.path / "blocks" / (Block(10, BEGIN // LASTS, 4, 1).name + ".tmp")
        obstacle.mkdir()
        with pytest.raises(OSError, match="directory"):
            await store.merge()
        await store.merge()
        assert store.blocks() == [(-4, 4, 0), (0, 1, 0), (0, 4, 0), (1, 1, 0), (3, 1, 0)]
        obstacle.rmdir()
        store.again()
        await store.merge()
        assert store.blocks() == [(-4, 4, 0), (0, 4, 0), (0, 4, 1)]
        store.kill()

    run(life())


def test_an_archive_that_cannot_be_written_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    async def life() -> None:
        store = await Store(tmp_path / "data", archived=True).fill()
        (store.path / "archive").write_text("in the way")
        store.clock += 3 * DAY
        store.it._it.retention = DAY // 2
        await store.put([(KEYS[0], store.clock - window * LASTS) for window in range(5)], 2.5)
        before = store.it.seals, store.it.merges
        for _ in range(2):
            with pytest.raises(OSError, match="exists"):
                await store.it.keep()
        assert (store.it.seals, store.it.merges) > before
        store.again()
        store.kill()

    run(life())


@played
async def test_a_damaged_single_block_is_in_the_quarantine_when_a_merged_one_takes_its_place(store: Store) -> None:
    path = store.path / "blocks" / Block(10, BEGIN // LASTS + 1).name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    while await store.it.merge():
        pass
    assert store.it.damaged == 1
    assert store.blocks() == [(0, 4, 0), (0, 4, 1)]
    assert (store.path / "quarantine" / path.name).read_bytes()[:-1] == content[:-1]
    lost = {slot for slot in store.wanted if slot[0] in KEYS[128:] and 0 <= slot[1] - BEGIN - LASTS < LASTS}
    assert store.found() == {slot: value for slot, value in store.wanted.items() if slot not in lost}
    assert lost


@played
async def test_exports_have_what_queries_have_of_a_merged_block_that_is_past_the_retention_in_part(store: Store) -> None:
    await store.merge()
    store.it._it.forget_before(BEGIN + 2 * LASTS + 10)
    assert store.found() == store.listed() != store.wanted


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
