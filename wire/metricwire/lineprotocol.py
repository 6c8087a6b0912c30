r"""Line protocol: bytes to samples and back (spec/metric-store-api.md "Line protocol").

    line        = metric { "," tag } " " field { "," field } [ " " timestamp ]
    tag         = key "=" value            field = key "=" ( number | string | boolean )
    number      = float | integer "i" | unsigned "u"

Rules
- A line ends at LF (or CRLF) outside of a quoted string; a string that is not closed within `Limits.line` bytes ends at the
  first LF, so that one stray quote costs one line. `#` starts a comment. Empty lines are nothing.
- A backslash escapes "," and " " in a metric, and "," "=" " " in tags and field keys; before anything else it is a backslash.
- Of a tag given twice the last counts, `host` and `hostname` being the same tag. `unit`, `source`, `group` are dropped.
- One field, `value`: a finite number. Lines whose field is `event`, `log` or `control` are messages of the same flavour,
  counted and left out. The metric `info` sets labels instead of a sample.
- Timestamps are told apart by magnitude: seconds, ms, us, ns; cut to seconds. None: `now`.

InfluxDB's clients send the same lines with more in them (`influx_unit`): every field that is a number or a boolean (1, 0) is a
sample, of the metric `metric_field`, or `metric` if the field is `value`; each that is a string counts as a message; all tags
are kept; nothing sets labels. The unit of timestamps is said with the request.

This is the reference: every faster path must give the same answer for any bytes. Invariant: any bytes give samples, labels or
BadLine, never another exception, and however the bytes are cut, the same ones.
"""

import math
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from metricwire.errors import BadInput
from metricwire.samples import Labels, Place, Sample, SeriesKey

TEXT_SHOWN = 80  # characters of a bad line that a report repeats
BAD_KEPT = 1000  # bad lines of a batch that are kept; the others are only counted
PIECE = 65536  # bytes that are cut into lines at once
META_TAGS = frozenset({"unit", "source", "group"})  # ClusterCockpit's: they describe, they do not identify
MESSAGES = frozenset({"event", "log", "control"})
LABEL_METRIC = "info"


class Limits(NamedTuple):
    """What one line may hold; beyond it the line is refused, never cut."""

    line: int = 65536  # bytes, its LF not counted
    tags: int = 32
    name: int = 255  # bytes of a metric name, tag name or tag value


class BadLine(NamedTuple):
    """A line that was not taken: its number in the body (from 1), its first characters, and why."""

    number: int
    text: str
    reason: str


@dataclass(slots=True)
class Batch:
    """What some bytes held, in order; `sample_lines` and `label_lines` are the line numbers of samples and labels."""

    samples: list[Sample] = field(default_factory=list)
    sample_lines: list[int] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    label_lines: list[int] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)  # the first BAD_KEPT of them
    bad_count: int = 0  # of all of them
    messages: int = 0  # events, logs and control lines left out


class Refused(Exception):
    """Inside this module: why the line at hand is bad."""


class Heads:
    """Series by the bytes that named them before, so that a repeated line costs little. For one set of limits.

    Bounded by their number and by the bytes of their names: at a bound all are forgotten. Threads may share it.
    """

    def __init__(self, most: int = 250_000, most_bytes: int = 32 * 1024**2) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._count = self._bytes = 0
        self._by_cluster: dict[str, dict[bytes, SeriesKey]] = {}
        self._lock = threading.Lock()

    def of(self, cluster: str) -> dict[bytes, SeriesKey]:
        """Those of bodies with that default cluster; a cluster that named none takes no room."""
        return self._by_cluster.get(cluster, {})

    def add(self, cluster: str, head: bytes, series: SeriesKey) -> dict[bytes, SeriesKey]:
        """Remember one; what `of` gives from now on."""
        size = len(head) + len(cluster)
        with self._lock:
            if self._count >= self._most or self._bytes + size > self._most_bytes:
                self._by_cluster = {}
                self._count = self._bytes = 0
            known = self._by_cluster.get(cluster)
            if known is None:
                known = self._by_cluster[cluster] = {}
            if head not in known:
                self._count += 1
                self._bytes += size
            known[head] = series
            return known


def decode(
    body: bytes,
    *,
    now: int,
    cluster: str = "",
    limits: Limits | None = None,
    heads: Heads | None = None,
    influx_unit: int = 0,
) -> Batch:
    """All of a body at once; see Decoder, which also says when it is BadInput."""
    decoder = Decoder(now=now, cluster=cluster, limits=limits, heads=heads, influx_unit=influx_unit)
    decoder.feed(body)
    return decoder.close()


class Decoder:
    """Bytes in, in pieces of any size; the batch out at `close`.

    `now` (seconds) is given to lines without a timestamp, `cluster` to lines without that tag: BadInput when no tag could say
    it. `heads`, where given, are remembered for further bodies. `influx_unit`, where not 0, says that the lines are of
    InfluxDB's clients, and how many nanoseconds their timestamps count in.
    """

    def __init__(
        self,
        *,
        now: int,
        cluster: str = "",
        limits: Limits | None = None,
        heads: Heads | None = None,
        influx_unit: int = 0,
    ) -> None:
        self.now = now
        self.cluster = cluster
        self.limits = limits or Limits()
        self.batch = Batch()
        self._influx_unit = influx_unit
        if cluster:
            _check_default(cluster, self.limits)
        self._heads = heads
        self._names = f"{cluster}\n" if influx_unit else cluster  # of known heads: what one names depends on who sends it
        self._known = heads.of(self._names) if heads else {}
        self._rest = bytearray()
        self._number = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes; lines that are complete go to the batch."""
        self._rest += data
        if b"\n" in data:
            self._take_lines(final=False)

    def close(self) -> Batch:
        """The end of the bytes: what is left is the last line."""
        self._take_lines(final=True)
        return self.batch

    def _take_lines(self, final: bool) -> None:
        rest = bytes(self._rest)
        start = self._take_quoted(rest, final) if b'"' in rest else self._take_plain(rest, final)
        self._rest = bytearray(rest[start:])

    def _take_plain(self, text: bytes, final: bool) -> int:
        """Take lines that each end at an LF; where what is left begins."""
        start = 0
        while (end := text.rfind(b"\n", start, start + PIECE)) >= 0 or (end := text.find(b"\n", start)) >= 0:
            for line in text[start:end].split(b"\n"):
                self._number += 1
                self._take(line)
            start = end + 1
        if final and start < len(text):
            self._number += 1
            self._take(text[start:])
            start = len(text)
        return start

    def _take_quoted(self, text: bytes, final: bool) -> int:
        """Take lines whose strings may hold LFs; where what is left begins."""
        start = 0
        while start < len(text):
            end = _line_end(text, start, self.limits.line, final)
            if end is None:
                break
            self._number += 1
            self._take(text[start:end])
            self._number += text.count(b"\n", start, end)  # inside quoted strings
            start = end + 1
        return start

    def _take(self, raw: bytes) -> None:
        head, _, rest = raw.partition(b" ")
        usual = _USUAL.fullmatch(rest) if len(raw) <= self.limits.line and not self._influx_unit else None
        try:
            if usual and head and b"\\" not in head and not head.startswith(_UNUSUAL_HEADS):
                timestamp = self.now if usual[2] is None else int(usual[2])
                self._keep(self._series(head), timestamp, float(usual[1]))
                return
            line = raw.removesuffix(b"\r").strip(b" ")
            if not line or line.startswith(b"#"):
                return
            if len(raw) > self.limits.line:
                raise Refused(f"longer than {self.limits.line} bytes")
            self._parse(line)
        except Refused as refused:
            self.batch.bad_count += 1
            if self.batch.bad_count <= BAD_KEPT:
                text = raw[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN]
                self.batch.bad.append(BadLine(self._number, text, str(refused)))

    def _parse(self, line: bytes) -> None:
        found = _LINE.fullmatch(line)
        if not found:
            raise Refused("not of the form metric,tags value=number timestamp")
        head, fields, stamp = found.groups()
        if self._influx_unit:
            self._parse_fields(head, fields, stamp)
            return
        value = _value(fields)
        if value is None:
            self.batch.messages += 1
            return
        series = self._series(head)
        if series.metric == LABEL_METRIC:
            self.batch.labels.append(Labels(series.place, series.tags))
            self.batch.label_lines.append(self._number)
        else:
            self._keep(series, self.now if stamp is None else _seconds(stamp), value)

    def _series(self, head: bytes) -> SeriesKey:
        """The series of a head, which is remembered where heads were given."""
        series = self._known.get(head)
        if series is None:
            series = parse_head(head, self.cluster, self.limits, frozenset() if self._influx_unit else META_TAGS)
            if self._heads:
                self._known = self._heads.add(self._names, head, series)
        return series

    def _keep(self, series: SeriesKey, timestamp: int, value: float) -> None:
        self.batch.samples.append(Sample(series, timestamp, value))
        self.batch.sample_lines.append(self._number)

    def _parse_fields(self, head: bytes, fields: bytes, stamp: bytes | None) -> None:
        """A line of an InfluxDB client: good as a whole or not at all."""
        series = self._series(head)
        timestamp = self.now if stamp is None else _seconds(stamp, self._influx_unit)
        found, messages = [], 0
        for key, value in _FIELD.findall(fields):
            if value.startswith(b'"'):
                messages += 1
                continue
            number = _TRUTH[value] if value in _TRUTH else _number(value)
            found.append(Sample(series._replace(metric=self._metric(series.metric, key)), timestamp, number))
        self.batch.messages += messages
        self.batch.samples += found
        self.batch.sample_lines += [self._number] * len(found)

    def _metric(self, measurement: str, key: bytes) -> str:
        """What a field of a measurement is called here."""
        name = _text(key, "field", self.limits, b",= ")
        metric = measurement if name == "value" else f"{measurement}_{name}"
        if metric == LABEL_METRIC:
            raise Refused(f"a metric cannot be called {LABEL_METRIC}: lines of that name set labels in /api/write")
        if len(metric.encode()) > self.limits.name:
            raise Refused(f"metric {_shown(metric.encode())} is longer than {self.limits.name} bytes")
        return metric


def _line_end(text: bytes, start: int, longest: int, final: bool) -> int | None:
    """Where the line at `start` ends (its LF, or the end of the text); None: the rest has still to come.

    An LF inside a quoted string does not end a line, unless the string is not closed within the longest line.
    """
    first = text.find(b"\n", start)
    if first < 0:
        return len(text) if final else None
    if text.find(b'"', start, first) < 0:
        return first
    reach = start + longest + 1
    found = _QUOTED_LINE.match(text, start, reach)
    if found is None or found.end() == first:
        undecided = found is None and len(text) < reach and not final  # bytes to come can still make it match
        return None if undecided else first
    if found.end() < len(text):
        return first if found.end() == reach or found["open"] else found.end()
    if not final:
        return None
    return first if found["open"] else len(text)


def series_of(head: bytes, cluster: str, limits: Limits) -> SeriesKey | None:
    """The series of what stands before the first space of a line with a sample. None: no sample's, or a Decoder has to say."""
    if b"\\" in head or head.startswith(_UNUSUAL_HEADS):
        return None
    try:
        return parse_head(head, cluster, limits)
    except Refused:
        return None


def parse_head(head: bytes, cluster: str, limits: Limits, dropped: frozenset[str] = META_TAGS) -> SeriesKey:
    """The series that `metric,tag=value,...` names, tags `dropped` left out. Refused says what is wrong with it."""
    name = _split(head, _HEAD_PART)[0] if b"\\" in head else head.partition(b",")[0]
    tags = head[len(name) :]
    place, others = (_known_tags if len(tags) <= _TAGS_KNOWN else _tags)(tags, cluster, limits, dropped)
    return SeriesKey(place, _metric_name(name, limits), others)


def _tags(text: bytes, cluster: str, limits: Limits, dropped: frozenset[str]) -> tuple[Place, tuple[tuple[str, str], ...]]:
    """The place that `,tag=value...` names, and the tags that do not say where."""
    pairs = _split(text, _HEAD_PART) if b"\\" in text else text.split(b",")
    if len(pairs) - 1 > limits.tags:
        raise Refused(f"more than {limits.tags} tags")
    tags = dict([_tag(pair, limits) for pair in pairs[1:]])
    for key in dropped & tags.keys():
        del tags[key]
    return _place(tags, cluster), tuple(sorted(tags.items()))


_TAGS_KNOWN = 512  # bytes of tags that are remembered
_known_tags = lru_cache(8192)(_tags)  # a place has many metrics


@lru_cache(8192)
def _tag(pair: bytes, limits: Limits) -> tuple[str, str]:
    """Name and value of a tag. Few different ones make up many heads."""
    parts = _split(pair, _TAG_PART) if b"\\" in pair else pair.split(b"=")
    if len(parts) != 2:
        raise Refused(f"tag {_shown(pair)} is not of the form name=value")
    key = _text(parts[0], "tag name", limits, b",= ")
    return "hostname" if key == "host" else key, _text(parts[1], f"tag {key}", limits, b",= ")


@lru_cache(8192)
def _metric_name(name: bytes, limits: Limits) -> str:
    return _text(name, "metric", limits, b", ")


def _place(tags: dict[str, str], cluster: str) -> Place:
    """Take the tags that say where out of `tags`."""
    cluster, host = tags.pop("cluster", cluster), tags.pop("hostname", "")
    if not cluster:
        raise Refused("no cluster tag, and no default cluster was given with the request")
    if not host:
        raise Refused("no hostname tag")
    _check_name("cluster", cluster)
    _check_name("hostname", host)
    kind, kind_id = tags.pop("type", ""), tags.pop("type-id", "")
    below, below_id = tags.pop("stype", ""), tags.pop("stype-id", "")
    if kind == "node":
        kind = kind_id = ""
    if (kind_id and not kind) or (below_id and not below):
        raise Refused("type-id without type" if kind_id and not kind else "stype-id without stype")
    return Place(cluster, host, kind, kind_id, below, below_id)


def _check_name(what: str, name: str) -> None:
    """Names of clusters and hosts are names of folders elsewhere."""
    if ".." in name or "/" in name or "\\" in name or name == ".":
        raise Refused(f"{what} {_shown(name.encode())} must not contain '..', '/' or '\\'")


def _check_default(cluster: str, limits: Limits) -> None:
    """BadInput for a default cluster that would be refused as a tag."""
    try:
        _check_name("cluster", _plain_text(cluster.encode("utf-8", "surrogatepass"), "cluster", limits))
    except Refused as refused:
        raise BadInput(f"cannot use the default cluster: {refused}") from None


def _value(fields: bytes) -> float | None:
    """The number of the field `value`; None for messages."""
    found = [(m[1], m[2]) for m in _FIELD.finditer(fields)]
    if any(key.decode("ascii", "replace") in MESSAGES for key, _ in found):
        return None
    if len(found) != 1 or found[0][0] != b"value":
        names = ", ".join(_shown(key) for key, _ in found[:3])
        raise Refused(f"expected the one field value, found {names}")
    return _number(found[0][1])


def _number(text: bytes) -> float:
    if _FLOAT.fullmatch(text):
        number = float(text)
    elif _INTEGER.fullmatch(text):
        number = _integer(text)
    else:
        raise Refused(f"value {_shown(text)} is not a finite number")
    if math.isinf(number):
        raise Refused(f"value {_shown(text)} is larger than a 64-bit float")
    return number


def _integer(text: bytes) -> float:
    digits = text[:-1]
    low, high = (-(2**63), 2**63 - 1) if text.endswith(b"i") else (0, 2**64 - 1)
    if len(digits) > 20 or not low <= int(digits) <= high:
        raise Refused(f"value {_shown(text)} is not within 64 bits")
    return float(int(digits))


def _seconds(stamp: bytes, nanoseconds: int = 0) -> int:
    """A timestamp of that unit in seconds. 0: of any, for no second before year 5138 has 12 digits, no ms 15, no us 18."""
    if len(stamp) > 20 or not _STAMP.fullmatch(stamp):
        raise Refused(f"timestamp {_shown(stamp)} is not an integer of 64 bits")
    number = int(stamp)
    if not -(2**63) <= number < 2**63:
        raise Refused(f"timestamp {_shown(stamp)} is not an integer of 64 bits")
    if nanoseconds:
        return number * nanoseconds // 10**9
    size = abs(number)
    unit = 1 if size < 10**11 else 10**3 if size < 10**14 else 10**6 if size < 10**17 else 10**9
    return number // unit


def _split(text: bytes, part: re.Pattern[bytes]) -> list[bytes]:
    """`text` cut at the separators that are not escaped; the escapes stay in."""
    parts, at = [], 0
    while True:
        found = part.match(text, at)
        assert found is not None  # the patterns match the empty text
        parts.append(found[0])
        if found.end() == len(text):
            return parts
        at = found.end() + 1


def _text(raw: bytes, what: str, limits: Limits, escaped: bytes) -> str:
    """A name without its escapes: not empty, not too long, UTF-8, no control characters."""
    if b"\\" in raw:
        raw = re.sub(rb"\\([" + escaped + rb"])", rb"\1", raw)
    return _plain_text(raw, what, limits)


def _plain_text(raw: bytes, what: str, limits: Limits) -> str:
    if not raw:
        raise Refused(f"{what} is empty")
    if len(raw) > limits.name:
        raise Refused(f"{what} is longer than {limits.name} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused(f"{what} {_shown(raw)} is not UTF-8") from None
    if _CONTROL.search(text):
        raise Refused(f"{what} {_shown(raw)} has a control character")
    return text


def _shown(raw: bytes) -> str:
    return ascii(raw[:TEXT_SHOWN].decode("utf-8", "replace"))


# Possessive and atomic forms: a backslash that escapes is never given back, and no input makes them backtrack.
_STRING = rb'"(?>[^"\\]|\\.)*+"'
_HEAD = rb"(?>\\[, =]|[^ \n])++"
_KEY = rb"(?>\\[,= ]|[^,= \n])++"
_FIELD_TEXT = _KEY + rb"=(?>" + _STRING + rb'|[^,= "\n]++)'
_LINE = re.compile(rb"(" + _HEAD + rb") ++(" + _FIELD_TEXT + rb"(?:," + _FIELD_TEXT + rb")*+)(?: ++([^ \n]++))?+", re.DOTALL)
_QUOTED_LINE = re.compile(  # up to the LF after the last string, or into a string that is open where the bytes end
    rb" *+" + _HEAD + rb" ++(?:" + _FIELD_TEXT + rb",)*+"
    rb"(?:" + _FIELD_TEXT + rb"[^\n]*+|" + _KEY + rb'=(?P<open>"(?>[^"\\]|\\.)*+\\?)\Z)',
    re.DOTALL,
)
_FIELD = re.compile(rb"(" + _KEY + rb")=(" + _STRING + rb'|[^,= "]++)', re.DOTALL)
_HEAD_PART = re.compile(rb"(?>\\[,= ]|[^,])*+")
_TAG_PART = re.compile(rb"(?>\\[,= ]|[^=])*+")
_USUAL = re.compile(rb"value=(-?[0-9]{1,15}(?:\.[0-9]{1,17})?)(?: ([0-9]{1,10}))?")  # what needs no look at limits of numbers
_UNUSUAL_HEADS = (b"#", LABEL_METRIC.encode() + b",")
_FLOAT = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(rb"[+-]?[0-9]+i|[0-9]+u")
_STAMP = re.compile(rb"-?[0-9]+")
_TRUTH = dict.fromkeys((b"t", b"T", b"true", b"True", b"TRUE"), 1.0) | dict.fromkeys(
    (b"f", b"F", b"false", b"False", b"FALSE"), 0.0
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def encode(sample: Sample) -> bytes:
    """One line, without LF. BadInput for what no line can carry."""
    if not math.isfinite(sample.value):
        raise BadInput(f"cannot encode {sample.series.metric}: value {sample.value} is not finite")
    return b"%b value=%b %d" % (encode_head(sample.series), repr(sample.value).encode(), sample.timestamp)


def encode_labels(labels: Labels, timestamp: int) -> bytes:
    """An `info` line, without LF."""
    return b"%b value=1 %d" % (encode_head(SeriesKey(labels.place, LABEL_METRIC, labels.labels)), timestamp)


def encode_head(series: SeriesKey) -> bytes:
    """`metric,cluster=...,hostname=...[,type=...]...`: what stays the same from sample to sample of a series."""
    place = series.place
    if series.metric.startswith("#"):
        raise BadInput(f"cannot encode metric {series.metric!r}: a line that starts with # is a comment")
    levels = [("type", place.type), ("type-id", place.type_id), ("stype", place.stype), ("stype-id", place.stype_id)]
    tags = [("cluster", place.cluster), ("hostname", place.host), *((k, v) for k, v in levels if v), *series.tags]
    pairs = [b"," + _escape(key, ",= ") + b"=" + _escape(value, ",= ") for key, value in tags]
    return _escape(series.metric, ", ") + b"".join(pairs)


def _escape(name: str, special: str) -> bytes:
    """BadInput for an empty name, a control character or a final backslash: no line can carry these."""
    if not name or name.endswith("\\") or _CONTROL.search(name):
        raise BadInput(f"cannot encode name {name!r}: it is empty, ends with a backslash or has a control character")
    for char in special:
        name = name.replace(char, "\\" + char)
    return name.encode()
