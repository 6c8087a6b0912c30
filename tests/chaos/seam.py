"""A seam to the file system that remembers what was done through it, and what a crash may leave of that.

Theory of operation
- A kill leaves all that was done: the state after every operation is a place where a process can die.
- A power cut leaves what was synced. Of the rest anything may be there: bytes of a file up to some sector, or zeros in their
  place; of the names made, renamed and removed in a folder any, whatever their order was. So says POSIX; real disks are kinder.
- Nothing is really synced: no power is cut here, and the tests are about what the store asks for, not about the disk's speed.
"""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from metricstore.disk.files import Files

SECTORS = (512, 4096)
NAMES = ("create", "append", "truncate", "sync", "sync_directory", "rename", "link", "remove", "close")

State = dict[Path, bytes]  # files of the folder, by path in it


class Killed(BaseException):
    """The process is gone: whatever it does now is not done."""


class Unsynced(Files):
    """The real file system, without waiting for the disk."""

    def __init__(self) -> None:
        self._descriptors: set[int] = set()

    def create(self, path: Path) -> int:
        file = super().create(path)
        self._descriptors.add(file)
        return file

    def close(self, file: int) -> None:
        self._descriptors.remove(file)
        super().close(file)

    def abandon(self) -> None:
        """The process that had files open is gone."""
        for file in self._descriptors:
            os.close(file)
        self._descriptors.clear()

    def sync(self, file: int) -> None:
        pass

    def sync_file(self, path: Path) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class Done(NamedTuple):
    """An operation: on a file by number, or on names in folders, which are relative to the root."""

    name: str
    file: int = -1
    path: Path = Path()
    new: Path = Path()
    data: bytes = b""
    size: int = 0
    failed: bool = False  # a sync that said so


class Recorder(Unsynced):
    """Remembers what changed the folder. `kill_after`: so many operations from now the process is killed.

    `fault(name, number)`: the error number that operation is to fail with, or 0; numbered from 0, failed ones count.
    """

    def __init__(self, root: Path, fault: Callable[[str, int], int] = lambda name, number: 0) -> None:
        super().__init__()
        self.root, self.fault = root, fault
        self.done: list[Done] = []
        self.asked: list[str] = []  # operations, failed ones too
        self.killed = False
        self.on_kill: Callable[[], None] = lambda: None
        self._left = -1
        self._lock = threading.RLock()
        self._open: dict[int, int] = {}  # number of the file by descriptor
        self._named: dict[Path, int] = {}  # the same by path
        self._count = 0

    def kill_after(self, operations: int) -> None:
        self._left = operations

    def abandon(self) -> None:
        """Another process may begin."""
        with self._lock:
            super().abandon()
            self._open.clear()
            self.killed, self._left = False, -1

    def _ask(self, name: str, done: Done | None = None) -> None:
        """Killed, or OSError when the operation is to fail; a failed sync is remembered."""
        if self.killed or self._left == 0:
            self.killed = True
            self.on_kill()
            raise Killed
        self._left -= 1
        self.asked.append(name)
        error = self.fault(name, len(self.asked) - 1)
        if error:
            if done is not None:
                self.done.append(done._replace(failed=True))
            raise OSError(error, os.strerror(error))

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self.root)

    def create(self, path: Path) -> int:
        with self._lock:
            self._ask("create")
            file = super().create(path)
            self._count += 1
            self._open[file] = self._named[path] = self._count
            self.done.append(Done("create", self._count, self._relative(path)))
            return file

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        with self._lock:
            self._ask("append")
            taken = super().append(file, parts)
            self.done.append(Done("append", self._open[file], data=b"".join(parts)[:taken]))
            return taken

    def truncate(self, file: int, size: int) -> None:
        with self._lock:
            self._ask("truncate")
            super().truncate(file, size)
            self.done.append(Done("truncate", self._open[file], size=size))

    def sync(self, file: int) -> None:
        with self._lock:
            done = Done("sync", self._open[file])
            self._ask("sync", done)
            self.done.append(done)

    def sync_file(self, path: Path) -> None:
        with self._lock:
            done = Done("sync", self._named[path])
            self._ask("sync", done)
            self.done.append(done)

    def sync_directory(self, path: Path) -> None:
        with self._lock:
            self._ask("sync_directory")
            self.done.append(Done("sync_directory", path=self._relative(path)))

    def rename(self, path: Path, new: Path) -> None:
        with self._lock:
            self._ask("rename")
            super().rename(path, new)
            number = self._named[new] = self._named.pop(path)
            self.done.append(Done("rename", number, self._relative(path), self._relative(new)))

    def link(self, path: Path, new: Path) -> None:
        with self._lock:
            self._ask("link")
            super().link(path, new)
            number = self._named[new] = self._named[path]
            self.done.append(Done("link", number, self._relative(path), self._relative(new)))

    def remove(self, path: Path) -> None:
        with self._lock:
            self._ask("remove")
            super().remove(path)
            self._named.pop(path, None)
            self.done.append(Done("remove", path=self._relative(path)))

    def close(self, file: int) -> None:
        """The descriptor is given back even when that fails, as close(2) does."""
        with self._lock:
            if file in self._open:
                del self._open[file]
                super().close(file)
            self._ask("close")


class Folder:
    """Names in one folder: those that survive a power cut, and what was done to them since, in order."""

    def __init__(self) -> None:
        self.safe: dict[str, int] = {}
        self.pending: list[dict[str, int | None]] = []  # None: the name is gone

    def names(self, kept: Callable[[], bool]) -> dict[str, int]:
        found: dict[str, int | None] = dict(self.safe)
        for change in self.pending:
            if kept():
                found |= change
        return {name: file for name, file in found.items() if file is not None}


class Content:
    """Bytes of one file: those that survive a power cut, and those that are there now."""

    def __init__(self) -> None:
        self.safe = self.now = b""
        self.doubtful: list[slice] = []  # a sync of these failed: they may be lost though a later one did not

    @property
    def pending(self) -> bool:
        return self.safe != self.now or bool(self.doubtful)

    def sync(self, *, failed: bool) -> None:
        if failed and len(self.now) > len(self.safe):
            self.doubtful.append(slice(len(self.safe), len(self.now)))
        self.safe = self.now

    def strict(self) -> bytes:
        """No more than must be there."""
        found = bytearray(self.safe)
        for doubtful in self.doubtful:
            part = range(*doubtful.indices(len(found)))
            found[part.start : part.stop] = bytes(len(part))
        return bytes(found)

    def torn(self, rng: random.Random, sector: int) -> bytes:
        """Up to some sector, and of what comes before it some sectors are zeros."""
        low, high = sorted((len(self.safe), len(self.now)))
        cuts = [low, *range(-(-low // sector) * sector, high, sector), high]
        found = bytearray((self.now if len(self.now) == high else self.safe)[: rng.choice(cuts)])
        for at in range(low // sector * sector, len(found), sector):
            if rng.random() < 0.3:
                part = slice(max(at, low), min(at + sector, len(found)))
                found[part] = bytes(part.stop - part.start)
        return bytes(found)


class Disk:
    """What there is on a disk after some operations, and after a power cut. `lazy`: syncs of files do nothing, for controls."""

    def __init__(self, *, lazy: bool = False) -> None:
        self._lazy = lazy
        self._folders: dict[Path, Folder] = {}
        self._files: dict[int, Content] = {}

    def _folder(self, path: Path) -> Folder:
        return self._folders.setdefault(path, Folder())

    def apply(self, done: Done) -> None:
        """One more operation."""
        file = self._files.setdefault(done.file, Content())
        if done.name == "append":
            file.now += done.data
        elif done.name == "truncate":
            file.now = file.now[: done.size]
        elif done.name == "sync":
            if not self._lazy:
                file.sync(failed=done.failed)
        elif done.name == "sync_directory":
            folder = self._folder(done.path)
            folder.safe, folder.pending = folder.names(lambda: True), []
        else:
            self._name(done)

    def _name(self, done: Done) -> None:
        """Of one folder's names a rename changes two at once; between two folders it is as good as a link and a removal."""
        match done.name:
            case "create":
                self._folder(done.path.parent).pending.append({done.path.name: done.file})
            case "rename" if done.path.parent == done.new.parent:
                self._folder(done.path.parent).pending.append({done.path.name: None, done.new.name: done.file})
            case "rename" | "link":
                self._folder(done.new.parent).pending.append({done.new.name: done.file})
                if done.name == "rename":
                    self._folder(done.path.parent).pending.append({done.path.name: None})
            case "remove":
                self._folder(done.path.parent).pending.append({done.path.name: None})

    def after_kill(self) -> State:
        """All of it."""
        return self._state(lambda: True, lambda content: content.now)

    def after_power_cut(self, rng: random.Random, variants: int) -> Iterator[State]:
        """Some of what may be left; the first ones are always the same."""
        yield self._state(lambda: False, lambda content: content.strict())
        if any(content.pending for content in self._files.values()):
            yield self._state(lambda: True, lambda content: content.strict())
            yield self._state(lambda: False, lambda content: content.now)
        if any(folder.pending for folder in self._folders.values()):
            yield self.after_kill()
        for _ in range(variants):
            yield self._chance(rng)

    def _chance(self, rng: random.Random) -> State:
        sector, share = rng.choice(SECTORS), rng.choice((0.2, 0.5, 0.8))
        return self._state(lambda: rng.random() < share, lambda content: content.torn(rng, sector))

    def _state(self, kept: Callable[[], bool], content: Callable[[Content], bytes]) -> State:
        found = {}
        for path, folder in self._folders.items():
            for name, file in folder.names(kept).items():
                found[path / name] = content(self._files[file])
        return found


def lay(state: State, root: Path) -> None:
    """Put the files of the state into a new folder."""
    root.mkdir()
    for path, content in state.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


class FullDisk(Unsynced):
    """Takes `room` bytes in all; without any, no new name either."""

    def __init__(self, room: int = 1 << 60) -> None:
        super().__init__()
        self.room = room

    def create(self, path: Path) -> int:
        self._need(1)
        return super().create(path)

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        data = b"".join(parts)
        if data:
            self._need(1)
        taken = super().append(file, [data[: self.room]])
        self.room -= taken
        return taken

    def _need(self, size: int) -> None:
        if self.room < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
