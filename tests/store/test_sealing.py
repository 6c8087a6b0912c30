"""Sealing beside writers: what moves to another window meanwhile is in a block before the log that had it goes."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from chaos.book import Found
from chaos.library import NOW, Library, run
from chaos.seam import Recorder, Unsynced
from metricwire.errors import Unavailable
from metricwire.samples import Place, SeriesKey

KEY = SeriesKey(Place("c", "h"), "x")  # nobody declared it
OTHER = SeriesKey(Place("c", "h"), "m")


class Beside(Unsynced):
    """Does something on the event loop when the block of that number is about to be written."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.loop = at, asyncio.get_running_loop()
        self.work: Callable[[], Coroutine[Any, Any, None]] | None = None

    def create(self, path: Path) -> int:
        if path.name.endswith(".block.tmp"):
            self.at -= 1
            if self.at < 0 and self.work:
                work, self.work = self.work, None
                asyncio.run_coroutine_threadsafe(work(), self.loop).result()
        return super().create(path)


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("before", [False, True])
def test_a_metric_that_moves_while_its_windows_are_sealed_is_not_lost(tmp_path: Path, at: int, before: bool) -> None:
    times = [NOW, NOW + 60, NOW + 64 * 60, NOW + 64 * 60 + 60]
    wanted = {(KEY, time): float(n) for n, time in enumerate([*times, times[-1] + 3])}

    async def move() -> None:
        library = Library(tmp_path / "data", files := Beside(at)).open()
        library.clock = NOW + 5000
        await library.write([(KEY, time, float(n)) for n, time in enumerate(times)])
        await library.write([(OTHER, NOW, 1.0)])
        if before:
            await library.it.seal()
            await library.write([(OTHER, NOW, 2.0), (KEY, times[0], 0.0), (KEY, times[2], 2.0)])
        files.work = lambda: library.write([(KEY, times[-1] + 3, 4.0)])
        await library.it.seal()
        if files.work is not None:
            await files.work()
        for _ in range(2):
            found = library.found()
            assert {one: value for one, value in found.items() if one[0] == KEY} == wanted
            library.kill()
            library.open()
        library.kill()

    run(move())


@pytest.mark.parametrize("operation", ["sync_directory", "close", "rename", "create", "append", "sync"])
def test_a_sealing_that_failed_is_made_up_for(tmp_path: Path, operation: str) -> None:
    """Once any operation of that name failed; a close that failed leaves no file to be written to by mistake."""
    failing = [False]

    async def fail() -> None:
        files = Recorder(tmp_path / "data", lambda name, number: 5 if failing[0] and name == operation else 0)
        library = Library(tmp_path / "data", files).open()
        wanted: Found = {}
        for n in range(3):
            await library.write([(OTHER, NOW - 10 * n, float(n)), (KEY, NOW - 60 * n, float(n))])
            wanted |= {(OTHER, NOW - 10 * n): float(n), (KEY, NOW - 60 * n): float(n)}
            failing[0] = n == 1
            try:
                await library.it.seal()
            except OSError:
                assert failing[0]
            failing[0] = False
            assert library.found() == wanted
        library.kill()
        assert library.open().found() == wanted
        library.kill()

    run(fail())


def test_after_a_failed_sync_of_names_nothing_is_acknowledged(tmp_path: Path) -> None:
    failing = [False]

    async def fail() -> None:
        library = Library(
            tmp_path / "data", Recorder(tmp_path / "data", lambda name, _: 5 if failing[0] and name == "sync" else 0)
        )
        library.open()
        await library.write([(OTHER, NOW, 1.0)])
        for key in (KEY, OTHER):
            failing[0] = key is KEY
            with pytest.raises(Unavailable):
                await library.write([(key, NOW + 10, 2.0)])
        assert library.broken
        assert library.found() == {(OTHER, NOW): 1.0}
        library.kill()

    run(fail())
