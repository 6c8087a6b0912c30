"""Taking batches: decode, refuse what cannot be kept and say why, store the rest."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metricstore.disk.formats import Columns
from metricstore.engine import Engine
from metricstore.settings import Settings
from metricwire.errors import TooLarge
from metricwire.exposition import reserved
from metricwire.lineprotocol import BAD_KEPT, TEXT_SHOWN, BadLine, Batch, Heads, decode, encode, encode_labels
from metricwire.lineprotocol import Limits as LineLimits
from metricwire.samples import Labels, Sample

INLINE_BYTES = 65536  # a larger body is decoded in a thread, so that other requests go on


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
    """Lines of one batch that were decoded and are not kept: the first in full, the others counted."""

    def __init__(self) -> None:
        self.bad: list[BadLine] = []
        self.reasons: Counter[str] = Counter()

    def add(self, line: int, item: Sample | Labels, refused: Refused) -> None:
        """One more."""
        self.reasons[refused.reason] += 1
        if len(self.bad) < BAD_KEPT:
            text = encode(item) if isinstance(item, Sample) else encode_labels(item, 0)
            self.bad.append(BadLine(line, text.decode()[:TEXT_SHOWN], str(refused)))


class Ingest:
    """Line protocol in, receipts out. `received` = `stored` + `messages` + `skipped` + `rejected` + `unavailable`, in lines."""

    def __init__(self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        limits = settings.metric_store.limits
        self.received = self.stored = self.messages = self.skipped = self.unavailable = 0
        self.rejected: Counter[str] = Counter()
        self._engine, self._clock, self._future = engine, clock, settings.future
        self._skip_unknown = settings.metric_store.unknown_metrics == "skip"
        self._heads = Heads()
        self._limits = LineLimits(line=limits.line_bytes, tags=limits.tags)

    async def write(self, body: bytes, cluster: str, node: str | None = None) -> Receipt:
        """Store what can be stored of the lines; returns when that is durable.

        `cluster` is for lines without that tag; BadInput when no tag could say it. `node`, where given, is the one host that
        may be written. Unavailable when nothing can be stored now: then nothing was.
        """
        now = int(self._clock())
        if len(body) > INLINE_BYTES:
            batch = await asyncio.to_thread(self._decode, body, now, cluster)
        else:
            batch = self._decode(body, now, cluster)
        self.received += len(batch.samples) + len(batch.labels) + batch.bad_count + batch.messages
        self.messages += batch.messages
        self.rejected["syntax"] += batch.bad_count
        refusals = Refusals()
        columns = self._columns(batch, now, node, refusals)
        labels, known = self._labels(batch, node, refusals)
        self.rejected += refusals.reasons
        count = len(columns.numbers) + len(labels) + known
        if len(columns.numbers) or labels:
            try:
                await self._engine.write(columns, labels)
            except BaseException:
                self.unavailable += count
                raise
        self.stored += count
        return Receipt(count, sorted(batch.bad + refusals.bad)[:BAD_KEPT], batch.bad_count + refusals.reasons.total())

    def _decode(self, body: bytes, now: int, cluster: str) -> Batch:
        return decode(body, now=now, cluster=cluster, limits=self._limits, heads=self._heads)

    def _columns(self, batch: Batch, now: int, node: str | None, refusals: Refusals) -> Columns:
        """The samples that can be kept; the others are added to `refusals`."""
        numbers, kept = [], []
        oldest = self._engine.oldest
        for line, sample in zip(batch.sample_lines, batch.samples, strict=True):
            if self._skip_unknown and not self._engine.metrics.declared(sample.series.metric):
                self.skipped += 1
                continue
            try:
                numbers.append(self._number(sample, oldest, now, node))
                kept.append(sample)
            except Refused as refused:
                refusals.add(line, sample, refused)
        timestamps = np.array([sample.timestamp for sample in kept], np.int64)
        return Columns(np.array(numbers, np.uint32), timestamps, np.array([sample.value for sample in kept], np.float64))

    def _labels(self, batch: Batch, node: str | None, refusals: Refusals) -> tuple[list[Labels], int]:
        """The labels to set, and how many are set already; those that may not be are added to `refusals`."""
        kept, known = [], 0
        for line, labels in zip(batch.label_lines, batch.labels, strict=True):
            try:
                if node is not None and labels.place.host != node:
                    raise Refused("foreign_host", f"this token may write only the host {node}")
                if self._engine.registry.check_labels(labels):
                    kept.append(labels)
                else:
                    known += 1
            except TooLarge as error:
                refusals.add(line, labels, Refused("label_limit", str(error)))
            except Refused as refused:
                refusals.add(line, labels, refused)
        return kept, known

    def _number(self, sample: Sample, oldest: int, now: int, node: str | None) -> int:
        """The series to write the sample to; Refused when it may not be written or kept."""
        if node is not None and sample.series.place.host != node:
            raise Refused("foreign_host", f"this token may write only the host {node}")
        if reserved(sample.series.metric):
            raise Refused("reserved_name", "metrics with this prefix are what a program says of itself in its /metrics")
        if sample.timestamp > now + self._future:
            ahead = sample.timestamp - now
            raise Refused(
                "future", f"timestamp is {ahead} s ahead of the store's clock, more than future-limit ({self._future} s)"
            )
        if sample.timestamp < oldest:
            kept = self._engine.retention
            raise Refused("past", f"timestamp is older than what is kept: {kept} s (retention-in-memory)")
        try:
            return self._engine.number(sample.series)
        except TooLarge as error:
            raise Refused("series_limit", str(error)) from None
