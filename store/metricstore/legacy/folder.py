"""A folder that a cc-metric-store left: which files hold samples, and these samples.

    checkpoints = cluster "/" host "/" ( "<seconds>.json" | "<seconds>.bin" | "current.wal" )
    archive     = cluster "/" "<seconds>.parquet"                          since 1.5
                | cluster "/" host "/" "<seconds>.zip"                     before: checkpoints, packed
                | cluster "/" host "/" "<frequency>" "/" "<seconds>.avro"  1.4: not read, nor by 1.5

The folder may be either of these or any one above them; files of our own archive are read too.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metricstore.disk.formats import Damaged
from metricstore.legacy import snapshots, wal
from metricstore.legacy.levels import Series, place
from metricwire.samples import SeriesKey

LARGEST = 1024**3  # bytes of a checkpoint or log, which is read as a whole; there is one per host
_NAME = re.compile(r"(?:-?[0-9]{1,19}_){0,2}([0-9]{1,19})\.(json|bin|zip|parquet|avro)|current\.wal")
_ORDER = ("parquet", "zip", "avro", "json", "bin", "wal")  # the exact and the newest last: the last sample of a slot counts
_Reader = Callable[[bytes, str, str], Iterator[Series]]
_SNAPSHOTS: dict[str, _Reader] = {"json": snapshots.from_json, "bin": snapshots.from_binary}


class Source(NamedTuple):
    """A file with samples; `size` in bytes."""

    order: int
    time: int
    path: Path
    size: int

    @property
    def kind(self) -> str:
        """One of the endings above; "wal"."""
        return _ORDER[self.order]


def find(folder: Path) -> list[Source]:
    """All files with samples below the folder, in the order in which they are to be read. OSError when it cannot be listed."""
    found = []
    for parent, _, files in os.walk(folder, onerror=_raise):
        for file in files:
            name, path = _NAME.fullmatch(file), Path(parent, file)
            if name and path.is_file() and not path.is_symlink():
                found.append(Source(_ORDER.index(name[2] or "wal"), int(name[1] or 0), path, path.stat().st_size))
    return sorted(found)


def read(source: Source) -> Iterator[Series]:
    """The file's series, of which some may come more than once. OSError, or Damaged once what can be read is given."""
    if source.kind == "avro":
        raise Damaged("Avro checkpoints of cc-metric-store 1.4 are not read; start 1.4 once with file-format json")
    if source.kind == "parquet":
        yield from _parquet(source.path)
        return
    if source.size > LARGEST:
        raise Damaged(f"it is larger than {LARGEST} bytes")
    cluster, host = source.path.absolute().parts[-3:-1]
    if source.kind == "zip":
        yield from _zip(source.path, cluster, host)
    else:
        yield from (wal.read if source.kind == "wal" else _SNAPSHOTS[source.kind])(source.path.read_bytes(), cluster, host)


def _zip(path: Path, cluster: str, host: str) -> Iterator[Series]:
    broken = []
    try:
        with zipfile.ZipFile(path) as packed:
            for member in packed.infolist():
                reader = _SNAPSHOTS.get(member.filename.rpartition(".")[2])
                if reader is None or member.file_size > LARGEST:
                    continue
                try:
                    yield from reader(packed.read(member), cluster, host)
                except Damaged as damage:
                    broken.append(f"{member.filename}: {damage}")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise Damaged(str(error)) from error
    if broken:
        raise Damaged("; ".join(broken))


def _parquet(path: Path) -> Iterator[Series]:
    from metricstore.disk import parquet  # noqa: PLC0415 its library is not loaded before it is needed

    try:
        for rows in parquet.read(path):
            order = np.argsort(rows.series, kind="stable")
            edges = np.searchsorted(rows.series[order], np.arange(len(rows.keys) + 1))
            for number, key in enumerate(rows.keys):
                taken = order[edges[number] : edges[number + 1]]
                yield Series(_of_scope(key), rows.timestamps[taken], rows.values[taken])
    except parquet.Unreadable as error:
        raise Damaged(str(error)) from error


def _of_scope(key: SeriesKey) -> SeriesKey:
    """The archive's scope and id, which it tells apart for some types only, cut as in checkpoints."""
    where = key.place
    if where.stype or key.tags:  # ours has these
        return key
    level = where.type + where.type_id
    return key._replace(place=place(where.cluster, where.host, [level] if level else []))


def _raise(error: OSError) -> None:
    raise error
