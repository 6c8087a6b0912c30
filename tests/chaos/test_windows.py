"""T8 (P6): nothing is lost while the store seals, archives, expires, frees and starts again, whatever the clock says."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import metricstore.settings
from chaos import fakeclock
from chaos.book import Book
from chaos.conftest import Figures, Size
from chaos.library import METRICS, NOW, RETENTION, Library, run
from chaos.program import Program
from chaos.script import slot
from metricstore.ingest import Ingest
from metricstore.settings import Limits
from metricstore.steadyclock import PATIENCE
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
            await engine.expire()
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


async def aged(library: Library, seconds: int) -> None:
    """Time goes on, the store with it."""
    for _ in range(0, seconds, 600):
        library.clock, library.passed = library.clock + 600, library.passed + 600
        await library.it.keep()


@pytest.mark.parametrize("archived", [False, True])
def test_t8_a_wrong_clock_deletes_nothing_though_samples_come_by_it(tmp_path: Path, figures: Figures, archived: bool) -> None:
    """Its own lines have no timestamps, say: then nothing tells the store that the clock is wrong but time itself."""
    library = Library(tmp_path / "data", archived=archived, passing=lambda: float(library.passed))
    keys = [SeriesKey(Place("c", "h", "t", str(n)), "m") for n in range(3)]
    good = [(key, NOW + 10 * n, float(n)) for n in range(300) for key in keys]

    async def play() -> None:
        library.open()
        await library.write(good)
        await library.it.seal()
        library.clock = NOW + HOUR
        await library.write([(keys[0], library.clock, 1.0)])
        for off in (YEARS, YEARS, -YEARS, YEARS):
            library.clock = NOW + HOUR + off
            await library.write([(key, library.clock, 1.0) for key in keys])
            await aged(library, 1800)
            library.kill()
            library.open()
            await library.write([(key, library.clock, 2.0) for key in keys])
            await aged(library, 1800)
        library.clock = NOW + HOUR
        library.kill()
        library.open()
        found = library.found()
        assert {(key, at): value for key, at, value in good if found.get((key, at)) != value} == {}

    run(play())
    figures(
        f"T8{' with an archive' if archived else ''}: clock 10 years ahead with samples written by it, 0 of {len(good)} lost"
    )


def test_t8_what_is_past_the_retention_goes_though_the_clock_was_doubted(tmp_path: Path) -> None:
    """Also when the store was down for so long that its clock cannot be told from a wrong one."""
    library = Library(tmp_path / "data", passing=lambda: float(library.passed))
    key = SeriesKey(Place("c", "h"), "m")

    async def play() -> None:
        library.open()
        await library.write([(key, NOW, 1.0)])
        await library.it.seal()
        library.kill()
        library.clock = NOW + 10 * RETENTION
        library.open()
        await library.write([(key, library.clock, 2.0)])
        await aged(library, RETENTION // 2)
        assert library.it.steady.off > 0
        assert (key, NOW) in library.found()
        await library.write([(key, library.clock, 2.0)])
        await aged(library, RETENTION)
        assert (key, NOW) not in library.found()
        await aged(library, PATIENCE + 10 * RETENTION)
        assert library.it.steady.off == 0

    run(play())


def clock_off(store: Program) -> float:
    """How far the clock is off by the store's own account, when it has looked at it next."""
    deadline = time.monotonic() + 60
    while not (off := store.gauge("metricstore_clock_off_seconds")):
        assert time.monotonic() < deadline, "it has not noticed"
        time.sleep(0.05)
    return off


@pytest.mark.chaos
@pytest.mark.skipif(fakeclock.LIBRARY is None, reason="libfaketime is not installed here (Debian package faketime)")
def test_t8_a_program_whose_clock_is_set(make_program: Callable[..., Program], tmp_path: Path, figures: Figures) -> None:
    """The real store, its clock set ten years ahead by libfaketime, before a kill -9 and while it starts."""
    off = tmp_path / "off"
    off.write_text("+0")
    script = [str(Path(fakeclock.__file__)), str(off)]
    store = make_program(script=script, store={"retention-in-memory": "2h", "retention-on-disk": "2h"}).run()
    now = int(time.time())
    good = "\n".join(f"m,cluster=c,hostname=h value={n} {now - 3600 + n}" for n in range(3600))
    assert store.ask("POST", "/api/write", good).status == 200
    off.write_text("+10y")
    assert store.ask("POST", "/api/write", "m,cluster=c,hostname=h value=1").status == 200
    offs = [clock_off(store)]
    store.kill()
    assert store.run().ask("POST", "/api/write", "m,cluster=c,hostname=h value=2").status == 200
    offs.append(clock_off(store))
    off.write_text("+0")
    store.kill()
    store.run()
    line = f"m,cluster=c,hostname=h value=3600 {now}"
    assert store.ask("POST", "/api/write", line).status == 200, "the next normal line"
    asked = {"cluster": "c", "from": now - 3600, "to": now + 1, "queries": [{"metric": "m", "host": "h"}]}
    (entry,) = store.ask("POST", "/api/query", json.dumps(asked)).json["results"][0]
    lost = 3601 - sum(value == n for n, value in enumerate(entry["data"]))
    figures(
        f"T8: the program's clock {offs[0] / 86400:,.0f} and {offs[1] / 86400:,.0f} days ahead, {lost} of 3,601 samples lost"
    )
    assert not lost
