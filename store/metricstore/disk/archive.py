"""The archive: what is past the retention on disk, in Parquet files, and still there to be asked for.

archive = { cluster folder "/" { file } }       files: archivefile.py
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import numpy as np

from metricstore.disk.archivefile import Opened, names, open_file, read_group, write_file
from metricstore.disk.archiverows import ArchiveRows, merged
from metricstore.disk.files import TEMPORARY, Files
from metricstore.disk.formats import Damaged
from metricstore.disk.quarantine import Quarantine
from metricwire.errors import TooLarge

logger = logging.getLogger(__name__)

FOLDER_LENGTH = 100  # characters of a cluster's name that its folder repeats
OPEN_MOST = 64  # indexes and footers kept in memory
ENDING = -1  # stands for a file's ending where row groups are counted


class Archive:
    """The archive in one folder. `on_damage` is told of each row group and ending that cannot be read. Threads may share it."""

    def __init__(
        self, directory: Path, quarantine: Quarantine | None, files: Files, on_damage: Callable[[str], None] = lambda text: None
    ) -> None:
        self.directory = directory
        self.version = 0  # another one whenever samples have come
        self._quarantine, self._files, self._on_damage = quarantine, files, on_damage
        self._lock = threading.Lock()
        self._opened: OrderedDict[Path, Opened] = OrderedDict()
        self._reported: set[tuple[Path, int]] = set()

    # Writing

    def write(self, cluster: str, batches: Iterable[ArchiveRows]) -> Path | None:
        """One new file of all batches, durable on return; None where they hold nothing.

        A batch has all that there is of its hosts, or of its (host, metric)s, and they come in that order. OSError when the
        disk refuses: then there is no new file. One thread writes at a time.
        """
        folder = self._folder(cluster)
        for path in (self.directory, folder):
            if not path.is_dir():
                path.mkdir(mode=0o700)
                self._files.sync_directory(path.parent)
        new = folder / f"new.parquet{TEMPORARY}"
        new.unlink(missing_ok=True)
        summary = write_file(new, cluster, batches, self._files)
        if not summary.rows:
            self._files.remove(new)
            return None
        number = 1 + max((name.number for name in names(folder)), default=0)
        path = folder / f"{summary.oldest}_{summary.newest}_{number}.parquet"
        self._files.rename(new, path)
        self._files.sync_directory(folder)
        self.version += 1
        return path

    # Reading

    def read(
        self,
        cluster: str,
        hosts: Collection[str] | None,
        metrics: Collection[str] | None,
        start: int,
        end: int,
        most: int | None = None,
    ) -> ArchiveRows:
        """Samples from `start` to before `end`, by series and time; None: all hosts, all metrics.

        What is damaged is left out. TooLarge when it would be more than `most` rows.
        """
        parts, count = [], 0
        for part in self.parts(cluster, hosts, metrics, start, end):
            parts.append(part)
            count += len(part.series)
            if most is not None and count > most:
                raise too_many(most)
        return merged(parts)

    def parts(
        self, cluster: str, hosts: Collection[str] | None, metrics: Collection[str] | None, start: int, end: int
    ) -> Iterator[ArchiveRows]:
        """The same, row group by row group: a sample of a later part replaces an earlier part's."""
        for name in names(self._folder(cluster)):
            opened = self._open(name.path) if name.newest >= start and name.oldest < end else None
            for number, group in enumerate(opened.index.groups if opened and opened.index.cluster == cluster else ()):
                if group.newest < start or group.oldest >= end or not group.may_hold(hosts, metrics):
                    continue
                try:
                    rows = read_group(opened, group)  # type: ignore[arg-type] # there are no groups without it
                except FileNotFoundError:
                    break  # it is past the retention by now
                except (Damaged, OSError) as error:
                    self._report(name.path, number, error)
                    continue
                yield _wanted(rows, hosts, metrics, start, end)

    def _open(self, path: Path) -> Opened | None:
        """Index and footer; None where they cannot be read, which is reported."""
        with self._lock:
            if found := self._opened.get(path):
                self._opened.move_to_end(path)
                return found
        try:
            found = open_file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._report(path, ENDING, error)
            return None
        except Damaged as damage:
            self._report(path, ENDING, damage)
            self._set_aside(path)
            return None
        if not found.whole:
            self._report(path, ENDING, Damaged("its index is damaged, the copy of it is used"))
        with self._lock:
            self._opened[path] = found
            while len(self._opened) > OPEN_MOST:
                self._opened.popitem(last=False)
        return found

    def _report(self, path: Path, group: int, cause: Exception) -> None:
        """Once per damage."""
        with self._lock:
            if (path, group) in self._reported:
                return
            self._reported.add((path, group))
        what = "the ending" if group == ENDING else f"row group {group}"
        self._on_damage(f"cannot read {what} of {path}: {cause}")

    def _set_aside(self, path: Path) -> None:
        """Move a whole file to the quarantine."""
        if self._quarantine:
            self._quarantine.take(path, f"{path.parent.name}~{path.name}")

    # What there is

    def clusters(self) -> list[str]:
        """Names of the clusters there is something of."""
        found = (next((o for name in names(folder) if (o := self._open(name.path))), None) for folder in self._folders())
        return sorted({opened.index.cluster for opened in found if opened})

    def hosts(self, cluster: str) -> list[str]:
        """Names of the hosts there is something of."""
        found = (self._open(name.path) for name in names(self._folder(cluster)))
        return sorted({host for opened in found if opened and opened.index.cluster == cluster for host in opened.index.hosts})

    def range(self, cluster: str) -> tuple[int, int] | None:
        """Oldest and newest timestamp (seconds); None where there is nothing."""
        found = names(self._folder(cluster))
        return (min(name.oldest for name in found), max(name.newest for name in found)) if found else None

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for folder in self._folders() for path in folder.iterdir() if path.is_file())

    # Keeping

    def expire(self, before: int) -> int:
        """Remove the files whose samples are all older; how many. OSError when the disk refuses."""
        removed = 0
        for folder in self._folders():
            old = [name.path for name in names(folder) if name.newest < before]
            for path in old:
                self._files.remove(path)
                with self._lock:
                    self._opened.pop(path, None)
            if old:
                self._files.sync_directory(folder)
            removed += len(old)
        return removed

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.directory.iterdir() if path.is_dir()) if self.directory.is_dir() else []

    def _folder(self, cluster: str) -> Path:
        """A name that is one on every file system: unusual characters escaped, a long one cut and told apart by its hash."""
        name = quote(cluster, safe="")
        if len(name) > FOLDER_LENGTH or name.startswith(".") or name != name.lower():
            name = f"{name[:FOLDER_LENGTH].lstrip('.')}~{sha256(cluster.encode()).hexdigest()[:16]}"
        return self.directory / name


def too_many(most: int) -> TooLarge:
    """Of samples."""
    return TooLarge(f"cannot read more than {most} samples of the archive at a time")


def _wanted(
    rows: ArchiveRows, hosts: Collection[str] | None, metrics: Collection[str] | None, start: int, end: int
) -> ArchiveRows:
    """Those of the hosts and metrics in the range."""
    keys = [(hosts is None or key.place.host in hosts) and (metrics is None or key.metric in metrics) for key in rows.keys]
    kept = np.array(keys, bool)[rows.series] & (rows.timestamps >= start) & (rows.timestamps < end)
    taken = rows.taken(kept)
    used, series = np.unique(taken.series, return_inverse=True)
    return taken._replace(keys=[rows.keys[number] for number in used.tolist()], series=series.astype(np.int64, copy=False))
