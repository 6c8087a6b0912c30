"""Which series each number means, for good: blocks and the log know series by number only.

Every record is written to two files, and read from both, so that no single damage takes the samples of a series. A number is
given to another series only when nothing on disk speaks of it any more. Files are of one start each; when there are many, or
most of what they name is gone, they are written anew.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Damaged, Kind
from metricstore.disk.records import RecordFile, list_files, new_marker, payloads, read_records
from metricwire.samples import SeriesKey

ENDINGS = (".a", ".b")
FILES_MAX = 16  # pairs that are kept beside each other

Named = Sequence[tuple[int, SeriesKey]]


class Catalogue:
    """The names of one data folder. `broken`: a sync failed, nothing may be written any more."""

    def __init__(self, directory: Path, files: Files, on_damage: Callable[[str], None] = lambda text: None) -> None:
        self._directory, self._files, self._on_damage = directory, files, on_damage
        self._pair: list[RecordFile] = []
        self.broken: OSError | None = None
        self.named = 0  # series named in the files

    def read(self) -> Iterator[list[tuple[int, SeriesKey]]]:
        """All that the files name, in parts; what both of a pair name comes once."""
        for number in sorted({file.number for ending in ENDINGS for file in list_files(self._directory, ending)}):
            seen: set[bytes] = set()
            for ending in ENDINGS:
                for file in list_files(self._directory, ending):
                    if file.number == number:
                        yield from self._read_file(file.path, file.marker, seen)

    def _read_file(self, path: Path, marker: bytes, seen: set[bytes]) -> Iterator[list[tuple[int, SeriesKey]]]:
        for kind, payload in read_records(path, marker, self._on_damage):
            if kind is not Kind.SERIES or payload in seen:
                continue
            seen.add(payload)
            try:
                named = formats.unpack_series(payload)
            except Damaged as damage:
                self._on_damage(f"cannot read names in {path.name}: {damage}")
                continue
            self.named += len(named)
            yield named

    def append(self, named: Named) -> None:
        """Make the names durable, or OSError; after a failed sync everything further fails."""
        if self.broken:
            raise self.broken
        if not self._pair:
            self._pair = self._begin()
        records = list(payloads(Kind.SERIES, formats.pack_series, named))
        for file in self._pair:
            file.append(records)
            self._sync(file)
        self.named += len(named)

    def _sync(self, file: RecordFile) -> None:
        try:
            file.sync()
        except OSError as error:
            self.broken = error
            raise

    def _begin(self) -> list[RecordFile]:
        """A new pair of files, their names durable."""
        number = 1 + max((file.number for ending in ENDINGS for file in list_files(self._directory, ending)), default=0)
        made: list[RecordFile] = []
        try:
            for ending in ENDINGS:
                marker = new_marker()
                made.append(RecordFile(self._directory / formats.file_name(number, marker, ending), marker, self._files))
            self._files.sync_directory(self._directory)
        except OSError:
            for file in made:
                file.discard()
            raise
        return made

    def wasteful(self, count: int) -> bool:
        """Whether the files should be written anew when there are so many series."""
        return self.named > 2 * count + 10_000 or len(list_files(self._directory, ENDINGS[0])) > FILES_MAX

    def rewrite(self, named: Named) -> None:
        """Name these and no others. OSError leaves what was."""
        before = [file.path for ending in ENDINGS for file in list_files(self._directory, ending)]
        old, self._pair, count = self._pair, [], self.named
        self.named = 0
        try:
            self.append(named)
        except OSError:
            self.named = count
            raise
        finally:
            for file in old:
                file.close()
        for path in before:
            self._files.remove(path)
        self._files.sync_directory(self._directory)

    def close(self) -> None:
        """Give the descriptors back; what was appended is durable already."""
        for file in self._pair:
            file.close()
        self._pair = []
