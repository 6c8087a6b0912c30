"""T4 (P2): any order of what clients and the store do, against a model that is a dictionary."""

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import metricstore.settings
from chaos.book import Book, Slot
from chaos.conftest import Figures, Size
from chaos.library import METRICS, RETENTION, Library
from chaos.script import freed, slot
from metricstore.ingest import Ingest
from metricstore.settings import Limits
from metricwire.lineprotocol import encode
from metricwire.samples import Place, Sample, SeriesKey

LONGEST = 255  # bytes of a name
LONG = "ab€" * 60  # 300 bytes: refused by name
BAD = (b"m,cluster=c value=1", b"m,cluster=c,hostname=h value=one", b"\xff\xfe", b"m", b"m,cluster=c,hostname=h value=1 1 1")
MOST_BACK = (RETENTION - 1200) // 10
FEW_BACK = (328, 264, 200)  # slots of 10 s: two of these are in windows that are merged with each other

LONG_ENOUGH = "ab€" * 51
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\."), min_size=1, max_size=8
) | st.sampled_from([LONG, LONG_ENOUGH])
values = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e3, 1e3).map(lambda value: round(value, 2))
keys = st.builds(
    lambda host, type_id, user, metric: SeriesKey(
        Place("c", host, *(("t", type_id) if type_id else ())), metric, (("user", user),) if user else ()
    ),
    st.sampled_from(["h", "h1", "ä", LONG_ENOUGH]) | names,
    st.sampled_from(["", "1"]) | names,
    st.just("") | names,
    st.sampled_from(sorted(METRICS)),
)


class Machine(RuleBasedStateMachine):
    """One store. What clients send goes through the ingest, as lines."""

    steps = merges = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.book = Book()
        self.known: list[SeriesKey] = []

    @initialize(archived=st.booleans())
    def begin(self, archived: bool) -> None:
        self.library = Library(self.folder / "data", archived=archived, limits=Limits(log_bytes=20_000))
        self.library.open()
        self._serve()

    def _serve(self) -> None:
        asked = {"directory": "/none", "retention-in-memory": f"{RETENTION}s"}
        loaded, _ = metricstore.settings.load({"metric-store": asked}, "test")
        self.ingest = Ingest(self.library.it, loaded, lambda: self.library.clock)

    def _do(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def _floor(self) -> None:
        if not self.library.options["archived"]:
            self.book.floors = [(0, self.library.clock - RETENTION + 60)]

    # Clients

    def _certain(self, key: SeriesKey) -> bool:
        """Whether the series has samples, so that its grid is known."""
        newest = self.library.clock - RETENTION + 4200
        times = (one for one in self.book.slots if one[0] == key and one[1] > newest)
        return any(None not in self.book.allowed(self.book.slots[one], 0) for one in times)

    def _sample(self, key: SeriesKey, back: int, beside: float, value: float) -> tuple[Sample, Slot]:
        frequency = METRICS[key.metric].frequency
        time = slot(key, self.library.clock)[1] - back * 10 // frequency * frequency
        off = int(beside * (frequency // 2 - 1)) if self._certain(key) else 0
        return Sample(key, time + off, value), (key, time)

    def _send(self, lines: list[tuple[bytes, Slot | None, float]]) -> None:
        """Lines to be kept, and lines to be refused by number."""
        wanted = {number for number, (_, where, _) in enumerate(lines, 1) if where is None}
        last = {where: value for _, where, value in lines if where is not None}
        entries = self.book.begin(last.items(), [], 0)
        receipt = self._do(self.ingest.write(b"\n".join(line for line, _, _ in lines), "", None))
        assert {bad.number for bad in receipt.bad} == wanted
        assert receipt.stored == len(lines) - len(wanted)
        self.book.acknowledge(entries, 0)

    @rule(
        what=st.lists(st.tuples(keys, st.integers(-3, 8), st.floats(-1, 1), values), min_size=1, max_size=6),
        bad=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(BAD)), max_size=2),
    )
    def write(self, what: list[tuple[SeriesKey, int, float, float]], bad: list[tuple[int, bytes]]) -> None:
        lines: list[tuple[bytes, Slot | None, float]] = []
        fresh = set[SeriesKey]()
        for key, back, beside, value in what:
            sample, where = self._sample(key, back, 0.0 if key in fresh else beside, value)
            fresh |= {key}
            taken = all(len(name.encode()) <= LONGEST for name in (*key.place, *(value for _, value in key.tags)))
            lines.append((encode(sample), where if taken else None, value))
            if taken and key not in self.known:
                self.known.append(key)
        for at, line in bad:
            lines.insert(at, (line, None, 0.0))
        self._send(lines)

    @rule(which=st.integers(0), back=st.integers(0, MOST_BACK), beside=st.floats(-1, 1), value=values)
    def write_late(self, which: int, back: int, beside: float, value: float) -> None:
        if self.known:
            sample, where = self._sample(self.known[which % len(self.known)], back, beside, value)
            self._send([(encode(sample), where, value)])

    @rule(which=st.lists(st.tuples(st.integers(0), st.none() | values), min_size=1, max_size=5))
    def write_again(self, which: list[tuple[int, float | None]]) -> None:
        """The same value, or another one, for slots that were written to."""
        oldest = self.library.clock - RETENTION + 600
        slots = [one for one in self.book.slots if one[1] > oldest]
        lines = []
        for at, new in which if slots else []:
            where = slots[at % len(slots)]
            value = self.book.slots[where][-1].value if new is None else new
            if isinstance(value, float):
                lines.append((encode(Sample(*where, value)), where, value))
        if lines:
            self._send(lines)  # type: ignore[arg-type] # a list is invariant

    @rule(which=st.integers(0), age=st.sampled_from([-3000, 0, 700, 3000]))
    def free(self, which: int, age: int) -> None:
        if not self.known:
            return
        host, before = self.known[which % len(self.known)].place.host, self.library.clock - age
        slots = [one for one in self.book.slots if one[0].place.host == host and freed(one, before)]
        gone = [one for one in slots if not self.library.options["archived"] or one[1] > self.library.clock - RETENTION]
        self.book.begin([(one, None) for one in slots], [], 0)  # what is in the archive may stay
        self._do(self.library.it.free([("c", host)], before))
        self.book.acknowledge(self.book.begin([(one, None) for one in gone], [], 0), 0)

    # The store

    @rule(seconds=st.sampled_from([10, 100, 1000, 10_000, 100_000]))
    def wait(self, seconds: int) -> None:
        self.library.clock += seconds
        self._floor()

    @rule()
    def seal(self) -> None:
        self._do(self.library.it.seal())

    @rule()
    def keep(self) -> None:
        self._do(self.library.it.keep())

    @rule(which=st.integers(0), value=values, turns=st.integers(1, 3))
    def merge(self, which: int, value: float, turns: int) -> None:
        """Samples of windows next to each other, that ended, are sealed, and merged for some turns."""
        if not self.known:
            return
        samples = [self._sample(self.known[which % len(self.known)], back, 0.0, value) for back in (*FEW_BACK, 0)]
        self._send([(encode(sample), where, value) for sample, where in samples])
        self._do(self.library.it.seal())
        for _ in range(turns):
            before = self.library.it.merges
            self._do(self.library.it.merge())
            Machine.merges += self.library.it.merges - before

    @rule()
    def restart(self) -> None:
        self._do(self.library.close())
        self.library.open()
        self._serve()
        self.query()

    @rule(sealing=st.booleans())
    def crash(self, sealing: bool) -> None:
        """A kill, in the middle of sealing or not: what is done of it stays."""
        if sealing:
            with contextlib.suppress(asyncio.TimeoutError):
                self._do(asyncio.wait_for(self.library.it.seal(), 0.002))
        self.library.kill()
        self._do(asyncio.sleep(0))
        self.library.open()
        self._serve()
        self.query()

    @rule()
    def query(self) -> None:
        Machine.steps += 1
        problems = self.book.problems(self.library.found(), self.library.labels())
        assert not problems, problems[:5]
        assert self.library.it.damaged == 0

    def teardown(self) -> None:
        try:
            if self.library.engine:
                self.query()
                self._do(self.library.close())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)


def test_t4_the_store_is_a_dictionary(size: Size, seed: int, rng: random.Random, figures: Figures) -> None:
    examples, steps = size.pick(20, 200), size.pick(30, 50)
    Machine.steps = Machine.merges = 0
    # What a kill leaves depends on the moment, so that shrinking takes long and finds little: a failure is shown as it was.
    phases = [Phase.generate]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=False, database=None, deadline=None, phases=phases
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=chosen)
    figures(
        f"T4: {examples} stores of up to {steps} steps each, {Machine.merges} mergings, compared {Machine.steps:,} times: "
        "0 differences"
    )
