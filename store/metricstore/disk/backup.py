"""A copy of a data folder while it is written to: a tar archive of its files, each as long as it was when the copy began.

    backup   = { file of the folder } manifest             a tar archive (POSIX, pax)
    manifest = "backup.json": {"format": 1, "files": {name: [bytes, CRC-32]}}

The files are held by hard links, so none can go or be replaced while it is sent: blocks and archives never change, and what is
appended to the log later is left out. A backup without its manifest is not whole.
"""

import json
import os
import secrets
import tarfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO, NamedTuple

from metricstore.disk.files import TEMPORARY, Files
from metricstore.disk.formats import LOCK_NAME, QUARANTINE_NAME

FORMAT = 1
MANIFEST_NAME = "backup.json"
HELD_PREFIX = "backup-"  # of the folder with the links; ends with TEMPORARY
HELD_PATTERN = f"{HELD_PREFIX}*{TEMPORARY}"
_PIECE = 1024**2  # bytes read at once
_END = bytes(2 * tarfile.BLOCKSIZE)


class Held(NamedTuple):
    """A file of the backup: its name in the folder, the link to it, its bytes and time (seconds) when it was held."""

    name: str
    path: Path
    size: int
    time: int


class Backup:
    """Files of `directory` as they are now; `release` must follow. OSError when they cannot be held.

    The caller sees to it that no file is being replaced by others meanwhile: no sealing, no archiving.
    """

    def __init__(self, directory: Path, files: Files) -> None:
        self._files = files
        self._folder = directory / f"{HELD_PREFIX}{secrets.token_hex(8)}{TEMPORARY}"
        self.held: list[Held] = []
        self._folder.mkdir(mode=0o700)
        try:
            for path in sorted(_kept(directory)):
                link = self._folder / str(len(self.held))
                files.link(path, link)
                found = link.stat()
                name = path.relative_to(directory).as_posix()
                self.held.append(Held(name, link, found.st_size, int(found.st_mtime)))
        except OSError:
            self.release()
            raise

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(held.size for held in self.held)

    def stream(self) -> Iterator[bytes]:
        """The archive, piece by piece. OSError when a file cannot be read as far as it was held."""
        manifest: dict[str, tuple[int, int]] = {}
        for held in self.held:
            yield _head(held.name, held.size, held.time)
            crc = 0
            for piece in _pieces(held):
                crc = zlib.crc32(piece, crc)
                yield piece
            yield _padding(held.size)
            manifest[held.name] = (held.size, crc)
        content = json.dumps({"format": FORMAT, "files": manifest}).encode()
        yield _head(MANIFEST_NAME, len(content), max((held.time for held in self.held), default=0))
        yield content + _padding(len(content)) + _END

    def release(self) -> None:
        """Let go of the files."""
        for path in list(self._folder.iterdir()):
            self._files.remove(path)
        self._folder.rmdir()


def _kept(directory: Path) -> Iterator[Path]:
    """Files that make up the folder's content."""
    for parent, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.endswith(TEMPORARY) and name != QUARANTINE_NAME]
        yield from (Path(parent, name) for name in names if not name.endswith(TEMPORARY) and name != LOCK_NAME)


def _pieces(held: Held) -> Iterator[bytes]:
    left = held.size
    with held.path.open("rb") as file:
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise OSError(f"{held.name} has become shorter")
            left -= len(piece)
            yield piece


def _head(name: str, size: int, time: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, time, 0o600
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


class Mismatch(Exception):
    """A backup that is cut short, damaged, or none."""


def unpack(source: BufferedIOBase, directory: Path | None) -> int:
    """Check a backup, and write its files below `directory` if there is one, which is new; how many files. Mismatch, OSError.

    Names that would lead elsewhere, links and devices are refused. What is written survives a power cut, but for the name of
    `directory` itself.
    """
    found: dict[str, tuple[int, int]] = {}
    manifest = b""
    try:
        with tarfile.open(fileobj=source, mode="r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() and _is_inside(member.name) else None
                if content is None or member.name in found or manifest:
                    raise Mismatch(f"{member.name!r} does not belong into a backup")
                if member.name == MANIFEST_NAME:
                    manifest = content.read()
                else:
                    found[member.name] = _write(content, directory / member.name if directory else None)
    except (
        tarfile.TarError,
        EOFError,
        zlib.error,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # tarfile lets these out
        raise Mismatch(f"it cannot be read: {error}") from error
    _compare(found, manifest)
    if directory:
        for parent, _, _ in os.walk(directory):
            Files().sync_directory(Path(parent))
    return len(found)


def _is_inside(name: str) -> bool:
    parts = Path(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and name.isprintable()


def _write(content: IO[bytes], path: Path | None) -> tuple[int, int]:
    """Size and checksum of the content, which is written to the file if one is named."""
    files, size, crc = Files(), 0, 0
    file = None
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = files.create(path)
    try:
        while piece := content.read(_PIECE):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            if file is not None:
                files.append_all(file, [piece])
        if file is not None:
            files.sync(file)
    finally:
        if file is not None:
            files.close(file)
    return size, crc


def _compare(found: dict[str, tuple[int, int]], manifest: bytes) -> None:
    if not manifest:
        raise Mismatch("it is cut short: its last part is missing")
    try:
        said = json.loads(manifest)
        version, wanted = said["format"], {name: tuple(entry) for name, entry in said["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Mismatch(f"{MANIFEST_NAME} is damaged: {error}") from error
    if version != FORMAT:
        raise Mismatch(f"its format {version} is not {FORMAT}, ours")
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise Mismatch(f"{wrong[0]} is not what was backed up ({len(wrong)} of {len(wanted)} files)")
