"""The seam to the file system: every operation of the store on a file, and what survives a crash after it.

Tests put their own `Files` in its place to fail, count or cut short any operation.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

_PARTS = 512  # given to one writev; the kernel takes 1024


class Files:
    """The real file system. Whatever changes a file goes through one of these; reading does not."""

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

    def sync_file(self, path: Path) -> None:
        """The same of a file that an earlier process may have appended to."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def sync_directory(self, path: Path) -> None:
        """After this, the names of files made, renamed or removed in the folder survive a power cut."""
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def rename(self, path: Path, new: Path) -> None:
        """The new name stands for the file, and no longer for another; the old name may be back until `sync_directory`."""
        path.rename(new)

    def link(self, path: Path, new: Path) -> None:
        """Another name for the file, in the same file system; it survives a power cut only after `sync_directory`."""
        new.hardlink_to(path)

    def remove(self, path: Path) -> None:
        """Forget a file; it may be back after a power cut, until `sync_directory`."""
        path.unlink()

    def close(self, file: int) -> None:
        """Give the descriptor back."""
        os.close(file)

    def append_all(self, file: int, parts: Sequence[bytes]) -> None:
        """Append all of the parts. OSError may leave some of them taken."""
        for at in range(0, len(parts), _PARTS):
            few = parts[at : at + _PARTS]
            size, taken = sum(map(len, few)), self.append(file, few)
            rest = memoryview(b"" if taken == size else b"".join(few))[taken:]
            while rest:
                taken = self.append(file, [rest])
                if taken == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[taken:]

    def replace(self, path: Path, parts: Sequence[bytes]) -> None:
        """The file holds the new content or the old, whole, whenever the power is cut."""
        new = path.with_name(path.name + TEMPORARY)
        if new.exists():
            self.remove(new)
        file = self.create(new)
        try:
            try:
                self.append_all(file, parts)
                self.sync(file)
            finally:
                self.close(file)
            self.rename(new, path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self.sync_directory(path.parent)


TEMPORARY = ".tmp"  # end of the name of a file that is not yet whole; such files are removed at start
