"""`metricscluster store import`: what a retired cc-metric-store left goes to a running store, with the timestamps it has.

Doing it again does no harm: the last write of a slot counts, and it is the same one.
"""

import argparse
import json
import re
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from metricscluster.client import Client, reason
from metricscluster.progress import Progress
from metricscluster.terminal import printable
from metricstore.disk.formats import Damaged
from metricstore.legacy import folder
from metricstore.legacy.folder import Source
from metricstore.legacy.levels import Series
from metricwire.errors import BadInput, MetricsError
from metricwire.lineprotocol import encode_head

BATCH_BYTES = 1024**2
REASONS_SHOWN = 20
_NUMBER = re.compile(r"[0-9]+")


@dataclass(slots=True)
class Books:
    """read = stored + refused + not sendable."""

    files: int = 0
    damaged: int = 0
    read: int = 0
    stored: int = 0
    refused: int = 0
    unsendable: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether all that was there is now in the store."""
        return not (self.damaged or self.refused or self.unsendable)


def run(arguments: argparse.Namespace) -> int:
    """Import; 0 when all of it is stored, 1 when something is not."""
    sources = _sources(arguments.folder)
    client = None if arguments.dry_run else Client(arguments.url, arguments.token_file, arguments.ca_file)
    books = Books()
    with closing(Sender(client, books)) as sender, Progress("importing", sum(s.size for s in sources), sys.stderr) as progress:
        for source in sources:
            _import(source, sender, books)
            progress.add(source.size, f"{books.read} samples")
        sender.flush()
    _report(books, arguments.dry_run)
    return 0 if books.complete else 1


def _sources(path: Path) -> list[Source]:
    try:
        found = folder.find(path)
    except OSError as error:
        raise BadInput(f"cannot read {error.filename}: {error.strerror}") from error
    if not found:
        raise BadInput(f"cannot find checkpoints, write-ahead logs or archives of cc-metric-store in {path}")
    return found


def _import(source: Source, sender: "Sender", books: Books) -> None:
    books.files += 1
    try:
        for series in folder.read(source):
            sender.add(series)
    except (Damaged, OSError) as error:
        books.damaged += 1
        print(printable(f"cannot read all of {source.path}: {error}"), file=sys.stderr)


def _report(books: Books, dry: bool) -> None:
    print(f"read {books.read} samples from {books.files} files, {books.damaged} of them damaged")
    if dry:
        return
    print(f"stored {books.stored}, refused {books.refused}, not to be sent {books.unsendable}")
    for text, count in books.reasons.most_common(REASONS_SHOWN):
        print(f"  {count} x {printable(text)}")


class Sender:
    """Lines to the store, a batch at a time; without a client they are counted only."""

    def __init__(self, client: Client | None, books: Books) -> None:
        self._client, self._books = client, books
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, series: Series) -> None:
        """Send these samples now or later."""
        self._books.read += len(series.values)
        try:
            head = encode_head(series.key)
        except BadInput as error:
            self._books.unsendable += len(series.values)
            self._books.reasons[str(error)] += len(series.values)
            return
        for value, stamp in zip(series.values.tolist(), series.timestamps.tolist(), strict=True):
            line = b"%b value=%b %d" % (head, repr(value).encode(), stamp)
            self._lines.append(line)
            self._size += len(line) + 1
            if self._size >= BATCH_BYTES:
                self.flush()

    def flush(self) -> None:
        """Send what is left. MetricsError when the store does not take it."""
        lines, self._lines, self._size = self._lines, [], 0
        if not lines or self._client is None:
            return
        answer = self._client.post("/api/write", b"\n".join(lines))
        if answer.status != 400:
            self._books.stored += len(lines)
            return
        try:
            said = json.loads(answer.body)
            stored, rejected = int(said["stored"]), int(said["rejected_lines"])
            named = [_NUMBER.sub("N", str(line["reason"])) for line in said["rejected"]]
        except (ValueError, KeyError, TypeError) as error:
            raise MetricsError(f"cannot store: {reason(answer.body)}") from error
        self._books.stored += stored
        self._books.refused += rejected
        self._books.reasons.update(named)
        if rejected > len(named):
            self._books.reasons["reasons that the answer did not list"] += rejected - len(named)

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
