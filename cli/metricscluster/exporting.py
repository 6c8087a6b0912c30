"""`metricscluster store export`: samples of a running store to a file: Parquet, CSV or line protocol."""

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from metricscluster.client import Client
from metricscluster.moments import moment
from metricscluster.output import Output
from metricscluster.progress import Progress
from metricstore.disk.archiverows import ArchiveRows, in_archive_order
from metricwire.errors import Unavailable
from metricwire.lineprotocol import Batch, Decoder
from metricwire.samples import Sample, SeriesKey

END = b"# end of export: "
COLUMNS = ("cluster", "hostname", "metric", "type", "type_id", "stype", "stype_id", "tags", "timestamp", "value")
ROWS = 500_000  # samples that are sorted together for Parquet


def run(arguments: argparse.Namespace) -> int:
    """Export; 0 when the file is whole."""
    now = time.time()
    client = Client(arguments.url, arguments.token_file, arguments.ca_file)
    query = [
        ("cluster", arguments.cluster),
        ("from", str(moment(arguments.start, now))),
        ("to", str(moment(arguments.end, now))),
    ]
    query += [(name, value) for name in ("host", "metric") for value in getattr(arguments, name)]
    with Output(arguments.file) as output, Progress("exporting", 0, sys.stderr) as progress:
        lines = Lines(client.stream("/api/export", query), progress)
        FORMATS[arguments.format](iter(lines), output.file)
    print(f"exported {lines.samples} samples to {arguments.file}")
    return 0


class Lines:
    """The lines of an export, many at a time. Unavailable at the end when the store has not said that it is the end."""

    def __init__(self, pieces: Iterator[bytes], progress: Progress) -> None:
        self._pieces, self._progress = pieces, progress
        self.samples = 0

    def __iter__(self) -> Iterator[bytes]:
        rest, said = b"", -1
        for piece in self._pieces:
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            before, mark, end = (whole + newline).rpartition(END)
            if mark:
                said = int(end.split()[0])
            else:
                before = whole + newline
            self.samples += before.count(b"\n")
            self._progress.add(len(piece), f"{self.samples} samples")
            if before:
                yield before
        if rest or said != self.samples:
            raise Unavailable(f"cannot export: the answer breaks off after {self.samples} samples")


def _lines(lines: Iterator[bytes], file: BinaryIO) -> None:
    for piece in lines:
        file.write(piece)


def _csv(lines: Iterator[bytes], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for batch in _samples(lines):
            for (place, metric, tags), stamp, value in batch:
                shown = json.dumps(dict(tags)) if tags else ""
                writer.writerow((place.cluster, place.host, metric, *place[2:], shown, stamp, repr(value)))
    finally:
        text.detach()  # whoever opened the file closes it


def _parquet(lines: Iterator[bytes], file: BinaryIO) -> None:
    from metricstore.disk import parquet  # noqa: PLC0415 its library is not loaded before it is needed

    def batches() -> Iterator[ArchiveRows]:
        gathered: list[Sample] = []
        for batch in _samples(lines):
            gathered += batch
            if len(gathered) >= ROWS:
                yield _rows(gathered)
                gathered = []
        yield _rows(gathered)

    parquet.write(batches(), lambda data: _append(file, data))


def _append(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _samples(lines: Iterator[bytes]) -> Iterator[list[Sample]]:
    decoder = Decoder(now=0)
    for piece in lines:
        decoder.feed(piece)
        batch, decoder.batch = decoder.batch, Batch()
        yield batch.samples


def _rows(samples: list[Sample]) -> ArchiveRows:
    """As the archive has them; the frequency of a series is the smallest distance between two of its samples."""
    numbers: dict[SeriesKey, int] = {}
    series = np.array([numbers.setdefault(sample.series, len(numbers)) for sample in samples], np.int64)
    stamps = np.array([sample.timestamp for sample in samples], np.int64)
    order = np.lexsort((stamps, series))
    steps = np.full(len(numbers), np.iinfo(np.int64).max)
    apart = np.diff(stamps[order])
    same = (np.diff(series[order]) == 0) & (apart > 0)
    np.minimum.at(steps, series[order][1:][same], apart[same])
    steps[steps == np.iinfo(np.int64).max] = 0
    values = np.array([sample.value for sample in samples], np.float64)
    return in_archive_order(ArchiveRows(list(numbers), series, stamps, steps[series], values))


FORMATS: dict[str, Callable[[Iterator[bytes], BinaryIO], None]] = {"parquet": _parquet, "csv": _csv, "lp": _lines}
