"""An archive of texts with the most important one in front: `.tar.gz`, bounded in size."""

import gzip
import io
import tarfile
from dataclasses import dataclass, field
from typing import BinaryIO

LARGEST = 2 * 1024 * 1024  # bytes of a file; of longer ones the end, which of a log is the newest
ALL = 128 * 1024 * 1024  # bytes of all files


@dataclass
class Bundle:
    """Files by their path in the archive, and what could not be had."""

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)  # what, and why
    size: int = 0

    def add(self, path: str, text: str, before: int = 0) -> None:
        """A file; what is too long for one is left out at its beginning, as `before` bytes were already, and said."""
        content = text.encode("utf-8", "replace")
        left = max(0, len(content) - LARGEST)
        if left:
            content = content[left:].partition(b"\n")[2]
        if before or left:
            self.lack(f"the first {before + left:,} bytes of {path}", f"{LARGEST:,} bytes of a file are taken at most")
        if self.size + len(content) > ALL:
            self.lack(path, f"the archive would be longer than {ALL:,} bytes")
            return
        self.files[path] = content
        self.size += len(content)

    def lack(self, what: str, why: str) -> None:
        """Something that is not there."""
        self.missing.append((what, why))

    def write(self, file: BinaryIO, summary: str, now: float) -> None:
        """The archive: SUMMARY.txt first, then the others by name. OSError."""
        with (
            gzip.GzipFile(fileobj=file, mode="wb", mtime=int(now), filename="") as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path, content in [("SUMMARY.txt", summary.encode()), *sorted(self.files.items())]:
                about = tarfile.TarInfo(f"{self.folder}/{path}")
                about.size, about.mtime, about.mode = len(content), int(now), 0o600
                archive.addfile(about, io.BytesIO(content))
