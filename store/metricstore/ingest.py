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
from metricwire.lineprotocol import TEXT_SHOWN, BadLine, Batch, Heads, decode, encode, encode_labels
from metricwire.lineprotocol import Limits as LineLimits
from metricwire.samples import Labels, Sample

INLINE_BYTES = 65536  # a larger body is decoded in a thread, so that other requests go on


class Receipt(NamedTuple):
    """What became of a body: samples (and labels) stored, and the lines that were not."""

    stored: int
    bad: list[BadLine]


class Refused(Exception):
    """Inside this module: why a sample cannot be kept, as a word to count by and a sentence to answer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


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

        `cluster` is for lines without that tag. `node`, where given, is the one host that may be written. Unavailable when
        nothing can be stored now: then nothing was.
        """
        now = int(self._clock())
        if len(body) > INLINE_BYTES:
            batch = await asyncio.to_thread(self._decode, body, now, cluster)
        else:
            batch = self._decode(body, now, cluster)
        bad = batch.bad
        self.received += len(batch.samples) + len(batch.labels) + len(bad) + batch.messages
        self.messages += batch.messages
        self.rejected["syntax"] += len(bad)
        columns = self._columns(batch, now, node, bad)
        labels = self._labels(batch, node, bad)
        count = len(columns.numbers) + len(labels)
        if count:
            try:
                await self._engine.write(columns, labels)
            except BaseException:
                self.unavailable += count
                raise
        self.stored += count
        return Receipt(count, sorted(bad))

    def _decode(self, body: bytes, now: int, cluster: str) -> Batch:
        return decode(body, now=now, cluster=cluster, limits=self._limits, heads=self._heads)

    def _columns(self, batch: Batch, now: int, node: str | None, bad: list[BadLine]) -> Columns:
        """The samples that can be kept; the others are added to `bad`."""
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
                self.rejected[refused.reason] += 1
                bad.append(BadLine(line, encode(sample).decode()[:TEXT_SHOWN], str(refused)))
        timestamps = np.array([sample.timestamp for sample in kept], np.int64)
        return Columns(np.array(numbers, np.uint32), timestamps, np.array([sample.value for sample in kept], np.float64))

    def _labels(self, batch: Batch, node: str | None, bad: list[BadLine]) -> list[Labels]:
        """The labels that may be set; the others are added to `bad`."""
        kept = []
        for line, labels in zip(batch.label_lines, batch.labels, strict=True):
            if node is None or labels.place.host == node:
                kept.append(labels)
            else:
                self.rejected["foreign_host"] += 1
                text = encode_labels(labels, 0).decode()[:TEXT_SHOWN]
                bad.append(BadLine(line, text, f"this token may write only the host {node}"))
        return kept

    def _number(self, sample: Sample, oldest: int, now: int, node: str | None) -> int:
        """The series to write the sample to; Refused when it may not be written or kept."""
        if node is not None and sample.series.place.host != node:
            raise Refused("foreign_host", f"this token may write only the host {node}")
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
