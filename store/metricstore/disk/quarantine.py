"""The folder of files that could not be read, for people to look at. The oldest go when they take too much."""

import logging
from collections.abc import Callable
from pathlib import Path

from metricstore.disk.files import Files

logger = logging.getLogger(__name__)


class Quarantine:
    """What cannot be kept here is said in the log, and no more: it was lost before. `most`: bytes of all files together."""

    def __init__(self, directory: Path, files: Files, most: int) -> None:
        self._directory, self._files, self._most = directory, files, most

    def take(self, path: Path, name: str) -> None:
        """Move a file here, under that name."""
        self._keep(self._files.rename, path, name)

    def link(self, path: Path, name: str) -> None:
        """Keep a file that is about to go, under that name."""
        self._keep(self._files.link, path, name)

    def _keep(self, how: Callable[[Path, Path], None], path: Path, name: str) -> None:
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            how(path, self._directory / name)
            self._make_room()
        except OSError as error:
            logger.warning("cannot keep %s in the quarantine: %s", path, error.strerror)
        else:
            logger.warning("%s is in the quarantine %s", path.name, self._directory)

    def _make_room(self) -> None:
        found = [(path.stat(), path) for path in self._directory.iterdir()]
        excess = sum(known.st_size for known, _ in found) - self._most
        for known, path in sorted(found, key=lambda one: one[0].st_mtime):
            if excess <= 0:
                break
            self._files.remove(path)
            excess -= known.st_size
            logger.warning(
                "%s is gone from the quarantine: it may take %d bytes (limits.quarantine-bytes)", path.name, self._most
            )
