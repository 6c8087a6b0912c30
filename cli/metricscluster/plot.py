"""Lines of a terminal that show the course of series: braille dots, axes with units and times, a legend. Pure.

A cell of braille has 2 x 4 dots. Where many samples share a column of dots it shows all from the least to the greatest, so
that no peak is lost. Several series need colours to be told apart; without them each is drawn with a letter of its own.
"""

import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from metricscluster.figures import figure
from metricscluster.terminal import Paint

HEIGHT = 17  # lines of the field: quarters of it have a figure in front
NARROWEST = 24  # cells of the field
LARGEST = 8  # series of one plot
NEAR = 2.5  # times the usual distance of two samples: those farther apart are not joined
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, then from the top
_EMPTY = 0x2800
_LETTERS, _SEVERAL = "abcdefgh", "*"
TICKS = range(0, HEIGHT, HEIGHT // 4)  # lines with a figure in front


class Line(NamedTuple):
    """A name for the legend, and (time in seconds, value)."""

    name: str
    samples: Sequence[tuple[int, float]]


class Field(NamedTuple):
    """What is shown: times, values, and so many cells."""

    start: float
    end: float
    low: float
    high: float
    width: int

    def column(self, stamp: float, of: int) -> int:
        """The place of a time among `of` columns."""
        return min(of - 1, max(0, int((stamp - self.start) / (self.end - self.start) * of)))

    def row(self, value: float, of: int) -> int:
        """The place of a value among `of` rows, from the top."""
        share = (self.high / 2 - value / 2) / (self.high / 2 - self.low / 2)  # the whole difference may be no number
        return min(of - 1, max(0, round(share * (of - 1))))


def plot(
    lines: Sequence[Line],
    unit: str,
    title: str,
    *,
    columns: int,
    paint: Paint,
    braille: bool = True,
    local: Callable[[float], time.struct_time] = time.localtime,
) -> list[str]:
    """The lines, at most `columns` wide; `local` gives the time of day that the axis shows."""
    low, high = _bounds([value for line in lines for _, value in line.samples])
    labels = {at: figure(high * (1 - at / (HEIGHT - 1)) + low * (at / (HEIGHT - 1)), unit) for at in TICKS}
    margin = max(map(len, labels.values()))
    stamps = [stamp for line in lines for stamp, _ in line.samples]
    start, end = min(stamps), max(stamps)
    field = Field(start, max(end, start + 1), low, high, max(NARROWEST, columns - margin - 2))
    letters = not braille or (len(lines) > 1 and not paint.on)
    drawn = _lettered(lines, field) if letters else _dotted(lines, field, paint)
    found = [title]
    for at, text in enumerate(drawn):
        found.append(
            f"{labels.get(at, ''):>{margin}} {'┤' if at in labels else '│'}{text}".rstrip()
            if braille
            else f"{labels.get(at, ''):>{margin}} |{text}".rstrip()
        )
    found.append(" " * (margin + 1) + (f"└{'─' * field.width}" if braille else f"+{'-' * field.width}"))
    found.append(" " * (margin + 2) + _times(field, local))
    if len(lines) > 1:
        marks = [_LETTERS[at] if letters else paint.series("━━", at) for at in range(len(lines))]
        found += [f"{' ' * (margin + 2)}{mark} {line.name}" for mark, line in zip(marks, lines, strict=True)]
        if any(_SEVERAL in text for text in drawn):
            found.append(f"{' ' * (margin + 2)}{_SEVERAL} several of them")
    return found


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """What the field shows, from and to."""
    low, high = min(values), max(values)
    if low / 2 == high / 2:  # the smallest numbers have no half
        room, most = abs(high) * 0.1 + 0.5, sys.float_info.max
        low, high = (max(-most, low - room), min(most, high + room)) if low else (0.0, 1.0)
    elif 0 < low < high / 2:
        low = 0.0  # a course near zero is read best from zero
    return low, high


def _dotted(lines: Sequence[Line], field: Field, paint: Paint) -> list[str]:
    cells = [[0] * field.width for _ in range(HEIGHT)]
    owner = [[0] * field.width for _ in range(HEIGHT)]
    for number, line in enumerate(lines):
        for column, (top, bottom) in _strokes(line, field, field.width * 2, HEIGHT * 4):
            for dot in range(top, bottom + 1):
                cells[dot // 4][column // 2] |= _DOTS[column % 2][dot % 4]
                owner[dot // 4][column // 2] = number
    rows = zip(cells, owner, strict=True)
    many = len(lines) > 1
    return [
        "".join(
            " " if not bits else paint.series(chr(_EMPTY + bits), number) if many else chr(_EMPTY + bits)
            for bits, number in zip(row, numbers, strict=True)
        )
        for row, numbers in rows
    ]


def _lettered(lines: Sequence[Line], field: Field) -> list[str]:
    cells = [[" "] * field.width for _ in range(HEIGHT)]
    for number, line in enumerate(lines):
        for column, (top, bottom) in _strokes(line, field, field.width, HEIGHT):
            for row in range(top, bottom + 1):
                cells[row][column] = _LETTERS[number] if cells[row][column] == " " else _SEVERAL
    return ["".join(row) for row in cells]


def _strokes(line: Line, field: Field, columns: int, rows: int) -> list[tuple[int, tuple[int, int]]]:
    """By column, the rows from the greatest to the least of its samples, and of the way to the one before, if that is near."""
    found: dict[int, tuple[int, int]] = {}
    gaps = sorted(after[0] - before[0] for before, after in pairwise(line.samples))
    near = NEAR * gaps[len(gaps) // 2] if gaps else 0
    before = None
    for stamp, value in line.samples:
        column, row = field.column(stamp, columns), field.row(value, rows)
        way = [(column, row, row)]
        if before is not None and stamp - before[0] <= near:
            _, first, height = before
            steps = column - first
            levels = [round(height + (row - height) * at / steps) for at in range(steps + 1)] if steps else []
            way += [(first + at, levels[at - 1], levels[at]) for at in range(1, steps + 1)]
        for at, *levels in way:
            known = found.get(at, ())
            found[at] = min(*known, *levels), max(*known, *levels)
        before = stamp, column, row
    return sorted(found.items())


def _times(field: Field, local: Callable[[float], time.struct_time]) -> str:
    """The first, the middle and the last time, and which zone they are of."""
    whole_days = field.end - field.start >= 86400
    form = "%m-%d %H:%M" if whole_days else "%H:%M:%S"
    stamps = [time.strftime(form, local(at)) for at in (field.start, (field.start + field.end) / 2, field.end)]
    zone = local(field.end).tm_zone or ""
    room = field.width - sum(map(len, stamps))
    if room < 2:
        return f"{stamps[0]}{' ' * (room + len(stamps[1]))}{stamps[2]} {zone}".rstrip()
    left = room // 2
    return f"{stamps[0]}{' ' * left}{stamps[1]}{' ' * (room - left)}{stamps[2]} {zone}".rstrip()
