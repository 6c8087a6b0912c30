r"""Prometheus' text format 0.0.4, and what OpenMetrics 1.0 adds to it: bytes to samples that line protocol can carry.

    line     = sample | "# TYPE " name " " kind | "#" comment | ""
    sample   = name [ "{" [ label { "," label } [ "," ] ] "}" ] " " number [ " " timestamp ] [ " # " exemplar ]
    label    = label name "=" '"' text '"'

Rules
- All or nothing: the first line that is not of this form ends it (BadInput, with its number), and so does a last line without
  an LF: a file or an answer that was cut short must not give `12` for `123`.
- A sample has the kind that the TYPE line of its family said before; none: untyped. OpenMetrics' unknown is untyped, its info
  and stateset are gauges.
- Labels become tags, sorted; an empty one is none. One that our lines or expositions use themselves (`taken`) gets `exported_`
  in front, as in Prometheus, so that nobody's samples pass for those of another host or pod.
- Left out and counted: values that are not finite; names that no line can carry (control characters, a final backslash, more
  than 255 bytes, more than TAGS labels); the metric `info`, which would set labels.
- There is a limit of lines too, ten for each sample and some: comments and blank lines cost time as well.
- Exemplars are passed over. So are timestamps, after the line of the first is noted: what they mean is for who asks to say.

Not prometheus_client's parser: it takes 35 us a sample with four labels, this one 18, and 2 where `heads` has what named it the
last time; for a label of backslashes it takes a time that is quadratic in their number.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from metricwire.errors import BadInput, TooLarge
from metricwire.lineprotocol import LABEL_METRIC, Limits
from metricwire.reserved import PLACE_TAGS

LINE = 65536  # bytes of a line
LINES = (10, 1000)  # at most so many for each sample that there may be, and so many more
TAGS = Limits().tags - 6  # a line has those of the place too
UNTYPED = "untyped"
_NAME = Limits().name  # bytes

Series = tuple[str, tuple[tuple[str, str], ...]]  # name and tags


class Exposed(NamedTuple):
    """One sample; `kind` is counter, gauge, histogram, summary or untyped."""

    name: str
    kind: str
    tags: tuple[tuple[str, str], ...]
    value: float


class Parser:
    """Bytes in, in pieces of any size; `close` gives the samples, in order. BadInput and TooLarge end it.

    `most`: samples, and families, beyond which it is TooLarge, as beyond LINES. `heads`: those of an earlier parser
    for the same `taken`.
    """

    def __init__(
        self, most: int, taken: Callable[[str], bool] = PLACE_TAGS.__contains__, heads: Mapping[bytes, Series] | None = None
    ) -> None:
        self.heads: dict[bytes, Series] = {}  # what named a series here, for the next parser
        self.stamped = 0  # the first line with a timestamp
        self.names = 0  # bytes of the names and labels of all samples, as they were written
        self.not_finite = self.unspeakable = 0  # samples left out
        self._most = most
        self._lines = most * LINES[0] + LINES[1]
        self._taken = taken
        self._known = heads or {}
        self._kinds: dict[str, str] = {}
        self._families: set[str] = set()
        self._samples: list[Exposed] = []
        self._count = self._number = 0  # of samples, of lines
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._number += 1
            if self._number > self._lines:
                raise TooLarge(f"line {self._number}: more than {self._lines} lines")
            self._take(line)
        if len(self._rest) > LINE:
            self._number += 1
            raise self._bad(f"longer than {LINE} bytes")

    def close(self) -> list[Exposed]:
        """The end of the bytes."""
        if self._rest:
            self._number += 1
            raise self._bad("does not end with a line feed: it is cut short")
        return self._samples

    def _take(self, line: bytes) -> None:
        head, _, number = line.rpartition(b" ")
        series = self._known.get(head)
        if series is not None and _NUMBER.fullmatch(number):
            self._keep(head, series, float(number))
            return
        if len(line) > LINE:
            raise self._bad(f"longer than {LINE} bytes")
        text = line.strip(b" \t")
        if text.startswith(b"#"):
            self._take_comment(text)
        elif text:
            self._take_sample(text)

    def _take_sample(self, text: bytes) -> None:
        found = _SAMPLE.fullmatch(text)
        if not found:
            raise self._bad('not of the form name{label="text"} number')
        name, labels, number, stamp = found.groups()
        if not _NUMBER.fullmatch(number):
            raise self._bad(f"value {_shown(number)} is not a number")
        if stamp and not self.stamped:
            self.stamped = self._number
        head = name + (labels or b"")
        series = self._known.get(head) or self.heads.get(head) or self._series(name.decode(), labels or b"")
        if series is None:
            self.unspeakable += 1
            self._more()
        else:
            self._keep(head, series, float(number))

    def _keep(self, head: bytes, series: Series, value: float) -> None:
        self._more()
        self.names += len(head)
        self.heads[head] = series
        if not math.isfinite(value):
            self.not_finite += 1
            return
        name, tags = series
        kind = self._kinds.get(name)
        if kind is None:  # it may not get another one afterwards
            kind = self._kinds[name] = UNTYPED
        self._samples.append(Exposed(name, kind, tags, value))

    def _more(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise TooLarge(f"line {self._number}: more than {self._most} samples")

    def _series(self, name: str, text: bytes) -> Series | None:
        """The series of a name and `{labels}`; None when no line can carry it."""
        try:
            labels = [(key.decode(), _ESCAPE.sub(_unescaped, value).decode()) for key, value in _LABEL.findall(text)]
        except UnicodeDecodeError:
            raise self._bad("not UTF-8") from None
        tags = dict(labels)
        if len(tags) < len(labels) or "__name__" in tags:
            raise self._bad("a label is given twice, or is called __name__")
        for key in filter(self._taken, list(tags)):
            new = "exported_" + key
            while new in tags:
                new = "exported_" + new
            tags[new] = tags.pop(key)
        pairs = tuple(sorted((key, value) for key, value in tags.items() if value))
        return (name, pairs) if name != LABEL_METRIC and len(pairs) <= TAGS and _speakable(name, pairs) else None

    def _take_comment(self, text: bytes) -> None:
        """Only TYPE says something that is needed."""
        if not _TYPE_LINE.match(text):
            return
        found = _TYPE.fullmatch(text)
        if not found or found[2].lower() not in _KINDS:
            raise self._bad(f"{_shown(text)} is not of the form # TYPE name kind")
        family = found[1].decode()
        kind, endings = _KINDS[found[2].lower()]
        names = [family + ending for ending in endings]
        if family in self._families:
            raise self._bad(f"a second TYPE of {family}")
        if any(self._kinds.get(name) == UNTYPED for name in names):
            raise self._bad(f"TYPE of {family} after its samples")
        self._families.add(family)
        self._kinds |= dict.fromkeys(names, kind)
        if len(self._families) > self._most:
            raise TooLarge(f"line {self._number}: more than {self._most} families")

    def _bad(self, reason: str) -> BadInput:
        return BadInput(f"line {self._number}: {reason}")


def _unescaped(found: re.Match[bytes]) -> bytes:
    """A backslash before anything else stays, as in Prometheus."""
    return _ESCAPES.get(found[0], found[0])


def _speakable(name: str, tags: tuple[tuple[str, str], ...]) -> bool:
    """Whether a line can carry them."""
    texts = [name]
    for tag in tags:
        texts += tag
    together = "".join(texts)
    if "\\" in together and any(text.endswith("\\") for text in texts):
        return False
    fits = len(together) * 4 <= _NAME or max(len(text.encode()) for text in texts) <= _NAME
    return fits and not _CONTROL.search(together)


def _shown(text: bytes) -> str:
    return ascii(text[:80].decode("utf-8", "replace"))


# Possessive forms: no input makes them backtrack.
_LABEL_TEXT = rb'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?>[^"\\]|\\.)*+)"[ \t]*+'
_NO_GROUPS = _LABEL_TEXT.replace(b"(", b"(?:").replace(b"(?:?", b"(?")
_LABEL = re.compile(_LABEL_TEXT, re.DOTALL)
_SAMPLE = re.compile(
    rb"([a-zA-Z_:][a-zA-Z0-9_:]*+)(?:[ \t]*+(\{(?:" + _NO_GROUPS + rb",)*+(?:" + _NO_GROUPS + rb")?+[ \t]*+\})[ \t]*+|[ \t]++)"
    rb"([^ \t]++)(?:[ \t]++(-?[0-9]++(?:\.[0-9]++)?+))?+(?:[ \t]++#[ \t]*+\{.*+)?+",
    re.DOTALL,
)
_NUMBER = re.compile(rb"[+-]?(?:(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:e[+-]?[0-9]++)?|nan|inf(?:inity)?)", re.IGNORECASE)
_TYPE_LINE = re.compile(rb"#[ \t]*+TYPE[ \t]")
_TYPE = re.compile(rb"#[ \t]*+TYPE[ \t]++([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]++([a-zA-Z]++)")
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_ESCAPES = {rb"\n": b"\n", rb"\"": b'"', rb"\\": b"\\"}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_KINDS = {  # of a TYPE line: ours, and the endings of its samples
    b"counter": ("counter", ("", "_total")),
    b"gauge": ("gauge", ("",)),
    b"histogram": ("histogram", ("", "_bucket", "_sum", "_count")),
    b"summary": ("summary", ("", "_sum", "_count")),
    b"untyped": (UNTYPED, ("",)),
    b"unknown": (UNTYPED, ("",)),
    b"info": ("gauge", ("_info",)),
    b"stateset": ("gauge", ("",)),
    b"gaugehistogram": ("histogram", ("_bucket", "_gsum", "_gcount")),
}
