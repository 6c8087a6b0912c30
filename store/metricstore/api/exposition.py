"""The exposition of very many series: what stays the same from scrape to scrape is made once.

A line is a family's name, a text of labels and a value. Names and texts are kept once and known by number, and of each series
two such numbers; a scrape sorts the fresh series by family and joins. The rules are those of `metricwire.exposition`, except
that of two series that come to the same name and labels the one with the newer sample counts.
"""

import itertools
import operator
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from metricwire import exposition
from metricwire.exposition import Format, Kind, PlaceLabels
from metricwire.samples import Place, SeriesKey

UNKNOWN, LEFT_OUT = -1, -2  # instead of a metric's number: not learned yet; never shown
ROOM = 4096  # series that there is room for at first

Numbers = NDArray[np.int64]


class Fresh(NamedTuple):
    """The last samples of series that are still coming in: series numbers, seconds, values."""

    numbers: Numbers
    timestamps: Numbers
    values: NDArray[np.float64]


class Numbered:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, text: bytes) -> tuple[int, bool]:
        """Its number, and whether it is new."""
        number = self._numbers.setdefault(text, len(self.texts))
        new = number == len(self.texts)
        if new:
            self.texts.append(text)
        return number, new


class Exposition:
    """Series are learned once, then rendered as often as asked. Not for two threads at a time.

    `units` are those of metrics that the catalogue does not know.
    """

    def __init__(self, labels_of: PlaceLabels, units: Mapping[str, str] = MappingProxyType({})) -> None:
        self._labels_of = labels_of
        self._units = {exposition.family(metric): unit for metric, unit in units.items()}
        self._generation: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._metric_of = np.full(ROOM, UNKNOWN, np.int32)  # by number of a series, as the next one
        self._labels_number_of = np.zeros(ROOM, np.int32)
        self._kind_of = np.zeros(ROOM, np.int8)
        self._metrics: dict[str, int] = {}
        self._family_of: list[int] = []  # by number of a metric
        self._families, self._labels = Numbered(), Numbered()
        self._cluster_of: list[str] = []  # by number of labels
        self._known: dict[tuple[Place, tuple[tuple[str, str], ...]], int] = {}
        self._kinds = False  # whether any series has a kind of its own
        self._twins = False  # whether two series may have the same name and labels

    def unknown(self, numbers: Numbers, generation: int) -> Numbers:
        """Those of the series that have to be learned first: all of them at another generation than before."""
        if generation != self._generation:
            self._forget()
            self._generation = generation
        missing = int(numbers.max(initial=-1)) + 1 - len(self._metric_of)
        if missing > 0:
            missing = max(missing, len(self._metric_of))
            self._metric_of = np.concatenate([self._metric_of, np.full(missing, UNKNOWN, np.int32)])
            self._labels_number_of = np.concatenate([self._labels_number_of, np.zeros(missing, np.int32)])
            self._kind_of = np.concatenate([self._kind_of, np.zeros(missing, np.int8)])
        found: Numbers = numbers[self._metric_of[numbers] == UNKNOWN]
        return found

    def learn(self, numbers: Numbers, keys: Sequence[SeriesKey]) -> None:
        """What these series are."""
        metrics, labels, kinds = [], [], []
        for key in keys:
            metric = self._metrics.get(key.metric)
            metrics.append(self._add_metric(key.metric) if metric is None else metric)
            known = self._known.get((key.place, key.tags))
            labels.append(self._add_labels(key) if known is None else known)
            kinds.append(exposition.kind(key))
        self._kind_of[numbers] = kinds
        self._kinds |= any(kinds)
        self._metric_of[numbers] = metrics
        self._labels_number_of[numbers] = labels

    def _add_metric(self, metric: str) -> int:
        if exposition.reserved(metric):
            number = LEFT_OUT
        else:
            family, new = self._families.add(exposition.family(metric).encode())
            self._twins |= not new
            number = len(self._family_of)
            self._family_of.append(family)
        self._metrics[metric] = number
        return number

    def _add_labels(self, key: SeriesKey) -> int:
        number, new = self._labels.add(exposition.label_text(key, self._labels_of(key.place)) + b" ")
        if new:
            self._cluster_of.append(key.place.cluster)
        self._twins |= not new
        self._known[key.place, key.tags] = number
        return number

    def render(self, fresh: Fresh, form: Format, cluster: str = "", metric: str = "") -> bytes:
        """Learned series, of one cluster or metric where these are named. OpenMetrics still lacks its END."""
        metrics, labels = self._metric_of[fresh.numbers], self._labels_number_of[fresh.numbers]
        shown = metrics >= 0
        if metric:
            shown &= metrics == self._metrics.get(metric, UNKNOWN)
        if cluster:
            shown &= np.array([name == cluster for name in self._cluster_of], np.bool_)[labels]
        chosen = np.flatnonzero(shown)
        families = np.array(self._family_of, np.int64)[metrics[chosen]]
        if self._twins:
            newest = _newest(families * len(self._labels.texts) + labels[chosen], fresh.timestamps[chosen])
            chosen, families = chosen[newest], families[newest]
        ranks = np.empty(len(self._families.texts), np.int64)
        by_name = sorted(range(len(ranks)), key=self._families.texts.__getitem__)
        ranks[by_name] = range(len(ranks))
        order = np.argsort(ranks[families], kind="stable")
        chosen, families = chosen[order], families[order]
        lines = list(map(operator.add, self._texts(labels[chosen]), _texts_of(fresh.values[chosen])))
        begins = [0, *(np.flatnonzero(np.diff(families)) + 1).tolist()] if lines else []
        untyped = [Kind.UNTYPED] * len(begins)
        kinds = _common_kinds(self._kind_of[fresh.numbers[chosen]], begins) if self._kinds and begins else untyped
        return b"".join(
            self._family(self._families.texts[families[begin]], lines[begin:end], form, kind)
            for (begin, end), kind in zip(itertools.pairwise([*begins, len(lines)]), kinds, strict=True)
        )

    def _texts(self, labels: NDArray[np.int32]) -> list[bytes]:
        found: list[bytes] = np.array([*self._labels.texts, None], np.object_)[labels].tolist()
        return found

    def _family(self, name: bytes, lines: list[bytes], form: Format, kind: Kind) -> bytes:
        family = name.decode()
        header = exposition.header(family, form, kind, self._units.get(family, ""))
        return header + name + (b"\n" + name).join(lines) + b"\n"


def _common_kinds(kinds: NDArray[np.int8], begins: Sequence[int]) -> list[Kind]:
    """That of each part of `kinds`; UNTYPED where there are several."""
    least, most = np.minimum.reduceat(kinds, begins), np.maximum.reduceat(kinds, begins)
    return [Kind(kind) for kind in np.where(least == most, least, Kind.UNTYPED).tolist()]


def _newest(same: Numbers, timestamps: Numbers) -> Numbers:
    """Where the newest of those with the same number are; of several, the last one. In order."""
    order = np.lexsort((timestamps, same))
    last = np.ones(len(order), np.bool_)
    last[:-1] = np.diff(same[order]) != 0
    return np.sort(order[last])


def _texts_of(values: NDArray[np.float64]) -> list[bytes]:
    """Each as the shortest text that is read as the same number."""
    if not np.isfinite(values).all():
        return list(map(exposition.number, values.tolist()))
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return text.split(b",") if text else []
