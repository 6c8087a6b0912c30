"""What a terminal can do that a file cannot: colours, and pictures that replace each other; and what others may not make it do.

Names, messages and answers are of others: `printable` takes from them what a terminal would obey, and `table` does so itself.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TextIO

from metricwire.errors import Unavailable

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_SERIES = ("36", "33", "35", "32", "34", "31", "96", "95")  # colours of lines, apart from each other on light and dark
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # a screen of its own, no cursor, long lines cut
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
LONGEST = 2000  # characters of a line that are shown
WIDEST = 200  # characters of a line where there is no terminal


def printable(text: str) -> str:
    """Text of others as one line that a terminal only shows: what moves, colours or reorders is escaped, the endless is cut."""
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text[:LONGEST])
    return shown + "..." if len(text) > LONGEST else shown


class Cell(NamedTuple):
    """Text of a table, and how it looks: a name of Paint, or none."""

    text: str
    look: str = ""


class Paint:
    """Colours where they are wanted: on a terminal, and without NO_COLOR (https://no-color.org)."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, stream: TextIO) -> "Paint":
        """Of this stream."""
        return cls(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")

    def __call__(self, text: str, look: str) -> str:
        """The text in that look."""
        return f"\x1b[{_CODES[look]}m{text}\x1b[0m" if self.on and look else text

    def series(self, text: str, number: int) -> str:
        """In the colour of the line of that number."""
        return f"\x1b[{_SERIES[number % len(_SERIES)]}m{text}\x1b[0m" if self.on else text


def table(rows: Sequence[Sequence[Cell | str]], paint: Paint, *, indent: str = "", right: Sequence[int] = ()) -> list[str]:
    """Lines with columns below each other, two spaces apart, of any text; `right`: columns that end below each other."""
    given = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    cells = [[Cell(printable(cell.text), cell.look) for cell in row] for row in given]
    columns = max(map(len, cells), default=0)
    widths = [max((len(row[at].text) for row in cells if at < len(row)), default=0) for at in range(columns)]
    lines = []
    for row in cells:
        parts = []
        for at, cell in enumerate(row):
            last = at == len(row) - 1 and at not in right
            text = cell.text.rjust(widths[at]) if at in right else cell.text if last else cell.text.ljust(widths[at])
            parts.append(paint(text, cell.look))
        lines.append((indent + "  ".join(parts)).rstrip())
    return lines


def width(stream: TextIO) -> int:
    """Characters of a line."""
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else WIDEST


def show(draw: Callable[[], tuple[list[str], int]], seconds: float | None, stream: TextIO) -> int:
    """Print the lines that `draw` gives once; with `seconds` again and again, until Ctrl-C. The last picture's exit status.

    On a terminal pictures replace each other; elsewhere a blank line is between two. What cannot be had for a while is said in
    the picture's place.
    """
    if seconds is None:
        lines, status = draw()
        print("\n".join(lines), file=stream)
        return status
    live, status, lines = stream.isatty(), 1, []
    if live:
        stream.write(_ENTER)
    try:
        while True:
            try:
                lines, status = draw()
            except Unavailable as error:
                lines, status = [printable(str(error))], 1
            _picture(lines, stream) if live else print("\n".join(lines), end="\n\n", file=stream, flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return status
    finally:
        if live:
            stream.write(_LEAVE)
            print("\n".join(lines), file=stream, flush=True)


def _picture(lines: Sequence[str], stream: TextIO) -> None:
    height = max(2, shutil.get_terminal_size((100, 24)).lines)
    left = len(lines) - (height - 1)
    shown = [*lines[: height - 2], f"... and {left + 1} more lines"] if left > 0 else list(lines)
    stream.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in shown) + "\x1b[J")
    stream.flush()
