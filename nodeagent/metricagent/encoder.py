"""Readings and labels to samples, and to the lines that the store gets; what both share from tick to tick is remembered.

A node with 100 containers has 4,000 readings a tick: place and tags of a part are encoded once, and lines are put together a
few hundred at a time, which keeps both time and memory small.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from metricagent.collector import Reading
from metricwire.errors import BadInput
from metricwire.lineprotocol import encode_head, encode_labels
from metricwire.samples import Labels, Place, Sample, SeriesKey

TOGETHER = 500  # readings whose lines are joined at once
KEPT = 1000  # series that are remembered beside twice those of a tick
NAMED = 1000  # things that cannot be sent that the log names

logger = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """`text` has `lines` lines, each with its LF; `dropped` is how many could not be one, by reason."""

    samples: list[Sample]
    text: bytes
    lines: int
    dropped: Counter[str]


class _Part(NamedTuple):
    """A part of the host, with tags; `end` is what lines have between metric and value, None: no line can carry it."""

    place: Place
    tags: tuple[tuple[str, str], ...]
    end: str | None
    series: dict[str, tuple[SeriesKey, str | None]]  # by metric: the series, and the metric as it is written


class Encoder:
    """Encodes what is read at the host at `place`."""

    def __init__(self, place: Place) -> None:
        self._host = place
        self._parts: dict[tuple[object, ...], _Part] = {}
        self._remembered = 0  # series in all parts
        self._named: set[str] = set()

    def encode(self, readings: list[Reading], labels: Iterable[Labels], timestamp: int) -> Encoded:
        """Samples and lines, those of the labels first."""
        samples: list[Sample] = []
        dropped: Counter[str] = Counter()
        lines = self._label_lines(labels, timestamp, dropped)
        count, texts = len(lines), ["".join(lines).encode()]
        for start in range(0, len(readings), TOGETHER):
            lines = self._lines(readings[start : start + TOGETHER], timestamp, samples, dropped)
            count += len(lines)
            texts.append("".join(lines).encode())
        if self._remembered > 2 * len(readings) + KEPT:
            self._parts, self._remembered = {}, 0  # most of it is of what is no more
        return Encoded(samples, b"".join(texts), count, dropped)

    def _lines(self, readings: list[Reading], timestamp: int, samples: list[Sample], dropped: Counter[str]) -> list[str]:
        """The lines of readings, which become `samples` too."""
        lines = []
        for reading in readings:
            metric, value = reading.metric, reading.value
            part = self._parts.get(reading[2:]) or self._learn(reading)
            key, name = part.series.get(metric) or self._learn_metric(part, metric)
            if not math.isfinite(value):
                dropped["value"] += 1
                self._warn(metric, f"{value} is no number")
                continue
            samples.append(Sample(key, timestamp, value))
            if name is None or part.end is None:
                dropped["name"] += 1
            else:
                lines.append(f"{name}{part.end}{value!r} {timestamp}\n")
        return lines

    def _learn(self, reading: Reading) -> _Part:
        """The part that a reading is of, which is remembered."""
        _, _, *where, tags = reading
        place = Place(self._host.cluster, self._host.host, *where)
        end = self._head(SeriesKey(place, "m", tags), place.stype_id or place.type_id)
        found = self._parts[reading[2:]] = _Part(place, tags, None if end is None else f"{end[1:]} value=", {})
        return found

    def _learn_metric(self, part: _Part, metric: str) -> tuple[SeriesKey, str | None]:
        head = self._head(SeriesKey(Place("c", "h"), metric), metric)
        name = None if head is None else head.removesuffix(",cluster=c,hostname=h")
        found = part.series[metric] = SeriesKey(part.place, metric, part.tags), metric if name == metric else name
        self._remembered += 1
        return found

    def _head(self, series: SeriesKey, name: str) -> str | None:
        """How lines of a series begin; None, and one log line for each name, when no line can."""
        try:
            return encode_head(series).decode()
        except BadInput as error:
            self._warn(name, str(error))
            return None

    def _label_lines(self, labels: Iterable[Labels], timestamp: int, dropped: Counter[str]) -> list[str]:
        lines = []
        for each in labels:
            try:
                lines.append(encode_labels(each, timestamp).decode() + "\n")
            except BadInput as error:
                dropped["name"] += 1
                self._warn(each.place.type_id, str(error))
        return lines

    def _warn(self, name: str, why: str) -> None:
        """Say it once for each name."""
        if name not in self._named and len(self._named) < NAMED:
            self._named.add(name)
            logger.warning("samples of %r are not sent: %s", name, why)
