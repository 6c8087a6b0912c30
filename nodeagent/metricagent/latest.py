"""The last sample of each series, for whoever asks this node: fresh ones only; and the labels of places."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from metricwire.dcos import FRESH, is_fresh
from metricwire.samples import Place, Sample, SeriesKey

_NONE: Mapping[str, str] = MappingProxyType({})


class Latest:
    """Written by the thread that samples, read by the event loop: each change replaces the whole mapping."""

    def __init__(self, interval: float) -> None:
        self._interval = interval  # seconds between samples
        self._samples: dict[SeriesKey, Sample] = {}
        self._labels: Mapping[Place, Mapping[str, str]] = {}

    def update(self, samples: Iterable[Sample], now: float) -> None:
        """Take newer samples; forget those that are no longer fresh, or not yet, as after the clock was set back."""
        oldest, newest = now - FRESH * self._interval, now + self._interval
        kept = {series: sample for series, sample in self._samples.items() if oldest <= sample.timestamp <= newest}
        kept.update((sample.series, sample) for sample in samples)
        self._samples = kept

    def label(self, labels: Mapping[Place, Mapping[str, str]]) -> None:
        """What is known of places from now on: of hosts and of parts of them (type, type-id), not of what is below these."""
        self._labels = labels

    def fresh(self, now: float) -> list[Sample]:
        """The samples that may be shown at `now` (seconds since the epoch)."""
        return [sample for sample in self._samples.values() if is_fresh(sample, now, self._interval)]

    def labels_of(self, place: Place) -> Mapping[str, str]:
        """The labels of a place, or of the part of the host that it is in; empty where none are known."""
        labels = self._labels
        if place.stype and place not in labels:
            place = Place(place.cluster, place.host, place.type, place.type_id)
        return labels.get(place, _NONE)
