"""T6 (P5, P1): errors of the disk at any operation. What is acknowledged all the same is there after a power cut."""

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.conftest import Figures, Size
from chaos.library import run
from chaos.script import Judge, Script, few_names
from chaos.seam import Disk
from metricwire.errors import SettingsError

STEPS = 16


class Life:
    """A script whose disk fails; the process ends when it has to, and is started again."""

    def __init__(self, folder: Path, seed: int, fault: Callable[[str, int], int], *, archived: bool) -> None:
        folder.mkdir()
        self.script = Script(folder / "script", seed, archived=archived, fault=fault)
        self.judge = Judge(self.script, folder)
        self.said: list[str] = []
        self.stops = 0

    async def play(self) -> None:
        """Live, cut the power, look."""
        script = self.script
        try:
            script.open()
            for _ in range(STEPS):
                await script.step(killing=False)
                await self._look()
        except (OSError, SettingsError):
            script.counts["failed starts"] += 1
        script.exit()
        disk = Disk()
        for done in script.files.done:
            disk.apply(done)
        for state in (*disk.after_power_cut(random.Random(1), 1), disk.after_kill()):
            self.said += await self.judge.judge(state, script.now, again=False)

    async def _look(self) -> None:
        """A process that cannot go on acknowledges nothing more, and says so: with the next write, if it began so."""
        script, commits = self.script, self.script.library.it.commits
        if commits._log.broken or commits._catalogue.broken:
            self.stops += 1
            before = script.book.acknowledged
            await script.write()
            if script.book.acknowledged != before:
                self.said.append("acknowledged after a failed sync")
            if not script.library.broken:
                self.said.append("a file may not be written any more, and the process goes on")
            script.exit()
            script.open()


@pytest.mark.parametrize("archived", [False, True])
def test_t6_an_error_of_the_disk_never_becomes_a_false_acknowledgement(
    tmp_path: Path, size: Size, seed: int, figures: Figures, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    few_names(monkeypatch)
    rng = random.Random(seed)
    lives, said, counts, stops = 0, [], {"refused": 0, "failed starts": 0}, 0

    def live(fault: Callable[[str, int], int]) -> int:
        nonlocal lives, stops
        lives += 1
        life = Life(tmp_path / str(lives), seed, fault, archived=archived)
        run(life.play())
        said.extend(life.said)
        stops += life.stops
        for name in counts:
            counts[name] += life.script.counts[name]
        return len(life.script.files.asked)

    operations = live(lambda name, number: 0)
    assert not said, said[:5]
    points = sorted(rng.sample(range(operations), size.pick(6, operations)))
    for at in points:
        for last in (at, operations * 10):
            before = len(said)
            live(lambda name, number, at=at, last=last: errno.EIO if at <= number <= last else 0)  # type: ignore[misc]
            said[before:] = [f"operation {at}{' and all after it' if last > at else ''}: {text}" for text in said[before:]]
    figures(
        f"T6{' with an archive' if archived else ''}: {lives} lives, one of {operations} operations failing in each, once "
        f"or from then on; stopped {stops} times, refused {counts['refused']} writes, {counts['failed starts']} starts; "
        f"{len(said)} wrong"
    )
    assert not said, said[:5]
