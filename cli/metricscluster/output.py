"""A file that is made whole or not at all."""

import os
from pathlib import Path
from typing import BinaryIO, Self

from metricwire.errors import BadInput, MetricsError

SUFFIX = ".part"


class Output:
    """`with Output(path) as output: output.file.write(...)`: the file has its name once the block has ended without an error.

    BadInput when there is a file of that name. MetricsError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise BadInput(f"cannot write {path}: it exists")
        self.path, self.part = path, path.with_name(path.name + SUFFIX)
        try:
            self.file: BinaryIO = os.fdopen(
                os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
            )
        except OSError as error:
            raise MetricsError(f"cannot write {self.part}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            with self.file:
                if kind is None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            if kind is None:
                self.part.rename(self.path)
        except OSError as failure:
            self.part.unlink(missing_ok=True)
            raise MetricsError(f"cannot write {self.path}: {failure.strerror}") from failure
        if kind is not None:
            self.part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MetricsError(f"cannot write {self.path}: {error.strerror}") from error
