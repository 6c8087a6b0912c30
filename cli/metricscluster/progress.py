"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from typing import Self, TextIO

from metricscluster.terminal import printable

WIDTH = 30  # characters of the bar
REDRAWN = 0.1  # seconds between two pictures of it
REPEATED = 10.0  # seconds between two lines where there is no terminal


class Progress:
    """`with Progress("reading", total, stream) as progress: progress.add(n, note)`; a total of 0 is one that is not known."""

    def __init__(self, what: str, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._stream, self._clock = what, total, stream, clock
        self._live = stream.isatty()
        self._done, self._note = 0, ""
        self._next = clock() + (0 if self._live else REPEATED)

    def __enter__(self) -> Self:
        return self

    def add(self, done: int, note: str = "") -> None:
        """So much more is done."""
        self._done += done
        self._note = note or self._note
        now = self._clock()
        if now >= self._next:
            self._next = now + (REDRAWN if self._live else REPEATED)
            self._show()

    def _show(self) -> None:
        share = min(1.0, self._done / self._total) if self._total else 0.0
        note = f"  {printable(self._note)}" if self._note else ""
        if not self._live:
            print(f"{self._what}: {self._share(share)}{note}", file=self._stream, flush=True)
            return
        bar = ("#" * round(share * WIDTH)).ljust(WIDTH, ".")
        self._stream.write(f"\r\x1b[K{self._what} [{bar}] {self._share(share)}{note}"[:200])
        self._stream.flush()

    def _share(self, share: float) -> str:
        return f"{share:4.0%}" if self._total else size(self._done)

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def size(count: float) -> str:
    """Bytes for people: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
