"""The host that is measured, which in a container is not the machine that the agent sees around itself."""

import logging
from dataclasses import dataclass
from pathlib import Path

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
