"""The host that is measured, which in a container is not the machine that the agent sees around itself."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

AGAIN = 60.0  # seconds after which it is looked again what there is to read

Found = TypeVar("Found")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """Where the host's procfs, sysfs and root filesystem are mounted."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    root: Path = Path("/")


class InitFile:
    """A file of procfs that shows the namespaces of who is asked for: read of process 1, whose namespaces are the host's.

    Where process 1 may not be read, that of the agent itself is read, and the log says so once.
    """

    def __init__(self, host: Host, name: str) -> None:
        self._of_init = host.proc / "1" / name
        self._of_self = host.proc / "self" / name
        self._warned = False

    def read(self) -> bytes:
        """Its bytes; OSError when neither can be read."""
        try:
            return self._of_init.read_bytes()
        except OSError as error:
            found = self._of_self.read_bytes()
            if not self._warned:
                self._warned = True
                logger.warning("cannot read %s: %s; showing the agent's own view", self._of_init, error.strerror)
            return found


class Survey(Generic[Found]):
    """What there is to read, looked for rarely: hardware and mounts come and go seldom, and looking costs more than reading.

    So a collector whose source is not on this host costs next to nothing.
    """

    def __init__(self, look: Callable[[], Found], every: float = AGAIN) -> None:
        self._look = look
        self._every = every
        self._found: tuple[Found, float] | None = None

    def at(self, now: float) -> Found:
        """What was there when last looked, less than `every` seconds before `now`. Whatever `look` raises."""
        if self._found is None or now - self._found[1] >= self._every:
            self._found = (self._look(), now)
        return self._found[0]

    def forget(self) -> None:
        """Look again next time: something that was there is gone."""
        self._found = None


def integer(path: Path) -> int:
    """The number that a file of procfs or sysfs holds. OSError when it cannot be read, ValueError when it holds none."""
    return int(path.read_bytes())


def word(path: Path) -> str:
    """The text that a file of procfs or sysfs holds, blanks around it cut off. OSError when it cannot be read."""
    return path.read_bytes().decode("utf-8", "replace").strip()


def folders(path: Path) -> list[Path]:
    """What lies in a folder, by name; nothing when the folder is not there, as where the kernel lacks a driver."""
    try:
        return sorted(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
