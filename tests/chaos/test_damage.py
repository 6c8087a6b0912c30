"""T5 (P3): damaged files. The store starts, no value is wrong, and nothing is missing but what the damage hit."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chaos.book import Found
from chaos.conftest import Figures, Size
from chaos.library import NOW, Library, run
from chaos.script import slot
from metricstore.disk import formats
from metricstore.disk.blocks import Blocks
from metricstore.disk.formats import Block, Kind
from metricstore.disk.rows import decode
from metricstore.memory.window import SLOTS
from metricwire.samples import Labels, Place, SeriesKey

PAGE = 4096
SERIES = 130  # two chunks of a block
DAY = 86400
OVER_BASE = 64 * 1024**2  # bytes that opening and reading a damaged folder may take

Range = tuple[int, int]


class Piece(NamedTuple):
    """Part of a file that is lost as a whole, and the slots that are in it and nowhere else."""

    begin: int
    end: int
    slots: frozenset[object]


class Whole:
    """A folder with log, names, checkpoint, blocks and archive, what is in it, and where."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self.rng = path, rng
        self.clock = NOW // DAY * DAY
        self.found: Found = {}
        self.older: Found = {}  # values that were replaced later: they are back when the later ones are damaged
        self.keys = [SeriesKey(Place("c", f"h{n % 3}", "t", str(n)), "m") for n in range(SERIES)]

    def library(self, path: Path) -> Library:
        return Library(path, clock=self.clock, archived=True)

    async def make(self) -> None:
        library = self.library(self.path)
        library.open()
        for day in range(3):
            library.clock = self.clock = self.clock + DAY
            await self._write(library, self.clock - 300, 6)
            await library.it.seal()
            await library.it.keep()
            if day == 1:
                await library.close()
                library.open()
        for n in range(4):
            await self._write(library, self.clock - 4000 + n * SLOTS * 10, 2)
        await library.it.seal()
        await library.it.keep()
        assert library.it.merges
        await self._write(library, self.clock - 280, 3)
        await self._write(library, self.clock - 1200, 2)
        self.keys.append(SeriesKey(Place("c", "new"), "m"))
        await self._write(library, self.clock - 100, 1)
        await library.write([], [Labels(Place("c", "h0"), (("rack", "r1"),))])
        await library.close()
        library.open()
        await self._write(library, self.clock - 3600, 2)
        await library.close()

    async def _write(self, library: Library, begin: int, count: int) -> None:
        """So many slots of all series from then on, a batch each."""
        for n in range(count):
            samples = [(key, slot(key, begin + 10 * n)[1], round(self.rng.uniform(-1e3, 1e3), 3)) for key in self.keys]
            await library.write(samples)
            for key, time, value in samples:
                if (key, time) in self.found:
                    self.older[key, time] = self.found[key, time]
                self.found[key, time] = value

    def pieces(self, path: Path) -> list[Piece]:
        """Those of a file, by name in the folder; a file that is there twice, or is made anew, has none."""
        file = self.path / path
        if path.parts[0] == "log":
            return list(self._records(file))
        if path.parts[0] == "blocks":
            return list(self._chunks(file))
        if path.suffix == ".parquet":
            oldest, newest, _ = map(int, path.stem.split("_"))
            slots = frozenset(one for one in self.found if oldest <= one[1] <= newest)
            return [Piece(0, file.stat().st_size, slots)]
        return []

    def _records(self, file: Path) -> Iterator[Piece]:
        content, at = file.read_bytes(), 0
        while at < len(content):
            _, kind, length, _ = formats.RECORD_HEAD.unpack_from(content, at)
            end = at + formats.RECORD_HEAD.size + length
            slots = set[object]()
            if kind == Kind.SAMPLES:
                numbers, stamps, _ = formats.unpack_samples(content[at + formats.RECORD_HEAD.size : end])
                slots = {(self.keys[number], stamp) for number, stamp in zip(numbers.tolist(), stamps.tolist(), strict=True)}
            yield Piece(at, end, frozenset(slots))
            at = end

    def _chunks(self, file: Path) -> Iterator[Piece]:
        blocks = Blocks(file.parent, None, self.library(file).files)
        blocks.scan()
        block = Block.named(file.name)
        assert block
        at = formats.BLOCK_HEAD.size + 12 * len(raw := blocks.raw(block))
        every = set[object]()
        for number, chunk in raw.items():
            rows = decode(block, number, chunk)
            at_rows, columns = np.nonzero(~np.isnan(rows.values))
            times = (rows.windows[at_rows] * SLOTS + columns) * block.frequency + rows.phases[at_rows]
            series = rows.numbers[at_rows].tolist()
            slots = {(self.keys[one], time) for one, time in zip(series, times.tolist(), strict=True)}
            every |= slots
            yield Piece(at, at + len(chunk), frozenset(slots))
            at += len(chunk)
        blocks.close()
        yield Piece(0, formats.BLOCK_HEAD.size + 12 * len(raw), frozenset(every))


# What happens to a file: its bytes afterwards, None when it is gone, and which of its bytes are not what they were


def flip(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :], (at, at + 1)


def cut(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    at = rng.randrange(len(content))
    return content[:at], (at, len(content))


def cut_a_little(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    at = max(0, len(content) - rng.randrange(1, 20))
    return content[:at], (at, len(content))


def zero(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    return _put(content, bytes(PAGE), rng)


def mix(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    at = rng.randrange(len(other))
    return _put(content, other[at : at + PAGE], rng)


def _put(content: bytes, new: bytes, rng: random.Random) -> tuple[bytes, Range]:
    at = rng.randrange(len(content)) // 512 * 512
    end = min(len(content), at + len(new))
    return content[:at] + new[: end - at] + content[end:], (at, end)


def empty(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    return b"", (0, len(content))


def remove(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    return None, (0, len(content))


def double(content: bytes, other: bytes, rng: random.Random) -> tuple[bytes | None, Range]:
    return content * 2, (len(content), len(content))


DAMAGES: dict[Callable[[bytes, bytes, random.Random], tuple[bytes | None, Range]], int] = {
    flip: 6, cut: 2, cut_a_little: 2, zero: 3, mix: 3, empty: 1, remove: 1, double: 1,
}  # fmt: skip
SEEN = (flip, zero, mix)  # the others may look like a file that was never longer
COUNTED = ("log", "names", "blocks", "archive", "checkpoint")


class Trial:
    """One damage, and what is wrong with the store that starts on it."""

    def __init__(self, whole: Whole, files: list[Path], path: Path, rng: random.Random) -> None:
        self.whole, self.path = whole, path
        shutil.copytree(whole.path, path)
        self.file = rng.choice(files)
        content, other = (whole.path / self.file).read_bytes(), (whole.path / rng.choice(files)).read_bytes()
        self.damage = rng.choices(list(DAMAGES), list(DAMAGES.values()))[0]
        new, self.hit = self.damage(content, other, rng)
        self.changed = new != content
        if new is None:
            (path / self.file).unlink()
        else:
            (path / self.file).write_bytes(new)
        self.lost = 0

    def __str__(self) -> str:
        return f"{self.damage.__name__} {self.hit} of {self.file}"

    async def problems(self, *, again: bool) -> list[str]:
        library = self.whole.library(self.path)
        try:
            library.open()
        except Exception as error:  # noqa: BLE001 - whatever it is, it prevented the start
            library.kill()
            return [f"{self}: cannot start: {error!r}"]
        found = library.found()
        said = list(self._wrong(found)) + list(self._miscounted(library.it.damaged))
        if again:
            said += await self._go_on(library, found)
        library.kill()
        return [f"{self}: {text}" for text in said]

    def _wrong(self, found: Found) -> Iterator[str]:
        begin, end = self.hit
        hit = set[object]().union(*(p.slots for p in self.whole.pieces(self.file) if p.begin < end and p.end > begin))
        for one, value in self.whole.found.items():
            if found.get(one) == value:
                continue
            if one not in hit:
                yield f"{one} was not hit, and is {found.get(one)}, not {value}"
            elif one in found and found[one] != self.whole.older.get(one):
                yield f"{one} is {found[one]}, not {value}"
            self.lost += 1
        yield from (f"{one} is invented" for one in found.keys() - self.whole.found.keys())

    def _miscounted(self, damaged: int) -> Iterator[str]:
        if self.file.parts[0] in COUNTED and self.changed:
            spare = self.file.parts[0] == "archive" and not self.lost  # it has an ending and a gap to spare
            if self.damage in SEEN and not spare and not damaged:
                yield "nobody noticed"
            if self.damage is flip and damaged > 1 + (self.file.name == "checkpoint"):
                yield f"counted {damaged} times"

    async def _go_on(self, library: Library, before: Found) -> list[str]:
        """Writing, sealing and another start: what is damaged takes no more with it."""
        more = {(SeriesKey(Place("c", "more"), "m"), slot(SeriesKey(Place("c", "more"), "m"), self.whole.clock)[1]): 1.5}
        await library.write([(*one, value) for one, value in more.items()])
        await library.it.seal()
        library.kill()
        library.open()
        found = library.found()
        return [
            f"after sealing {one} is {found.get(one)}, not {value}"
            for one, value in (before | more).items()
            if found.get(one) != value
        ]


def resident(which: str) -> int:
    """Bytes of this process now (VmRSS), or the most since `forget_peak` (VmHWM)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[which].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def test_t5_damage_costs_what_it_hit(tmp_path: Path, size: Size, rng: random.Random, figures: Figures) -> None:
    whole, said, lost = Whole(tmp_path / "whole", rng), list[str](), 0
    opens, over = size.pick(40, 2000), 0

    async def damage() -> None:
        nonlocal lost, over
        await whole.make()
        library = whole.library(whole.path).open()
        assert library.found() == whole.found
        library.kill()
        files = sorted(path.relative_to(whole.path) for path in whole.path.rglob("*") if path.is_file())
        kinds = sorted({path.parts[0] for path in files})
        assert kinds == ["archive", "blocks", "checkpoint", "lock", "log", "names", "store.json"]
        files = [path for path in files if path.name != "lock" and (whole.path / path).stat().st_size]
        for number in range(opens):
            kind = kinds[number % len(kinds)]
            mine = [path for path in files if path.parts[0] == kind] or files
            trial = Trial(whole, mine, tmp_path / str(number), rng)
            base = resident("VmRSS")
            forget_peak()
            said.extend(await trial.problems(again=rng.random() < 0.1))
            over = max(over, resident("VmHWM") - base)
            lost += trial.lost
            shutil.rmtree(trial.path)

    run(damage())
    figures(
        f"T5: {opens:,} starts on damaged folders of {len(whole.found):,} values, {lost:,} missing where they were hit; "
        f"{len(said)} wrong; {over / 2**20:.0f} MiB taken by one at most"
    )
    assert not said, said[:5]
    if size.full:
        assert over <= OVER_BASE
