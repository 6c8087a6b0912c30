"""The ledger client: it knows of every line it sent what became of it, and checks the store's answers against that.

A value is a function of seed, series and slot, so nothing has to be remembered but one byte per slot. After a restart: every
acknowledged value is there bit for bit, no refused one, one without an answer is there as sent or absent, and nothing else.
"""

import enum
import http.client
import json
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chaos.program import Program

WRITERS = 4
THREADS = 30  # series of one writer: hwthreads of its host
STEPS = 10  # slots of one batch: 300 lines
SLOTS = 160_000  # of a series, one second each: less than the retention of 48 h
BATCHES = SLOTS // STEPS
BAD_EVERY = 4  # every so many batches two lines among the good ones must be refused by name
PIECE = 20_000  # slots that one query of a check asks for

Values = npt.NDArray[np.float64]


class Fate(enum.IntEnum):
    """What became of a line."""

    UNSENT = 0
    ACKNOWLEDGED = 1
    REFUSED = 2
    UNKNOWN = 3  # no answer came


class Batch(NamedTuple):
    """Slots [number * STEPS, ...) of all series of one host."""

    host: int
    number: int

    @property
    def steps(self) -> slice:
        return slice(self.number * STEPS, (self.number + 1) * STEPS)


@dataclass
class Verdict:
    """How many slots were looked at, and what was found there."""

    acknowledged: int = 0
    lost: int = 0  # acknowledged and absent
    changed: int = 0  # another value than was sent
    invented: int = 0  # a value where nothing was sent, or what was sent was refused
    unknown_there: int = 0
    unknown_absent: int = 0

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def clean(self) -> bool:
        return not (self.lost or self.changed or self.invented)

    def __str__(self) -> str:
        unknown = f"without an answer {self.unknown_there + self.unknown_absent:,} ({self.unknown_there:,} there)"
        bad = f"{self.lost} lost, {self.changed} changed, {self.invented} invented"
        return f"{self.acknowledged:,} acknowledged values checked, {unknown}, {bad}"


@dataclass
class Ledger:
    """All that was sent to one store under one seed; `start` is the time of slot 0, the cluster is `c`, the metric `m`."""

    seed: int
    start: int = field(default_factory=lambda: int(time.time()) - SLOTS - 600)
    hosts: int = WRITERS

    def __post_init__(self) -> None:
        self.fate = np.zeros((self.hosts, SLOTS), np.uint8)  # of all series of the host: a batch has them all
        self.unanswered: list[Batch] = []
        self.next = [0] * self.hosts  # batch of each host to be sent next
        self.batches: dict[Fate, int] = dict.fromkeys(Fate, 0)
        self.latencies: list[float] = []  # of the acknowledged, in seconds

    # What is sent

    def values(self, host: int, steps: slice) -> Values:
        """[slot, series]: integers, values with three decimals, and ones that use every bit, as measured series have them."""
        slot = np.arange(steps.start, steps.stop, dtype=np.uint64)[:, None]
        series = np.arange(host * THREADS, (host + 1) * THREADS, dtype=np.uint64)[None, :]
        found = _mixed(_mixed(_mixed(np.uint64(self.seed) + np.zeros_like(series)) + series) + slot)
        whole = (found >> np.uint64(40)).astype(np.float64)
        every = (found >> np.uint64(11)).astype(np.float64) * 2.0**-37 - 30_000_000.0
        kind = found & np.uint64(3)
        return np.where(kind == 0, whole, np.where(kind == 1, np.round(whole / 1000, 3), every))

    def body(self, batch: Batch) -> tuple[bytes, list[int]]:
        """The batch as line protocol, and the numbers of the lines in it that must be refused."""
        values = self.values(batch.host, batch.steps).tolist()
        heads = [f"m,cluster=c,hostname=h{batch.host},type=hwthread,type-id={thread} value=" for thread in range(THREADS)]
        times = range(self.start + batch.steps.start, self.start + batch.steps.stop)
        lines = [
            f"{head}{value!r} {at}"
            for at, row in zip(times, values, strict=True)
            for head, value in zip(heads, row, strict=True)
        ]
        bad = []
        if batch.number % BAD_EVERY == 0:
            bad = [100, 201]
            lines.insert(99, f"stray,cluster=c,hostname=h{batch.host} value=1 {int(time.time()) + 400 * 86400}")
            lines.insert(200, f"stray,cluster=c,hostname=h{batch.host} value=one {times[0]}")
        return "\n".join(lines).encode(), bad

    def take(self, host: int) -> Batch | None:
        """The next batch of that host; None when its slots are used up."""
        number = self.next[host]
        self.next[host] += 1
        return Batch(host, number) if number < BATCHES else None

    def take_unanswered(self, rng: random.Random) -> list[Batch]:
        """About half of the batches without an answer, to be sent again, as agents do; the others are left as they are."""
        again = [batch for batch in self.unanswered if rng.random() < 0.5]
        self.unanswered.clear()
        return again

    def note(self, batch: Batch, fate: Fate) -> None:
        """What became of the batch."""
        self.batches[fate] += 1
        if fate is Fate.UNKNOWN:
            self.unanswered.append(batch)
        if fate is Fate.REFUSED and (self.fate[batch.host, batch.steps] != Fate.UNSENT).any():
            return  # sent before: then it may be there
        self.fate[batch.host, batch.steps] = fate

    # What is there

    def check(self, store: Program, hosts: Iterable[int] | None = None, steps: slice | None = None) -> Verdict:
        """Compare these slots, all by default, with what the store answers."""
        found = Verdict()
        for host in range(self.hosts) if hosts is None else hosts:
            end = min(SLOTS, (self.next[host] + 1) * STEPS)
            for at in range(*(steps or slice(0, end)).indices(end)[:2], PIECE):
                piece = slice(at, min(at + PIECE, (steps or slice(0, end)).indices(end)[1]))
                there = self.ask(store, host, piece)
                found += self.compare(host, piece, self.fate[host, piece].copy(), there)
            found.invented += self._strays(store, host)
        return found

    def ask(self, store: Program, host: int, steps: slice) -> Values:
        """[slot, series] as the store answers them, NaN where it has nothing."""
        queries = [{"metric": "m", "host": f"h{host}", "type": "hwthread", "type-ids": [str(n)]} for n in range(THREADS)]
        asked = {"cluster": "c", "from": self.start + steps.start, "to": self.start + steps.stop, "queries": queries}
        answer = store.ask("POST", "/api/query", json.dumps(asked | {"with-padding": False, "with-stats": False}))
        assert answer.status == 200, answer.text[:500]
        there = np.full((steps.stop - steps.start, THREADS), np.nan)
        for thread, row in enumerate(answer.json["results"]):
            for entry in row:
                assert not entry.get("error"), entry
                data = np.array(entry.get("data", []), np.float64)
                at = entry["from"] - self.start - steps.start
                assert at >= 0 or not len(data), "values from before the time asked for"
                there[at : at + len(data), thread] = data
        return there

    def compare(self, host: int, steps: slice, fate: npt.NDArray[np.uint8], there: Values) -> Verdict:
        """The verdict on an answer, the slots' fates being as given."""
        sent = self.values(host, steps)
        absent, equal = np.isnan(there), there == sent
        acknowledged, unknown = ((fate == which)[:, None] for which in (Fate.ACKNOWLEDGED, Fate.UNKNOWN))
        never = ~(acknowledged | unknown)
        return Verdict(
            acknowledged=int(acknowledged.sum()) * THREADS,
            lost=int((acknowledged & absent).sum()),
            changed=int(((acknowledged | unknown) & ~absent & ~equal).sum()),
            invented=int((never & ~absent).sum()),
            unknown_there=int((unknown & equal).sum()),
            unknown_absent=int((unknown & absent).sum()),
        )

    def _strays(self, store: Program, host: int) -> int:
        """1 if there is something of the series that only lines refused by name were of."""
        asked = {"cluster": "c", "from": self.start, "to": int(time.time()) + 500 * 86400, "with-data": False}
        queries = [{"metric": "stray", "host": f"h{host}"}]
        answer = store.ask("POST", "/api/query", json.dumps(asked | {"queries": queries, "with-padding": False}))
        assert answer.status == 200, answer.text[:500]
        return sum("error" not in entry for entry in answer.json["results"][0])


class Writer(threading.Thread):
    """Sends one host's batches one after another until `stop` is set or the store is gone."""

    def __init__(self, store: Program, ledger: Ledger, host: int, again: Sequence[Batch] = (), pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.acknowledged = 0  # batches
        self.failure: BaseException | None = None
        self._port, self._ledger, self._host, self._again, self._pause = store.port, ledger, host, list(again), pause

    def run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - raised again by `finish`
            self.failure = error

    def _send_all(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            while not self.stop.is_set():
                batch = self._again.pop() if self._again else self._ledger.take(self._host)
                if batch is None:
                    return
                begun = time.monotonic()
                fate = self._send(connection, batch)
                self._ledger.note(batch, fate)
                if fate is Fate.UNKNOWN:
                    return
                if fate is Fate.ACKNOWLEDGED:
                    self._ledger.latencies.append(time.monotonic() - begun)
                    self.acknowledged += 1
                self.stop.wait(self._pause)
        finally:
            self._ledger.unanswered += self._again
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, batch: Batch) -> Fate:
        body, bad = self._ledger.body(batch)
        try:
            if connection.sock is None:
                connection.connect()
        except OSError:
            self.stop.set()
            return Fate.REFUSED  # nobody there to take it
        try:
            connection.request("POST", "/api/write", body)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return Fate.UNKNOWN
        if answer.status in (429, 503):
            assert answer.headers["Retry-After"], "refused for now, and not said until when"
            return Fate.REFUSED
        if bad:
            assert answer.status == 400, (answer.status, text[:500])
            assert [line["line"] for line in json.loads(text)["rejected"]] == bad, text[:500]
        else:
            assert answer.status == 200, (answer.status, text[:500])
        return Fate.ACKNOWLEDGED

    def finish(self) -> None:
        """Wait for its end; what surprised it is raised."""
        self.join()
        if self.failure is not None:
            raise self.failure


class Reader(threading.Thread):
    """Asks for what was acknowledged last, until `stop` is set or the store is gone: a reader sees what a writer was told."""

    def __init__(self, store: Program, ledger: Ledger, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.verdict = Verdict()
        self._store, self._ledger, self._rng = store, ledger, rng

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self._look()
                self.stop.wait(0.02)
        except (OSError, http.client.HTTPException):
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `finish`
            self.failure = error

    def _look(self) -> None:
        host = self._rng.randrange(self._ledger.hosts)
        end = min(SLOTS, (self._ledger.next[host] + 2) * STEPS)
        steps = slice(max(0, end - 20 * STEPS), end)
        before = self._ledger.fate[host, steps].copy()
        there = self._ledger.ask(self._store, host, steps)
        now = self._ledger.fate[host, steps].copy()
        moving = (before == Fate.UNSENT) & (np.arange(steps.start, steps.stop) < self._ledger.next[host] * STEPS)
        before[moving | (now != before)] = np.where(before == Fate.ACKNOWLEDGED, before, Fate.UNKNOWN)[moving | (now != before)]
        self.verdict += self._ledger.compare(host, steps, before, there)

    finish = Writer.finish


@dataclass
class Load:
    """Writers and a reader beside them on a running store."""

    store: Program
    ledger: Ledger
    rng: random.Random
    pause: float = 0.0
    writers: list[Writer] = field(default_factory=list)
    reader: Reader | None = None

    def begin(self) -> "Load":
        again = self.ledger.take_unanswered(self.rng)
        for host in range(self.ledger.hosts):
            mine = [batch for batch in again if batch.host == host]
            self.writers.append(Writer(self.store, self.ledger, host, mine, self.pause))
        self.reader = Reader(self.store, self.ledger, random.Random(self.rng.random()))
        for one in (*self.writers, self.reader):
            one.start()
        return self

    def await_acknowledged(self, batches: int) -> None:
        """Wait until each writer had so many acknowledged."""
        deadline = time.monotonic() + 60
        while any(writer.acknowledged < batches and writer.is_alive() for writer in self.writers):
            assert time.monotonic() < deadline, "nothing is acknowledged"
            time.sleep(0.002)

    def finish(self) -> Verdict:
        """Stop all of them; what the reader found."""
        assert self.reader is not None
        for one in (*self.writers, self.reader):
            one.stop.set()
        for one in (*self.writers, self.reader):
            one.finish()
        return self.reader.verdict


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: every input bit moves every output bit."""
    with np.errstate(over="ignore"):
        found = values + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return found ^ (found >> np.uint64(31))
