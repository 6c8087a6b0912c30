"""A life of a store: writes of every kind, and all that a store does besides, in an order that the seed gives."""

import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chaos.book import Book, Entry, Found, Slot, bits
from chaos.library import METRICS, NOW, RETENTION, Library, until_killed
from chaos.seam import Killed, Recorder, State, Unsynced, lay
from metricstore.disk import catalogue
from metricstore.memory.window import SHIFT, SLOTS
from metricstore.settings import Limits
from metricwire.errors import SettingsError, Unavailable
from metricwire.samples import Labels, Place, SeriesKey

HOSTS = 4
THREADS = 3
OBSERVED = (60, 30, 10)  # seconds between samples of metrics that nobody declared: they are moved twice
BIGGEST_SLOT = 60
SEGMENT_BYTES = 4000
LOG_BYTES = 8000
FEW_BACK = (328, 264, 200, 0)  # slots of 10 s: some are in windows that are merged with each other
SPECIAL = (0.0, -0.0, 5e-324, -1.7976931348623157e308, 2.0**53 + 2, 1e22)

Sample = tuple[SeriesKey, int, float]


def phase(key: SeriesKey) -> int:
    """When in a slot the samples of a series are; of those that nobody declared always at its begin."""
    return (sum(map(ord, "".join(key.place))) * 7) % METRICS[key.metric].frequency if key.metric in METRICS else 0


def slot(key: SeriesKey, time: int) -> Slot:
    """The slot that a sample of that time belongs to."""
    if key.metric not in METRICS:
        return key, time
    frequency = METRICS[key.metric].frequency
    return key, (time - phase(key) + frequency // 2) // frequency * frequency + phase(key)


def freed(of: Slot, before: int) -> bool:
    """Whether freeing what ended before that time frees the slot."""
    key, time = of
    frequency = METRICS[key.metric].frequency
    window = (time - phase(key)) // frequency >> SHIFT
    return (window + 1) * SLOTS * frequency + frequency <= before


def declared(of: Slot) -> bool:
    return of[0].metric in METRICS


class Script:
    """One store, what it was told, and what happened to its disk."""

    def __init__(
        self, path: Path, seed: int, *, archived: bool = False, fault: Callable[[str, int], int] | None = None
    ) -> None:
        self.rng = random.Random(seed)
        self.archived = archived
        self.book = Book()
        self.files = Recorder(path, fault) if fault else Recorder(path)
        self.clocks: list[tuple[int, int]] = []
        self.library = Library(path, self.files, NOW, archived=archived, limits=Limits(log_bytes=LOG_BYTES))
        self.counts = dict.fromkeys(
            ("kills", "restarts", "seals", "merges", "archived", "rewritten", "refused", "failed starts"), 0
        )
        self.names: list[str] = []  # of the steps
        self._series: list[SeriesKey] = []
        self._latest: dict[str, dict[SeriesKey, int]] = {}  # of observed metrics: when the last sample of each series is
        self._hosts = 0
        self._tick(0)

    @property
    def now(self) -> int:
        """How many operations there were."""
        return len(self.files.done)

    def _tick(self, seconds: int) -> None:
        self.library.clock += seconds
        self.clocks.append((self.now, self.library.clock))
        if not self.archived:
            self.book.floors.append((self.now, self.library.clock - RETENTION + BIGGEST_SLOT))

    def clock_at(self, operations: int) -> int:
        """What time it was."""
        return next(clock for since, clock in reversed(self.clocks) if since <= operations)

    # Its life

    def open(self) -> None:
        """A start; small limits make everything happen often. Where the disk does not let it, another one."""
        try:
            self.library.open()
        except (OSError, SettingsError):
            self.counts["failed starts"] += 1
            self.exit()
            self.library.open()
        self.library.it.log._segment_bytes = SEGMENT_BYTES

    def exit(self) -> None:
        """The process ends by itself, or by a kill."""
        self.library.kill()
        self.library.broken.clear()

    async def play(self, steps: int) -> None:
        """Some steps, beginning with a start on an empty folder and ending with a clean stop."""
        self.open()
        for _ in range(steps):
            await self.step()
        await self._ended(self.library.close())

    async def step(self, *, killing: bool = True) -> None:
        """Whatever comes next; may be killed in it."""
        chosen = self.rng.choices(list(STEPS), list(STEPS.values()))[0]
        self.names.append(chosen.__name__)
        self._tick(self.rng.randrange(90))
        if killing and chosen is not Script.restart and self.rng.random() < 0.15:
            self.files.kill_after(self.rng.randrange(12))
            self.counts["kills"] += 1
            self.names[-1] += " killed"
        await self._ended(chosen(self))

    async def _ended(self, work: Awaitable[object]) -> None:
        """Do the work; when it is killed, start again, and again when that is killed too."""
        if not await until_killed(work, self.files):
            self.files.kill_after(-1)
            return
        again = self.rng.random() < 0.3
        self.exit()
        if again:
            self.files.kill_after(self.rng.randrange(8))
        try:
            self.open()
        except Killed:
            self.open()
        self.files.kill_after(-1)

    async def restart(self) -> None:
        self.counts["restarts"] += 1
        try:
            await self.library.close()
        except OSError:
            self.exit()
        self.open()

    async def _write(self, samples: list[Sample], labels: list[Labels] | None = None) -> None:
        """Write, and note what became of it."""
        last = {slot(key, time): value for key, time, value in samples}
        entries = self.book.begin(last.items(), labels or [], self.now)
        try:
            await self.library.write(samples, labels or [])
        except Unavailable:
            self.counts["refused"] += 1
            return
        self.book.acknowledge(entries, self.now)

    def _value(self) -> float:
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.rng.choice(SPECIAL)
        return round(self.rng.uniform(-1000, 1000), 2) if kind < 3 else self.rng.gauss(0, 1e9)

    def _sample(self, key: SeriesKey, back: int) -> Sample:
        """A sample of so many slots ago."""
        frequency = METRICS[key.metric].frequency
        time = slot(key, self.library.clock)[1] - back * frequency
        return key, time, self._value()

    def _key(self, host: int) -> SeriesKey:
        if self.rng.random() < 0.3:
            return SeriesKey(Place("c", f"h{host}"), "slow", (("user", "u1"),) if self.rng.random() < 0.5 else ())
        return SeriesKey(Place("c", f"h{host}", "hwthread", str(self.rng.randrange(THREADS))), "m")

    def _known(self, key: SeriesKey) -> SeriesKey:
        if key not in self._series:
            self._series.append(key)
        return key

    async def write(self) -> None:
        keys = [self._known(self._key(self.rng.randrange(HOSTS))) for _ in range(self.rng.randrange(1, 8))]
        await self._write([self._sample(key, self.rng.randrange(3)) for key in keys])

    async def write_late(self) -> None:
        if self._series:
            keys = [self.rng.choice(self._series) for _ in range(self.rng.randrange(1, 8))]
            most = {key: (RETENTION - 600) // METRICS[key.metric].frequency for key in keys}
            await self._write([self._sample(key, self.rng.randrange(most[key])) for key in keys])

    async def write_again(self) -> None:
        """Another value for slots that have one, some of them a little beside it, and twice in the batch."""
        oldest = self.library.clock - RETENTION + 600
        slots = [one for one in self.book.slots if declared(one) and one[1] > oldest]
        chosen = [self.rng.choice(slots) for _ in range(self.rng.randrange(1, 6))] if slots else []
        samples = [(*one, self._value()) for one in chosen for _ in range(2)]
        if samples:
            await self._write(samples)

    async def write_new(self) -> None:
        self._hosts += 1
        keys = [
            self._known(SeriesKey(Place("c", f"n{self._hosts}", "t", str(n)), "m")) for n in range(self.rng.randrange(1, 4))
        ]
        await self._write([self._sample(key, n) for key in keys for n in range(self.rng.randrange(1, 3))])

    async def write_newest(self) -> None:
        """To a series of the last batch of new ones."""
        self._tick(60)
        await self._write([self._sample(self._series[-1], 0)])

    async def write_observed(self) -> None:
        """Samples of metrics that nobody declared, ever closer, so that their series move."""
        metric = f"x{self.rng.randrange(3)}"
        latest = self._latest.setdefault(metric, {})
        key = SeriesKey(Place("c", f"h{self.rng.randrange(HOSTS)}"), metric)
        distance = self.rng.choice(OBSERVED[: 1 + len(self.names) // 10])
        begin = max(self.library.clock // 60 * 60 - 600, latest.get(key, 0) // 60 * 60 + 60)
        if begin < self.library.clock:
            times = [begin, begin + 60, begin + 60 + distance]
            latest[key] = times[-1]
            await self._write([(key, time, self._value()) for time in times])

    async def label(self) -> None:
        place = Place("c", f"h{self.rng.randrange(HOSTS)}")
        labels = Labels(place, (("rack", f"r{self.rng.randrange(1000)}"),))
        kept = SeriesKey(place, "m")
        await self._write([self._sample(kept, 0)], [labels])

    async def seal(self) -> None:
        self.counts["seals"] += 1
        before = self._named()
        await self._try(self.library.it.seal())
        self.counts["rewritten"] += self._named() < before

    def _named(self) -> int:
        return self.library.it._catalogue.named

    async def keep(self) -> None:
        before = self.library.it.merges
        await self._try(self.library.it.keep())
        self.counts["merges"] += self.library.it.merges > before

    async def merge(self) -> None:
        """Merge for some turns what lies next to each other, with samples for it coming and being sealed in between."""
        if keys := [key for key in self._series if key.metric == "m"]:
            await self._write([self._sample(self.rng.choice(keys), back) for back in FEW_BACK])
        await self.seal()
        for _ in range(self.rng.randrange(1, 4)):
            before = self.library.it.merges
            await self._try(self.library.it.merge())
            self.counts["merges"] += self.library.it.merges > before
            await self.rng.choice((self.write_late, self.seal))()

    async def hold(self) -> None:
        """What a backup begins with and ends with."""

        async def held() -> None:
            (await self.library.it.hold()).release()

        await self._try(held())

    async def expire(self) -> None:
        """Time passes, and what is past the retention goes."""
        self._tick(self.rng.choice((1200, 3600, 86400 if self.archived else 7200)))
        self._forget_labels()
        await self.write()
        before = self.library.it.archive.bytes
        await self._try(self.library.it.keep())
        self.counts["archived"] += self.library.it.archive.bytes > before

    async def free(self) -> None:
        host = self.rng.choice(["h1", "h2", f"n{self._hosts}"])
        before = self.library.clock - self.rng.choice((-2000, 0, 700, 3000))
        slots = [one for one in self.book.slots if one[0].place.host == host]
        sure = [one for one in slots if declared(one) and freed(one, before)]
        unsure = [one for one in slots if not declared(one) and one[1] < before]
        if self.archived:  # what is in the archive stays
            sure, unsure = [one for one in sure if one[1] > self.library.clock - RETENTION], [*unsure, *sure]
        self._forget_labels()
        self.book.begin([(one, None) for one in unsure], [], self.now)
        entries = self.book.begin([(one, None) for one in sure], [], self.now)
        if await self._try(self.library.it.free([("c", host)], before)):
            self.book.acknowledge(entries, self.now)

    def _forget_labels(self) -> None:
        """Places without series have no labels."""
        for entries in self.book.labels.values():
            entries.append(Entry(None, self.now))

    @staticmethod
    async def _try(work: Awaitable[object]) -> bool:
        try:
            await work
        except (OSError, Unavailable):
            return False
        return True


STEPS: dict[Callable[[Script], Awaitable[None]], int] = {
    Script.write: 6,
    Script.write_late: 3,
    Script.write_again: 3,
    Script.write_new: 2,
    Script.write_observed: 3,
    Script.label: 1,
    Script.seal: 2,
    Script.keep: 1,
    Script.merge: 2,
    Script.hold: 1,
    Script.expire: 1,
    Script.free: 1,
    Script.restart: 1,
}


class Judge:
    """Opens what a crash left, and says what is wrong with it."""

    def __init__(self, script: Script, folder: Path) -> None:
        self._script, self._folder = script, folder
        self.states = self.starts = self.damaged = 0

    def _library(self, operations: int) -> Library:
        self.states += 1
        root = self._folder / str(self.states)
        return Library(root, Unsynced(), self._script.clock_at(operations), archived=self._script.archived)

    async def judge(self, state: State, operations: int, *, again: bool = True) -> list[str]:
        """Problems after a start on the state after so many operations; with `again` after a write and a kill too."""
        library = self._library(operations)
        lay(state, library.path)
        library.open()
        self.starts += 1
        self.damaged += library.it.damaged
        found, labels = library.found(), library.labels()
        said = self._script.book.problems(found, labels, operations)
        if again and not said:
            said = await self._again(library, found, operations)
        library.kill()
        shutil.rmtree(library.path)
        return said

    async def _again(self, library: Library, before: Found, operations: int) -> list[str]:
        said = []
        if not self._script.archived:
            said = self._differences(before, library.listed(), operations, "queries and exports differ")
        labels, more = library.labels(), self._more(operations, library.clock)
        await library.write([(*one, value) for one, value in more.items()])
        for time in ("second", "third"):
            library.kill()
            library.open()
            self.starts += 1
            said += self._differences(before | more, library.found(), operations, f"{time} start")
            there = library.labels()
            staying = [place for place in labels if place in there or self._stays(place, before | more)]
            if any(there.get(place) != labels[place] for place in staying):
                said.append(f"{time} start: labels are {there}, not {labels}")
        return said

    def _stays(self, place: Place, found: Found) -> bool:
        """Whether something at the place is not past the retention after `_more`: its labels go with the last of it."""
        newest = max(time for _, time in found)
        return any(key.place.path[: len(place.path)] == place.path and time > newest - RETENTION for key, time in found)

    def _differences(self, wanted: Found, found: Found, operations: int, when: str) -> list[str]:
        """But of what may be forgotten."""
        return [
            f"{when}: {one}: {found.get(one)!r} is not {wanted.get(one)!r}"
            for one in wanted.keys() | found.keys()
            if bits(wanted.get(one)) != bits(found.get(one)) and not self._script.book.forgettable(one, operations)
        ]

    def _more(self, operations: int, clock: int) -> dict[Slot, float]:
        """Values for a new series, and for known ones."""
        keys = [SeriesKey(Place("c", "after"), "m"), SeriesKey(Place("c", "after"), "slow")]
        keys += [SeriesKey(Place("c", "h1", "hwthread", str(n)), "m") for n in range(THREADS)]
        return {slot(key, clock - 600 * n): float(operations + n) for key in keys for n in range(3)}


def few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalogue be written anew often."""
    monkeypatch.setattr(catalogue, "FILES_MAX", 2)
