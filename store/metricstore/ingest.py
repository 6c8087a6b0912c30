"""Taking batches: decode, refuse what cannot be kept and say why, store the rest."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from metricstore.disk.commits import NO_SAMPLES
from metricstore.disk.formats import Columns
from metricstore.engine import Engine
from metricstore.numeric.kernels import COMPILED, NAMED, SKIP, Closed, HeadTable, Lines
from metricstore.settings import Settings
from metricwire.errors import TooLarge
from metricwire.lineprotocol import TEXT_SHOWN, BadLine, Batch, Heads, decode, series_of
from metricwire.lineprotocol import Limits as LineLimits
from metricwire.samples import Labels, Place, SeriesKey

INLINE_BYTES = 65536  # lines that the kernel leaves are decoded in a thread when they are more, so that other requests go on
TURN_LINES = 1000  # whose series are looked for between two turns of others
TABLES_MAX = 8192  # pairs of default cluster and writing node whose heads are known
HEAD_BYTES_MAX = 256 * 1024**2  # of all heads that are known
HEAD_LONGEST = 1024  # a longer one is decoded every time


class Receipt(NamedTuple):
    """What became of a body: samples (and labels) stored, the first of the lines that were not, and how many these are."""

    stored: int
    bad: list[BadLine]
    rejected: int


class Refused(Exception):
    """Inside this module: why a sample cannot be kept, as a word to count by and a sentence to answer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Refusals:
    """Of the lines of one batch, those that were decoded and are not kept: the first are named, the others counted."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.bad: list[BadLine] = []
        self.reasons: Counter[str] = Counter()
        self._lines = lines

    def add(self, line: int, refused: Refused) -> None:
        """One more."""
        self.reasons[refused.reason] += 1
        if len(self.bad) < NAMED:
            self.bad.append(_bad_line(line, self._lines[line - 1], str(refused)))


class Tables:
    """Heads of lines by default cluster and by the one host that may be written: what is known has been allowed before.

    Bounded by the number of tables and by the bytes of heads: at a bound all are forgotten.
    """

    def __init__(self, limits: LineLimits) -> None:
        self._limits = limits
        self._tables: dict[tuple[str, str | None], HeadTable] = {}
        self._bytes = 0

    def of(self, cluster: str, node: str | None) -> HeadTable:
        """The table; BadInput when no tag could name the cluster."""
        found = self._tables.get((cluster, node))
        if found is None:
            decode(b"", now=0, cluster=cluster, limits=self._limits)
            found = HeadTable(self._limits.line)
        return found

    def add(self, cluster: str, node: str | None, known: Sequence[tuple[bytes, int]]) -> HeadTable:
        """Remember what these heads mean; the table that does."""
        size = sum(len(head) for head, _ in known)
        one_more = (cluster, node) not in self._tables
        if self._bytes + size > HEAD_BYTES_MAX or (one_more and len(self._tables) >= TABLES_MAX):
            self._tables, self._bytes = {}, 0
        table = self._tables.setdefault((cluster, node), self.of(cluster, node))
        self._bytes += size
        for head, number in known:
            table.add(head, number)
        return table


class Ingest:
    """Line protocol in, receipts out. `received` = `stored` + `messages` + `skipped` + `rejected` + `unavailable`, in lines.

    Lines of the usual form are decoded by the kernel, whose table learns the heads that it lacks first; every other line, and
    those that are refused, by the reference decoder, in the order of the body.
    """

    def __init__(self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        limits = settings.metric_store.limits
        self.received = self.stored = self.messages = self.skipped = self.unavailable = 0
        self.rejected: Counter[str] = Counter()
        self._engine, self._clock, self._future = engine, clock, settings.future
        self._cluster = settings.metric_store.cluster
        self._skip_unknown = settings.metric_store.unknown_metrics == "skip"
        self._heads = Heads()
        self._limits = LineLimits(line=limits.line_bytes, tags=limits.tags)
        self._tables = Tables(self._limits)

    async def write(self, body: bytes, cluster: str, node: str | None = None, influx_unit: int = 0) -> Receipt:
        """Store what can be stored of the lines; returns when that is durable.

        `cluster` is for lines without that tag; BadInput when no tag could say it. `node`, where given, is the one host that
        may be written. `influx_unit`: see metricwire.lineprotocol. Unavailable when nothing can be stored now: nothing was.
        """
        now = int(self._clock())
        table = None if not COMPILED or influx_unit or b'"' in body else self._tables.of(cluster, node)
        usual = _NO_LINES if table is None else self._usual(table, body, cluster, node, now)
        if table is not None and not usual.others:
            return await self._keep(body, usual)
        with self._engine.taking():  # series are numbered now, and written a little later
            fresh = dict.fromkeys([body[start:end] for _, start, end in usual.fresh])
            if fresh and (table := await self._learn(fresh, cluster, node)):
                usual = self._usual(table, body, cluster, node, now)
                if not usual.others:
                    return await self._keep(body, usual)
            bad = self._counted(body, usual)
            rest, numbers = (body, None) if usual is _NO_LINES else _left(body, usual)
            batch = await self._decode(rest, now, cluster, influx_unit)
            self.received += len(batch.samples) + len(batch.labels) + batch.bad_count + batch.messages
            self.messages += batch.messages
            self.rejected["syntax"] += batch.bad_count
            refusals = Refusals(rest.split(b"\n"))
            given = await self._numbers(batch, now, node, refusals)
            labels, known = self._labels(batch, node, refusals)
            batch.bad += refusals.bad
            if numbers is not None:
                _renumber(batch, numbers)
            columns = _merged(usual, batch, given)
            self.rejected += refusals.reasons
            count = len(columns.numbers) + len(labels) + known
            await self._store(columns, labels, count)
        rejected = usual.refused_count + batch.bad_count + refusals.reasons.total()
        return Receipt(count, sorted(bad + batch.bad)[:NAMED], rejected)

    def _usual(self, table: HeadTable, body: bytes, cluster: str, node: str | None, now: int) -> Lines:
        """What the kernel makes of the body."""
        closed = self._closed(cluster, node)
        return table.decode(body, now, self._engine.oldest, now + self._future, self._engine.alive, closed)

    def _counted(self, body: bytes, usual: Lines) -> list[BadLine]:
        """The first of the lines that the kernel refused; all are counted."""
        self.received += len(usual.numbers) + usual.skipped + usual.refused_count
        self.skipped += usual.skipped
        self.rejected["series_limit"] += usual.refused_count
        return [_bad_line(line, body[start:end], self._engine.full) for line, start, end in usual.refused]

    async def _keep(self, body: bytes, usual: Lines) -> Receipt:
        """Store what the kernel took, which is the whole body."""
        bad = self._counted(body, usual)
        columns = Columns(usual.numbers, usual.timestamps, usual.values)
        await self._store(columns, [], len(columns.numbers))
        return Receipt(len(columns.numbers), bad, usual.refused_count)

    async def _learn(self, heads: Iterable[bytes], cluster: str, node: str | None) -> HeadTable | None:
        """Number the series of heads, as far as they may be written; the table that has these, None where there are none."""
        known = []
        for at, head in enumerate(heads):
            if at % TURN_LINES == TURN_LINES - 1:
                await asyncio.sleep(0)
            series = series_of(head, cluster, self._limits) if len(head) <= HEAD_LONGEST else None
            if series and not (self._skip_unknown and not self._engine.metrics.declared(series.metric)):
                try:
                    known.append((head, self._number(series, node)))
                except Refused:  # said again, and told, for each of its lines
                    continue
        return self._tables.add(cluster, node, known) if known else None

    def _closed(self, cluster: str, node: str | None) -> Closed | None:
        """What lines are refused by while no series can be started, and nothing has to be known of them besides."""
        if self._skip_unknown or not self._engine.full:
            return None
        only = self._cluster if node else ""
        host, limits = node or "", self._limits
        fingerprints = self._engine.registry.fingerprints
        return Closed(fingerprints, cluster.encode(), host.encode(), only.encode(), limits.tags, limits.name)

    async def _store(self, columns: Columns, labels: list[Labels], count: int) -> None:
        if len(columns.numbers) or labels:
            try:
                await self._engine.write(columns, labels)
            except BaseException:
                self.unavailable += count
                raise
        self.stored += count

    async def _decode(self, body: bytes, now: int, cluster: str, influx_unit: int) -> Batch:
        """By the reference decoder."""
        heads = None if COMPILED and not influx_unit else self._heads
        work = partial(decode, body, now=now, cluster=cluster, limits=self._limits, heads=heads, influx_unit=influx_unit)
        return await asyncio.to_thread(work) if len(body) > INLINE_BYTES else work()

    async def _numbers(self, batch: Batch, now: int, node: str | None, refusals: Refusals) -> list[int]:
        """The series of each sample; SKIP for those that are skipped, or not kept and added to `refusals`."""
        given = []
        oldest = self._engine.oldest
        for at, (line, sample) in enumerate(zip(batch.sample_lines, batch.samples, strict=True)):
            if at % TURN_LINES == TURN_LINES - 1:
                await asyncio.sleep(0)
            number = SKIP
            if self._skip_unknown and not self._engine.metrics.declared(sample.series.metric):
                self.skipped += 1
            else:
                try:
                    self._check_time(sample.timestamp, oldest, now)
                    number = self._number(sample.series, node)
                except Refused as refused:
                    refusals.add(line, refused)
            given.append(number)
        return given

    def _labels(self, batch: Batch, node: str | None, refusals: Refusals) -> tuple[list[Labels], int]:
        """The labels to set, and how many are set already; those that may not be are added to `refusals`."""
        kept, known = [], 0
        for line, labels in zip(batch.label_lines, batch.labels, strict=True):
            try:
                self._check_place(labels.place, node)
                if self._engine.registry.check_labels(labels):
                    kept.append(labels)
                else:
                    known += 1
            except TooLarge as error:
                refusals.add(line, Refused("label_limit", str(error)))
            except Refused as refused:
                refusals.add(line, refused)
        return kept, known

    def _check_place(self, place: Place, node: str | None) -> None:
        """Refused where only that node may be written, and only in the cluster of the settings, if they name one."""
        if node is None:
            return
        if place.host != node:
            raise Refused("foreign_host", f"this token may write only the host {node}")
        if self._cluster and place.cluster != self._cluster:
            raise Refused("foreign_cluster", f"this token may write only the cluster {self._cluster}")

    def _check_time(self, timestamp: int, oldest: int, now: int) -> None:
        if timestamp > now + self._future:
            ahead = timestamp - now
            raise Refused(
                "future", f"timestamp is {ahead} s ahead of the store's clock, more than future-limit ({self._future} s)"
            )
        if timestamp < oldest:
            kept = self._engine.retention
            raise Refused("past", f"timestamp is older than what is kept: {kept} s (retention-on-disk)")

    def _number(self, series: SeriesKey, node: str | None) -> int:
        """The number of the series; Refused when it may not be written or kept."""
        self._check_place(series.place, node)
        try:
            return self._engine.number(series)
        except TooLarge as error:
            raise Refused("series_limit", str(error)) from None


_NO_LINES = Lines(*NO_SAMPLES, np.zeros(0, np.uint32), 0, [], 0, [], 0, [])


def _left(body: bytes, usual: Lines) -> tuple[bytes, list[int] | None]:
    """The lines that the kernel left, and the number of each in the body."""
    if not usual.others:
        return b"", None
    numbers = [first + n for first, start, end in usual.others for n in range(body.count(b"\n", start, end) + 1)]
    return b"\n".join([body[start:end] for _, start, end in usual.others]), numbers


def _renumber(batch: Batch, numbers: Sequence[int]) -> None:
    """Let the batch's lines have these numbers instead of 1, 2 ..."""
    batch.sample_lines = [numbers[line - 1] for line in batch.sample_lines]
    batch.label_lines = [numbers[line - 1] for line in batch.label_lines]
    batch.bad = [bad._replace(number=numbers[bad.number - 1]) for bad in batch.bad]


def _bad_line(number: int, line: bytes, why: str) -> BadLine:
    return BadLine(number, line[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN], why)


def _merged(usual: Lines, batch: Batch, given: Sequence[int]) -> Columns:
    """What the kernel took and what the reference decoder took, in the order of the lines: the last write wins."""
    kept = [at for at, number in enumerate(given) if number != SKIP]
    numbers = np.array([given[at] for at in kept], np.uint32)
    timestamps = np.array([batch.samples[at].timestamp for at in kept], np.int64)
    more = Columns(numbers, timestamps, np.array([batch.samples[at].value for at in kept], np.float64))
    if not len(usual.numbers):
        return more
    lines = np.array([batch.sample_lines[at] for at in kept], np.uint32)
    order = np.argsort(np.concatenate([usual.lines, lines]), kind="stable")
    return Columns.joined([Columns(usual.numbers, usual.timestamps, usual.values), more]).at(order)
