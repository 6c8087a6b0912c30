"""The seam to the file system: every operation of the store on a file, and what survives a crash after it.

Tests put their own `Files` in its place to fail, count or cut short any operation.
"""

import os
from collections.abc import Sequence
from pathlib import Path


class Files:
    """The real file system."""

    def create(self, path: Path) -> int:
        """A new empty file, open for appending. Its name survives a power cut only after `sync_directory`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        """Bytes taken, which may be fewer than given. They survive the end of the process, not yet a power cut."""
        return os.writev(file, parts)

    def truncate(self, file: int, size: int) -> None:
        """Cut the file to that size; undoes an append that was only partly taken."""
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """After this, all that was appended survives a power cut. An error leaves it unknown what does: never call it again."""
        os.fdatasync(file)

    def sync_directory(self, path: Path) -> None:
        """After this, the names of files made, renamed or removed in the folder survive a power cut."""
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def replace(self, path: Path, content: bytes) -> None:
        """The file holds the new content or the old, whole, whenever the power is cut."""
        new = path.with_name(path.name + ".tmp")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, content)
            os.fdatasync(file)
        finally:
            os.close(file)
        new.rename(path)
        self.sync_directory(path.parent)

    def remove(self, path: Path) -> None:
        """Forget a file; it may be back after a power cut, until `sync_directory`."""
        path.unlink()

    def close(self, file: int) -> None:
        """Give the descriptor back."""
        os.close(file)
