"""Taking batches: decode, refuse what cannot be kept and say why, store the rest."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from metricstore.crowd import Crowd
from metricstore.disk.commits import NO_SAMPLES
from metricstore.disk.formats import Columns
from metricstore.engine import Engine
from metricstore.numeric.kernels import COMPILED, SKIP, Closed, HeadTable, Lines
from metricstore.settings import Settings
from metricstore.taken import Refused, Taken, bad_line, pieces
from metricwire.errors import TooLarge
from metricwire.lineprotocol import BadLine, Batch, Decoder, Heads, decode, series_of
from metricwire.lineprotocol import Limits as LineLimits
from metricwire.samples import Labels, Place, SeriesKey

PIECE_BYTES = 65536  # lines of unusual form, or of new series, that are taken between two turns of others
CROWD = 1 / 8  # of the memory limit, for bodies with more of them
TABLES_MAX = 8192  # pairs of default cluster and writing node whose heads are known
HEAD_BYTES_MAX = 256 * 1024**2  # of all heads that are known
HEAD_LONGEST = 1024  # a longer one is decoded every time


class Receipt(NamedTuple):
    """What became of a body: samples (and labels) stored, the first of the lines that were not, and how many these are."""

    stored: int
    bad: list[BadLine]
    rejected: int


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
        self._crowd = Crowd(int(limits.memory * CROWD))
        self._limits = LineLimits(line=limits.line_bytes, tags=limits.tags)
        self._tables = Tables(self._limits)

    async def write(self, body: bytes, cluster: str, node: str | None = None, influx_unit: int = 0) -> Receipt:
        """Store what can be stored of the lines; returns when that is durable.

        `cluster` is for lines without that tag; BadInput when no tag could say it. `node`, where given, is the one host that
        may be written. `influx_unit`: see metricwire.lineprotocol. Unavailable when nothing can be stored now: nothing was.
        """
        now = int(self._clock())
        decoder = usual = None
        if not COMPILED or influx_unit or b'"' in body:
            heads = None if COMPILED and not influx_unit else self._heads
            decoder = Decoder(now=now, cluster=cluster, limits=self._limits, heads=heads, influx_unit=influx_unit)
        else:
            usual = self._usual(self._tables.of(cluster, node), body, cluster, node, now)
            if not usual.others:
                return await self._keep(body, usual)
        taken, size = Taken(body), max(PIECE_BYTES, self._limits.line)
        with self._engine.taking():  # series are numbered now, and written a little later
            if len(body) <= size:
                self._take(taken, (0, body, True), decoder, cluster, node, now, usual)
                return await self._keep_taken(taken)
            del usual  # of a long body it is much
            with self._crowd.room(len(body)):
                for piece in pieces(body, size):
                    async with self._crowd.turn():
                        self._take(taken, piece, decoder, cluster, node, now)
                return await self._keep_taken(taken)

    def _take(
        self,
        taken: Taken,
        piece: tuple[int, bytes, bool],
        decoder: Decoder | None,
        cluster: str,
        node: str | None,
        now: int,
        usual: Lines | None = None,
    ) -> None:
        """One piece, by the decoder of the body where it has one; else by the kernel, which may have made `usual` of it."""
        before, lines, last = piece
        if decoder is None:
            usual = self._learnt(lines, cluster, node, now, usual)
            bad = [one._replace(number=one.number + before) for one in self._counted(lines, usual)]
            batch = _left(lines, usual, before, partial(decode, now=now, cluster=cluster, limits=self._limits))
            usual = usual._replace(lines=usual.lines + np.uint32(before))
        else:
            usual, bad = _NO_LINES, []
            decoder.feed(lines)
            if last:
                decoder.close()
            batch, decoder.batch = decoder.batch, Batch()
        self.received += len(batch.samples) + len(batch.labels) + batch.bad_count + batch.messages
        self.messages += batch.messages
        self.rejected["syntax"] += batch.bad_count
        given = self._numbers(batch, now, node, taken)
        self._labels(batch, node, taken)
        taken.end_piece(_merged(usual, batch, given), bad + batch.bad, usual.refused_count + batch.bad_count)

    async def _keep_taken(self, taken: Taken) -> Receipt:
        """Store what was taken of a body in pieces."""
        count = taken.count
        await self._store(Columns.joined(taken.columns), list(taken.labels.values()), count)
        return Receipt(count, taken.bad, taken.rejected)

    def _learnt(self, body: bytes, cluster: str, node: str | None, now: int, usual: Lines | None) -> Lines:
        """What the kernel makes of the lines once it knows their heads; `usual`: what it made of them before, if it has."""
        if usual is None:
            usual = self._usual(self._tables.of(cluster, node), body, cluster, node, now)
        fresh = dict.fromkeys([body[start:end] for _, start, end in usual.fresh])
        table = self._learn(fresh, cluster, node) if fresh else None
        return self._usual(table, body, cluster, node, now) if table else usual

    def _usual(self, table: HeadTable, body: bytes, cluster: str, node: str | None, now: int) -> Lines:
        """What the kernel makes of the body."""
        closed = self._closed(cluster, node)
        return table.decode(body, now, self._engine.oldest, now + self._future, self._engine.alive, closed)

    def _counted(self, body: bytes, usual: Lines) -> list[BadLine]:
        """The first of the lines that the kernel refused; all are counted."""
        self.received += len(usual.numbers) + usual.skipped + usual.refused_count
        self.skipped += usual.skipped
        self.rejected["series_limit"] += usual.refused_count
        return [bad_line(line, body[start:end], self._engine.full) for line, start, end in usual.refused]

    async def _keep(self, body: bytes, usual: Lines) -> Receipt:
        """Store what the kernel took, which is the whole body."""
        bad = self._counted(body, usual)
        columns = Columns(usual.numbers, usual.timestamps, usual.values)
        await self._store(columns, [], len(columns.numbers))
        return Receipt(len(columns.numbers), bad, usual.refused_count)

    def _learn(self, heads: Iterable[bytes], cluster: str, node: str | None) -> HeadTable | None:
        """Number the series of heads, as far as they may be written; the table that has these, None where there are none."""
        known = []
        for head in heads:
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

    def _numbers(self, batch: Batch, now: int, node: str | None, taken: Taken) -> list[int]:
        """The series of each sample; SKIP for those that are skipped, or refused."""
        given = []
        oldest = self._engine.oldest
        for line, sample in zip(batch.sample_lines, batch.samples, strict=True):
            number = SKIP
            if self._skip_unknown and not self._engine.metrics.declared(sample.series.metric):
                self.skipped += 1
            else:
                try:
                    self._check_time(sample.timestamp, oldest, now)
                    number = self._number(sample.series, node)
                except Refused as refused:
                    self._refuse(line, refused, taken)
            given.append(number)
        return given

    def _labels(self, batch: Batch, node: str | None, taken: Taken) -> None:
        """The labels to set, unless they are set already or may not be."""
        for line, labels in zip(batch.label_lines, batch.labels, strict=True):
            try:
                self._check_place(labels.place, node)
                more = self._engine.registry.check_labels(labels, taken.label_bytes)
            except TooLarge as error:
                self._refuse(line, Refused("label_limit", str(error)), taken)
            except Refused as refused:
                self._refuse(line, refused, taken)
            else:
                taken.label_lines += 1
                if more is not None:
                    taken.labels[labels.place.path] = labels
                    taken.label_bytes += more

    def _refuse(self, line: int, refused: Refused, taken: Taken) -> None:
        self.rejected[refused.reason] += 1
        taken.refuse(line, str(refused))

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


def _left(body: bytes, usual: Lines, before: int, read: Callable[[bytes], Batch]) -> Batch:
    """What the lines that the kernel left hold, by their number in the body that has so many lines before."""
    batch = read(b"\n".join([body[start:end] for _, start, end in usual.others]))
    numbers = [before + first + n for first, start, end in usual.others for n in range(body.count(b"\n", start, end) + 1)]
    batch.sample_lines = [numbers[line - 1] for line in batch.sample_lines]
    batch.label_lines = [numbers[line - 1] for line in batch.label_lines]
    batch.bad = [bad._replace(number=numbers[bad.number - 1]) for bad in batch.bad]
    return batch


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
