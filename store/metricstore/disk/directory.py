"""The data folder: ours alone while we run, and of one cluster for good."""

import fcntl
import logging
import os
from pathlib import Path

from metricstore.disk import formats
from metricstore.disk.backup import HELD_PATTERN
from metricstore.disk.files import TEMPORARY, Files
from metricstore.disk.formats import FORMAT, IDENTITY_NAME, LOCK_NAME
from metricwire.errors import SettingsError

logger = logging.getLogger(__name__)


class Directory:
    """An open data folder. SettingsError when it cannot be used: not writable, in use, of another cluster, too new."""

    def __init__(self, path: Path, cluster: str, files: Files) -> None:
        self.path = path
        self.log, self.names = path / formats.LOG_NAME, path / formats.NAMES_NAME
        self.blocks, self.archive = path / formats.BLOCKS_NAME, path / formats.ARCHIVE_NAME
        self.quarantine = path / formats.QUARANTINE_NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (path, self.log, self.names, self.blocks):  # one by one: `parents` gives the folders above no mode
                folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"cannot use data folder {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise SettingsError(f"cannot use data folder {path}: another store is running on it") from error
        try:
            self._identify(cluster, files)
        except SettingsError:
            self.close()
            raise
        self._tidy(files)

    def _tidy(self, files: Files) -> None:
        """Remove what a process that was killed left of a backup or of an archive that it wrote; what cannot be, stays."""
        folders = list(self.path.glob(HELD_PATTERN))
        try:
            for path in (*self.archive.rglob("*" + TEMPORARY), *(file for folder in folders for file in folder.iterdir())):
                files.remove(path)
            for folder in folders:
                folder.rmdir()
        except OSError as error:
            logger.warning("cannot remove %s, left by an earlier run: %s", error.filename, error.strerror)

    def _identify(self, cluster: str, files: Files) -> None:
        """Check whose folder it is; a new one becomes the cluster's."""
        path = self.path / IDENTITY_NAME
        known: formats.Identity | None = None
        try:
            known = formats.unpack_identity(path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {error.strerror}; it says which cluster the folder belongs to") from error
        except formats.Damaged as damage:
            logger.warning("%s is damaged (%s): it is written anew", path, damage)
        if known and known.format != FORMAT:
            raise SettingsError(f"cannot use data folder {self.path}: format {known.format} is newer than {FORMAT}, ours")
        if known and known.cluster and cluster and known.cluster != cluster:
            raise SettingsError(f"cannot use data folder {self.path}: it belongs to cluster {known.cluster}, not {cluster}")
        if not known or (cluster and not known.cluster):
            try:
                files.replace(path, [formats.pack_identity(formats.Identity(FORMAT, cluster))])
            except OSError as error:
                raise SettingsError(f"cannot use data folder {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let another store have the folder."""
        os.close(self._lock)
