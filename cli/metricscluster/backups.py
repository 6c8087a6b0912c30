"""`metricscluster store backup` and `restore`: a copy of the data folder of a running store, and a data folder from it."""

import argparse
import os
import secrets
import shutil
import sys
from io import BufferedIOBase, BufferedReader
from pathlib import Path

from metricscluster.client import Client
from metricscluster.output import Output
from metricscluster.progress import Progress, size
from metricstore.disk.backup import Mismatch, unpack
from metricstore.disk.files import Files
from metricwire.errors import BadInput, MetricsError

STANDARD_INPUT = Path("-")


def backup(arguments: argparse.Namespace) -> int:
    """Write the backup; 0 when it is whole."""
    client = Client(arguments.url, arguments.token_file, arguments.ca_file)
    with Output(arguments.file) as output, Progress("receiving", 0, sys.stderr) as progress:
        total = 0
        for piece in client.stream("/api/backup"):
            output.file.write(piece)
            total += len(piece)
            progress.add(len(piece))
        output.file.flush()
        count = _unpack(output.part, None, "checking")
    print(f"backed up {count} files, {size(total)}, to {arguments.file}")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Unpack a backup, `-` for standard input, into a folder that is new or empty; 0 when all of it is there."""
    directory: Path = arguments.directory
    if directory.is_dir() and any(directory.iterdir()):
        raise BadInput(f"cannot restore to {directory}: the folder is not empty, and may be in use")
    part = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(mode=0o700, parents=True)
        count = _unpack(arguments.file, part, "restoring")
        part.replace(directory)  # an empty folder of that name gives way
        Files().sync_directory(directory.parent)
    except OSError as error:
        raise MetricsError(f"cannot restore to {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"restored {count} files to {directory}")
    return 0


def _unpack(file: Path, directory: Path | None, what: str) -> int:
    try:
        with _opened(file) as content, Progress(what, os.fstat(content.fileno()).st_size, sys.stderr) as progress:
            return unpack(_Counted(content, progress), directory)
    except Mismatch as error:
        source = "standard input" if file == STANDARD_INPUT else file
        raise MetricsError(f"cannot use {source} as a backup: {error}") from error


def _opened(file: Path) -> BufferedReader:
    return os.fdopen(sys.stdin.fileno(), "rb", closefd=False) if file == STANDARD_INPUT else file.open("rb")


class _Counted(BufferedIOBase):
    """A file that tells how far it is read."""

    def __init__(self, file: BufferedIOBase, progress: Progress) -> None:
        self._file, self._progress = file, progress

    def read(self, count: int | None = -1, /) -> bytes:
        """The next bytes."""
        found = self._file.read(count)
        self._progress.add(len(found))
        return found
