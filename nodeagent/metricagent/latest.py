"""The last sample of each series, for whoever asks this node: fresh ones only."""

from collections.abc import Iterable

from metricwire.dcos import is_fresh
from metricwire.samples import Sample, SeriesKey


class Latest:
    """Written by the thread that samples, read by the event loop: each change replaces the whole mapping."""

    def __init__(self, interval: float) -> None:
        self._interval = interval  # seconds between samples
        self._samples: dict[SeriesKey, Sample] = {}

    def update(self, samples: Iterable[Sample], now: float) -> None:
        """Take newer samples; forget those that are no longer fresh, or not yet, as after the clock was set back."""
        kept = {s.series: s for s in self.fresh(now) if s.timestamp <= now + self._interval}
        self._samples = kept | {sample.series: sample for sample in samples}

    def fresh(self, now: float) -> list[Sample]:
        """The samples that may be shown at `now` (seconds since the epoch)."""
        return [sample for sample in self._samples.values() if is_fresh(sample, now, self._interval)]
