"""Log lines of programs to lines for people. Pure: text in, text out.

A program writes one JSON object per line (metricwire.logs); everything else it writes is for its log file alone.
"""

from typing import NamedTuple

import msgspec

SHOWN = frozenset({"info", "warning", "error", "critical"})
_CONTROL = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")


class Event(NamedTuple):
    """What a program says: how grave it is, and what."""

    level: str
    message: str

    @property
    def text(self) -> str:
        """The message, with its level where it is more than information."""
        return self.message if self.level == "info" else f"{self.level}: {self.message}"


class _Line(msgspec.Struct):
    level: str
    message: str


def event(line: str) -> Event | None:
    """The event that a line of a program's output reports; None for what is not for people, or no event."""
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Event(found.level, found.message.translate(_CONTROL)) if found.level in SHOWN else None


def shown(clock: str, who: str, text: str) -> str:
    """`12:00:05  store  ready`."""
    return f"{clock}  {who:<5}  {text}"
