"""T2 (P1, P3): a store that was killed at any operation on its files starts, and is killed and started again."""

from pathlib import Path

import pytest

from chaos.conftest import Figures, Size
from chaos.library import run
from chaos.script import Judge, Script, few_names
from chaos.seam import Disk

STEPS = 60


@pytest.mark.parametrize("archived", [False, True])
def test_t2_a_kill_at_any_operation_loses_nothing(
    tmp_path: Path, size: Size, seed: int, figures: Figures, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    few_names(monkeypatch)
    script = Script(tmp_path / "script", seed, archived=archived)
    judge = Judge(script, tmp_path)
    said: list[str] = []

    async def play() -> None:
        await script.play(size.pick(STEPS // 2, STEPS))
        disk, every = Disk(), size.pick(7, 1)
        for number, done in enumerate(script.files.done, 1):
            disk.apply(done)
            if number % every == 0:
                said.extend(f"after operation {number}: {text}" for text in await judge.judge(disk.after_kill(), number))

    run(play())
    figures(
        f"T2{' with an archive' if archived else ''}: {judge.states} of {script.now} operations, killed at each, "
        f"{judge.starts} starts; {script.book.acknowledged} values acknowledged; {script.counts}; "
        f"{len(said)} wrong, {judge.damaged} damages"
    )
    assert not said, said[:5]
    assert not judge.damaged
