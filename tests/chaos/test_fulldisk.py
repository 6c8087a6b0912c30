"""T7 (P4): a full disk. Nothing acknowledged is lost, writers are told to wait, queries go on, writing resumes by itself."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.book import Book
from chaos.conftest import Figures, Size
from chaos.ledger import Fate, Ledger
from chaos.library import NOW, Library, run
from chaos.program import Program
from chaos.seam import FullDisk
from metricstore.settings import Limits
from metricwire.errors import Unavailable
from metricwire.samples import Labels, Place, SeriesKey

SERIES = 40
TMPFS_BYTES = 32 * 1024**2
OWN_BYTES = 2 * 1024**2  # that the store fills itself
RESUME_SECONDS = 10


class Filled:
    """A library on a disk that fills and is emptied; the book of what it was told."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.disk, self.book, self.rng = FullDisk(), Book(), rng
        self.library = Library(folder, self.disk, NOW, limits=Limits(log_bytes=20_000))
        self.library.open()
        self.refused = self.sealings = self.slot = 0

    async def write(self) -> bool:
        """The next slot of all series, and labels now and then; whether it was acknowledged."""
        self.slot += 1
        self.library.clock = NOW + 10 * self.slot
        keys = [SeriesKey(Place("c", f"h{n % 4}", "t", str(n)), "m") for n in range(SERIES)]
        if self.rng.random() < 0.2:
            keys.append(SeriesKey(Place("c", f"new{self.slot}"), "m"))
        samples = [(key, NOW + 10 * self.slot, self.rng.gauss(0, 1e6)) for key in keys]
        labels = [Labels(Place("c", "h0"), (("slot", str(self.slot)),))] if self.rng.random() < 0.2 else []
        entries = self.book.begin([((key, time), value) for key, time, value in samples], labels, 0)
        try:
            await self.library.write(samples, labels)
        except Unavailable as refusal:
            if not (refusal.retry_after and self.library.it.commits.full):
                raise
            self.book.refuse(entries)
            self.refused += 1
            return False
        assert not self.library.it.commits.full
        self.book.acknowledge(entries, 0)
        return True

    async def keep(self) -> None:
        """Seal, as far as the disk lets it."""
        try:
            await self.library.it.seal()
        except OSError:
            self.sealings += 1

    def problems(self) -> list[str]:
        return self.book.problems(self.library.found(), self.library.labels())


def test_t7_a_disk_that_fills_at_any_byte_loses_nothing(
    tmp_path: Path, size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    filled, said = Filled(tmp_path / "data", rng), list[str]()
    cycles = size.pick(10, 80)

    async def cycle(number: int) -> None:
        filled.disk.room = rng.randrange(12_000)
        for _ in range(60):
            if rng.random() < 0.1:
                await filled.keep()
            if not await filled.write() and rng.random() < 0.3:
                break
        said.extend(f"cycle {number}, full: {text}" for text in filled.problems())
        await filled.keep()
        said.extend(f"cycle {number}, not sealed: {text}" for text in filled.problems())
        if number % 2:
            filled.disk.room = rng.choice((0, 0, 100, 3000))
            if number % 4 == 1:
                await filled.library.close()
            else:
                filled.library.kill()
            filled.library.open()
            said.extend(f"cycle {number}, started while full: {text}" for text in filled.problems())
            await filled.write()
        filled.disk.room = 1 << 60
        assert await filled.write(), "there is room again"
        if rng.random() < 0.3:
            await filled.library.it.seal()

    async def cycles_of_it() -> None:
        for number in range(cycles):
            await cycle(number)
        await filled.library.close()
        filled.library.open()
        said.extend(f"at the end: {text}" for text in filled.problems())
        said.extend(["damages"] * filled.library.it.damaged)
        await filled.library.close()

    run(cycles_of_it())
    figures(
        f"T7, through the seam: {cycles} times full, {filled.book.acknowledged:,} values acknowledged, {filled.refused} writes "
        f"refused, {filled.sealings} sealings put off; {len(said)} wrong"
    )
    assert not said, said[:5]
    assert filled.refused


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 32 MiB; skips where it may not be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"needs root, to mount a tmpfs: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def send(store: Program, ledger: Ledger) -> bool:
    """Send the next batch of each host; whether the disk refused the last one. Who is refused is told until when."""
    full = False
    for host in range(ledger.hosts):
        batch = ledger.take(host)
        assert batch is not None
        body, bad = ledger.body(batch)
        answer = store.ask("POST", "/api/write", body)
        assert answer.status in (400 if bad else 200, 503), answer.text[:500]
        if refused := answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
        ledger.note(batch, Fate.REFUSED if refused else Fate.ACKNOWLEDGED)
        full = refused and "disk" in answer.text
    return full


def query(store: Program) -> None:
    asked = {"cluster": "c", "from": 0, "to": int(time.time()), "queries": [{"metric": "m", "host": "h0"}]}
    assert store.ask("POST", "/api/query", json.dumps(asked | {"with-data": False})).status == 200


@pytest.mark.chaos
def test_t7_a_full_file_system(
    small_disk: Path, make_program: Callable[..., Program], size: Size, seed: int, figures: Figures
) -> None:
    data, other = small_disk / "data", small_disk / "other"
    limits = {"log-bytes": 6 * 1024**2}
    store = make_program(store={"directory": str(data), "limits": limits}).run()
    ledger, slowest, full = Ledger(seed), 0.0, 0
    for cycle in range(size.pick(1, 5)):
        fill(other)
        if cycle % 2 == 0:  # by its own ingest
            os.truncate(other, max(0, other.stat().st_size - OWN_BYTES))
        while not send(store, ledger):
            pass
        full += 1
        fill(other)
        query(store)
        assert store.gauge("metricstore_read_only") == 1
        if cycle % 2:
            store.kill()
            store.run()
            query(store)
            fill(other)  # what was given back meanwhile
            assert send(store, ledger)
        other.unlink()
        begun = time.monotonic()
        while send(store, ledger):
            assert time.monotonic() - begun < RESUME_SECONDS
            time.sleep(0.1)
        slowest = max(slowest, time.monotonic() - begun)
    store.kill()
    verdict = ledger.check(store.run())
    figures(
        f"T7, a file system of {TMPFS_BYTES >> 20} MiB: {full} times full, writes back within {slowest:.1f} s; "
        f"{ledger.batches[Fate.REFUSED]} batches refused; {verdict}"
    )
    assert verdict.clean, verdict


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
