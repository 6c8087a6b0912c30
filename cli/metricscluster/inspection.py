"""`metricscluster store verify` and `stats`: all of a data folder is read, and nothing in it is changed."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from metricscluster.progress import Progress, size
from metricscluster.terminal import printable
from metricstore.disk import formats
from metricstore.disk.archive import Archive
from metricstore.disk.blocks import Blocks
from metricstore.disk.catalogue import Catalogue
from metricstore.disk.checkpoint import Checkpoint
from metricstore.disk.codec import SLOTS
from metricstore.disk.files import Files
from metricstore.disk.formats import Damaged, Kind
from metricstore.disk.records import list_files, read_records
from metricwire.errors import BadInput, MetricsError

ALWAYS = 2**62


@dataclass(slots=True)
class Part:
    """One part of the folder: what it takes and holds; times in seconds, of the slots where samples lie in blocks."""

    name: str
    files: int = 0
    bytes: int = 0
    samples: int = 0
    oldest: int = ALWAYS
    newest: int = -ALWAYS

    def hold(self, samples: int, oldest: int, newest: int) -> None:
        """It holds these too."""
        if samples:
            self.samples += samples
            self.oldest, self.newest = min(self.oldest, oldest), max(self.newest, newest)


@dataclass(slots=True)
class Content:
    """What a data folder holds."""

    names: Part = field(default_factory=lambda: Part("names"))
    log: Part = field(default_factory=lambda: Part("log"))
    blocks: Part = field(default_factory=lambda: Part("blocks"))
    archive: Part = field(default_factory=lambda: Part("archive"))
    quarantine: Part = field(default_factory=lambda: Part("quarantine"))
    series: int = 0
    damages: list[str] = field(default_factory=list)


def verify(arguments: argparse.Namespace) -> int:
    """Name what is damaged; 0 when nothing is."""
    content = _look(arguments.directory)
    samples = content.log.samples + content.blocks.samples + content.archive.samples
    print(f"read {content.series} series and {samples} samples: {len(content.damages)} damages")
    if content.quarantine.files:
        print(f"{content.quarantine.files} files are in the quarantine from before")
    return 1 if content.damages else 0


def stats(arguments: argparse.Namespace) -> int:
    """Say what there is; 0 when nothing of it is damaged."""
    content = _look(arguments.directory)
    print(f"{content.series} series")
    print(f"{'part':<12}{'files':>8}{'size':>12}{'samples':>16}{'bytes/sample':>14}  {'oldest':<20}  newest")
    for part in (content.names, content.log, content.blocks, content.archive, content.quarantine):
        each = f"{part.bytes / part.samples:.2f}" if part.samples else "-"
        times = [_time(part.oldest), _time(part.newest)] if part.samples else ["-", "-"]
        print(f"{part.name:<12}{part.files:>8}{size(part.bytes):>12}{part.samples:>16}{each:>14}  {times[0]:<20}  {times[1]}")
    return 1 if content.damages else 0


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _look(directory: Path) -> Content:
    """Read all of it. BadInput when it is no data folder, MetricsError when a store runs on it."""
    if not (directory / formats.IDENTITY_NAME).is_file():
        raise BadInput(f"cannot find a data folder of a store in {directory}: there is no {formats.IDENTITY_NAME}")
    content = Content()
    parts = {"names": content.names, "log": content.log, "blocks": content.blocks, "archive": content.archive}
    parts["quarantine"] = content.quarantine
    try:
        for name, part in parts.items():
            for parent, _, files in os.walk(directory / name):
                part.files += len(files)
                part.bytes += sum(Path(parent, file).stat().st_size for file in files)
        total = sum(part.bytes for part in parts.values())
        with _unused(directory), Progress("reading", total, sys.stderr) as progress:
            for name, read in (("names", _names), ("log", _log), ("blocks", _blocks), ("archive", _archive)):
                if (directory / name).is_dir():
                    read(directory, content)
                progress.add(parts[name].bytes, name)
    except OSError as error:
        raise MetricsError(f"cannot read {error.filename}: {error.strerror}") from error
    for text in content.damages:
        print(printable(text), file=sys.stderr)
    return content


@contextmanager
def _unused(directory: Path) -> Iterator[None]:
    """While no store can start on it."""
    path = directory / formats.LOCK_NAME
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path.exists() else None
    try:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise MetricsError(f"cannot read {directory}: a store is running on it; `store backup` copies it as it runs") from error
    finally:
        if lock is not None:
            os.close(lock)


class _Untouched(Files):
    """Changes nothing."""

    def rename(self, path: Path, new: Path) -> None:
        """No."""

    def remove(self, path: Path) -> None:
        """No."""

    def sync_directory(self, path: Path) -> None:
        """No."""


def _names(directory: Path, content: Content) -> None:
    catalogue = Catalogue(directory / formats.NAMES_NAME, _Untouched(), content.damages.append)
    content.series = len({number for named in catalogue.read() for number, _ in named})
    Checkpoint(directory, _Untouched(), content.damages.append).read()


def _log(directory: Path, content: Content) -> None:
    for file in list_files(directory / formats.LOG_NAME, ".log"):
        for kind, payload in read_records(file.path, file.marker, content.damages.append):
            if kind is Kind.SAMPLES:
                try:
                    stamps = formats.unpack_samples(payload).timestamps
                except Damaged as damage:
                    content.damages.append(f"cannot read a record of {file.path}: {damage}")
                    continue
                if len(stamps):
                    content.log.hold(len(stamps), int(stamps.min()), int(stamps.max()))


def _blocks(directory: Path, content: Content) -> None:
    blocks = Blocks(directory / formats.BLOCKS_NAME, None, _Untouched(), content.damages.append)
    blocks.scan()
    for stretch in blocks.stretches():
        for rows in blocks.all(stretch):
            at, columns = np.nonzero(~np.isnan(rows.values))
            if len(at):
                times = (rows.windows[at] * SLOTS + columns) * stretch.frequency
                content.blocks.hold(len(at), int(times.min()), int(times.max()))


def _archive(directory: Path, content: Content) -> None:
    archive = Archive(directory / formats.ARCHIVE_NAME, None, _Untouched(), content.damages.append)
    for cluster in archive.clusters():
        for rows in archive.parts(cluster, None, None, -ALWAYS, ALWAYS):
            content.archive.hold(len(rows.values), int(rows.timestamps.min()), int(rows.timestamps.max()))
