"""What has been made of a body so far: it is taken in pieces, and stored and answered as one."""

from collections.abc import Iterator, Sequence

from metricstore.disk.formats import Columns
from metricstore.numeric.kernels import NAMED
from metricwire.lineprotocol import TEXT_SHOWN, BadLine
from metricwire.samples import Labels

LOOK = 65536  # bytes whose lines are counted at once


class Refused(Exception):
    """Why a line that could be read cannot be kept, as a word to count by and a sentence to answer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Taken:
    """Samples and labels to store, and the lines that are refused: the first are named, the others counted."""

    def __init__(self, body: bytes) -> None:
        self.columns: list[Columns] = []
        self.labels: dict[tuple[str, ...], Labels] = {}  # by path: the last line wins
        self.label_bytes = 0  # that these add
        self.label_lines = 0
        self.bad: list[BadLine] = []
        self.rejected = 0
        self._refused: list[tuple[int, str]] = []  # of this piece: line, why
        self._body, self._at, self._line = body, 0, 1  # where that line begins

    @property
    def count(self) -> int:
        """Lines, and samples of lines with several, that are stored with this."""
        return sum(len(one.numbers) for one in self.columns) + self.label_lines

    def refuse(self, line: int, why: str) -> None:
        """That line of the body is not kept."""
        self.rejected += 1
        self._refused.append((line, why))

    def end_piece(self, columns: Columns, bad: Sequence[BadLine], bad_count: int) -> None:
        """The samples of a piece, and its lines that could not be read; those of the next piece are behind them."""
        self.columns.append(columns)
        self.rejected += bad_count
        if len(self.bad) < NAMED:
            named = [bad_line(line, self._text(line), why) for line, why in sorted(self._refused)[:NAMED]]
            self.bad = sorted([*self.bad, *bad, *named])[:NAMED]
        self._refused = []

    def _text(self, line: int) -> bytes:
        """The begin of that line; none before the last one asked for."""
        while self._line < line:
            look = self._body[self._at : self._at + LOOK]
            rest = look.split(b"\n", line - self._line)
            self._line += len(rest) - 1
            self._at += len(look) - (len(rest[-1]) if self._line == line else 0)
        return self._body[self._at : self._at + 4 * TEXT_SHOWN].split(b"\n", 1)[0]


def bad_line(number: int, line: bytes, why: str) -> BadLine:
    """A line that is not kept, as it is answered."""
    return BadLine(number, line[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN], why)


def pieces(body: bytes, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Whole lines, about so many bytes of them: how many lines are before, they, and whether they are the last."""
    before = start = 0
    while start + size < len(body):
        end = body.rfind(b"\n", start, start + size) + 1 or body.find(b"\n", start + size) + 1
        if not end or end == len(body):
            break
        yield before, body[start:end], False
        before += body.count(b"\n", start, end)
        start = end
    yield before, body[start:], True
