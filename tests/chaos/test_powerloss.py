"""T3 (P1, P3): power cuts, with all that a disk may forget of what was not synced."""

import hashlib
import random
from collections.abc import Awaitable
from pathlib import Path

import pytest

from chaos.conftest import Figures, Size
from chaos.library import run, until_killed
from chaos.script import Judge, Script, few_names
from chaos.seam import Disk, State

STEPS = 40
VARIANTS = 3  # of what is left after one operation, besides those that are tried each time
FULL_STATES = 5000
AGAIN = 0.1  # share of the states that are written to, killed and started again


def fingerprint(state: State) -> bytes:
    found = hashlib.sha256()
    for path, content in sorted(state.items()):
        found.update(str(path).encode() + b"\0" + hashlib.sha256(content).digest())
    return found.digest()


def cut(folder: Path, seed: int, states: int, *, archived: bool, lazy: bool = False) -> tuple[Script, Judge, list[str]]:
    """A life of a store, cut at so many operations and more; what is wrong afterwards. `lazy`: syncs of files do nothing."""
    folder.mkdir()
    script = Script(folder / "script", seed, archived=archived)
    judge = Judge(script, folder)
    said: list[str] = []

    async def play() -> None:
        await script.play(STEPS)
        disk, rng = Disk(lazy=lazy), random.Random(seed)
        seen: set[bytes] = set()
        share = states / (script.now * 2)
        for number, done in enumerate(script.files.done, 1):
            disk.apply(done)
            if rng.random() > share:
                continue
            for state in disk.after_power_cut(rng, VARIANTS):
                if (mark := fingerprint(state)) not in seen:
                    seen.add(mark)
                    wrong = await judge.judge(state, number, again=rng.random() < AGAIN)
                    said.extend(f"seed {seed}, operation {number}: {text}" for text in wrong)

    run(play())
    return script, judge, said


@pytest.mark.parametrize("archived", [False, True])
def test_t3_a_power_cut_loses_nothing_acknowledged(
    tmp_path: Path, size: Size, seed: int, figures: Figures, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    few_names(monkeypatch)
    wanted = size.pick(40, FULL_STATES // 2)
    states = starts = acknowledged = 0
    said: list[str] = []
    while states < wanted:
        script, judge, wrong = cut(tmp_path / str(states), seed + states, wanted, archived=archived)
        states, starts = states + judge.states, starts + judge.starts
        acknowledged += script.book.acknowledged
        said += wrong
    figures(
        f"T3{' with an archive' if archived else ''}: {states:,} states after a power cut, {starts:,} starts, {acknowledged:,} "
        f"values acknowledged; {len(said)} wrong"
    )
    assert not said, said[:5]


def test_t3_would_notice_a_store_that_does_not_sync(
    tmp_path: Path, size: Size, seed: int, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_names(monkeypatch)
    _, judge, said = cut(tmp_path / "lazy", seed, size.pick(20, 200), archived=False, lazy=True)
    figures(f"T3, control without syncs of files: {judge.states} states, {len(said)} wrong")
    assert any("lost" in text for text in said)


def begun(folder: Path, seed: int) -> tuple[Script, Judge]:
    """A store that has started, and who judges what is left of it."""
    folder.mkdir()
    script = Script(folder / "script", seed)
    script.open()
    return script, Judge(script, folder)


async def killed_and_started(script: Script, at: int, work: Awaitable[object]) -> bool:
    """Kill in the operation of that number of the work, and start; whether it had so many."""
    script.files.kill_after(at)
    killed = await until_killed(work, script.files)
    script.exit()
    script.open()
    return killed


def test_t3_a_power_cut_after_a_start_after_a_kill(tmp_path: Path, size: Size, seed: int, figures: Figures) -> None:
    """What the process before had not synced is not safe because the next one has read it."""
    said: list[str] = []
    states = kills = 0

    async def life(at: int) -> bool:
        """Kill in the operation of that number of a sealing, start, write, cut the power; whether the sealing had so many."""
        nonlocal states
        script, judge = begun(tmp_path / str(at), seed)
        for _ in range(2):
            await script.library.it.seal()
            for _ in range(4):
                await script.write()
                await script.write_new()
        killed = await killed_and_started(script, at, script.library.it.seal())
        disk, rng = Disk(), random.Random(seed)
        for done in script.files.done:
            disk.apply(done)
        for again in range(2):
            for state in disk.after_power_cut(rng, size.pick(3, 20)):
                wrong = await judge.judge(state, script.now, again=False)
                said.extend(f"killed at {at}, {again} writes later: {text}" for text in wrong)
            before = script.now
            await script.write()
            for done in script.files.done[before:]:
                disk.apply(done)
        script.exit()
        states += judge.states
        return killed

    async def lives() -> None:
        nonlocal kills
        while await life(kills):
            kills += size.pick(3, 1)

    run(lives())
    figures(f"T3 after a kill: {kills} operations of a sealing, {states} states; {len(said)} wrong")
    assert not said, said[:5]


def test_t3_a_power_cut_in_a_sealing_after_a_kill_in_a_write(tmp_path: Path, size: Size, seed: int, figures: Figures) -> None:
    """What a start finds in the log and puts into blocks stays in the log as well, until it is trimmed."""
    said: list[str] = []
    states = 0

    async def life(at: int) -> bool:
        """Kill in that operation of a write, start, seal, cut the power in each operation of it; whether there were so many."""
        nonlocal states
        script, judge = begun(tmp_path / str(at), seed)
        await script.write_new()
        await script.library.it.seal()
        killed = await killed_and_started(script, at, script.write_newest())
        disk, rng, before = Disk(), random.Random(seed), script.now
        await script.library.it.seal()
        for number, done in enumerate(script.files.done, 1):
            disk.apply(done)
            for state in disk.after_power_cut(rng, size.pick(1, 10)) if number >= before else ():
                wrong = await judge.judge(state, number)
                said.extend(f"killed at {at}, operation {number - before} of sealing: {text}" for text in wrong)
        script.exit()
        states += judge.states
        return killed

    async def lives() -> None:
        at = 0
        while await life(at):
            at += 1

    run(lives())
    figures(f"T3 in a sealing after a kill in a write: {states} states; {len(said)} wrong")
    assert not said, said[:5]
