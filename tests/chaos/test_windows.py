"""T8 (P6): nothing is lost while the store seals, archives, expires, frees and starts again, whatever the clock says."""

import asyncio
import random
from pathlib import Path

import pytest

import metricstore.settings
from chaos.book import Book
from chaos.conftest import Figures, Size
from chaos.library import METRICS, NOW, RETENTION, Library, run
from chaos.script import slot
from metricstore.ingest import Ingest
from metricstore.settings import Limits
from metricwire.lineprotocol import encode
from metricwire.samples import Place, Sample, SeriesKey

WRITERS = 4
SERIES = 12  # of a writer
LATE = 0.3  # share of the lines that come late, by up to what memory and blocks keep
FUTURE = 3600
HOUR, YEARS = 3600, 10 * 365 * 86400
STEPS = (0, 0, -HOUR, HOUR, YEARS)  # of the clock, away from the true time and back
REFUSED = (0, -1, 2**31, 9 * 10**9, 2**62)


class Windows:
    """Writers whose time is the true one, beside a store whose clock is stepped."""

    def __init__(self, folder: Path, rng: random.Random, *, archived: bool) -> None:
        self.rng, self.book, self.true, self.off = rng, Book(), NOW, 0
        self.library = Library(folder, archived=archived, limits=Limits(log_bytes=40_000))
        self.rejected = self.accepted = 0
        self.said: list[str] = []
        self._open()

    def _open(self) -> None:
        self.library.open()
        asked = {"directory": "/none", "retention-in-memory": f"{RETENTION}s", "future-limit": f"{FUTURE}s"}
        loaded, _ = metricstore.settings.load({"metric-store": asked}, "test")
        self.ingest = Ingest(self.library.it, loaded, lambda: self.library.clock)

    def tick(self, seconds: int, off: int) -> None:
        self.true, self.off = self.true + seconds, off
        self.library.clock = self.true + off
        if not self.library.options["archived"]:
            floor = min(self.library.clock, self.true) - RETENTION + 60
            self.book.floors.append((0, max([floor, *(before for _, before in self.book.floors[-1:])])))

    def _lines(self, writer: int) -> list[tuple[SeriesKey, int, float, int]]:
        """Series, slot, value, and the timestamp as it is sent."""
        lines = []
        for number in range(SERIES):
            key = SeriesKey(Place("c", f"h{writer}", "t", str(number)), self.rng.choice(sorted(METRICS)))
            back = self.rng.randrange(RETENTION - 1200) if self.rng.random() < LATE else 0
            time = slot(key, self.true - back)[1]
            lines.append((key, time, self.rng.gauss(0, 1e3), time * self.rng.choice((1, 1, 1, 10**3, 10**6, 10**9))))
        return lines

    async def write(self, writer: int) -> None:
        """A batch of a writer, with lines among it that must be refused."""
        lines = self._lines(writer)
        bodies = [encode(Sample(key, stamp, value)) for key, _, value, stamp in lines]
        host = SeriesKey(Place("c", f"h{writer}"), "m")
        bodies += [encode(Sample(host, stamp, 1.0)) for stamp in self.rng.sample(REFUSED, 2)]
        clock = self.library.clock
        last = {(key, time): value for key, time, value, _ in lines if clock - RETENTION <= time <= clock + FUTURE}
        wrong = {n for n, line in enumerate(lines, 1) if line[:2] not in last} | {len(lines) + 1, len(lines) + 2}
        entries = self.book.begin(last.items(), [], 0)
        receipt = await self.ingest.write(b"\n".join(bodies), "")
        if {bad.number for bad in receipt.bad} != wrong:
            self.said.append(f"refused {receipt.bad}, not {sorted(wrong)}")
        self.book.acknowledge(entries, 0)
        self.rejected += receipt.rejected
        self.accepted += receipt.stored

    async def _busy(self) -> None:
        """What the store does beside the writers."""
        engine = self.library.it
        chosen = self.rng.randrange(6)
        if chosen == 0:
            await engine.keep()
        elif chosen == 1:
            await engine.seal()
        elif chosen == 2:
            (await engine.hold()).release()
        elif chosen == 3:
            engine.expire_now()
        elif chosen == 4:
            await engine.free([("c", "nobody")], self.true)

    async def round(self) -> None:
        """All writers at once, the store busy with itself meanwhile; now and then another start."""
        await asyncio.gather(self._busy(), *(self.write(writer) for writer in range(WRITERS) for _ in range(2)))
        if self.rng.random() < 0.1:
            if self.rng.random() < 0.5:
                await self.library.close()
            else:
                self.library.kill()
            self._open()

    def check(self, when: str) -> None:
        problems = self.book.problems(self.library.found(), {})
        self.said += [f"{when}: {text}" for text in problems]

    async def live(self, rounds: int) -> None:
        for number in range(rounds):
            off = STEPS[number // 5 % len(STEPS)]
            self.tick(self.rng.choice((10, 60, 300)), off)
            await self.round()
            if number % 5 == 4:
                self.check(f"round {number}, clock {off:+} s")
        self.tick(10, 0)
        before = self.accepted
        await self.round()
        if self.accepted - before < WRITERS * SERIES:
            self.said.append("the next normal lines are not stored")
        self.check("at the end")
        await self.library.close()
        self._open()
        self.check("after another start")
        await self.library.close()


@pytest.mark.parametrize("archived", [False, True])
def test_t8_no_window_loses_a_sample_and_no_clock_does(
    tmp_path: Path, size: Size, rng: random.Random, figures: Figures, archived: bool
) -> None:
    windows = Windows(tmp_path / "data", rng, archived=archived)
    rounds = size.pick(50, 1000)
    run(windows.live(rounds))
    figures(
        f"T8{' with an archive' if archived else ''}: {rounds} rounds, {windows.accepted:,} lines stored, {windows.rejected:,} "
        f"refused by name for their time, {windows.library.clock - NOW:,} s; {len(windows.said)} wrong"
    )
    assert not windows.said, windows.said[:5]
