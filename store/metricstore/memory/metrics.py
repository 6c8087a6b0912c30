"""What is known of each metric: configured, built in, or observed from its samples."""

from collections.abc import Mapping
from typing import Literal

from metricstore.settings import Metric
from metricwire.catalog import BY_NAME, FREQUENCY

FREQUENCY_MAX = 86400  # seconds; a longer distance between samples is taken for a pause
_EXACT = 8  # times that an observed frequency follows the distance exactly; then it is halved at least, so that it settles


class MetricTable:
    """Frequency and aggregation by name.

    A metric that nobody declared has the smallest distance seen between two samples of one of its series: none of them
    then falls into the slot of another. Before two samples of it were seen it has the usual frequency.
    """

    def __init__(self, configured: Mapping[str, Metric]) -> None:
        self.configured = dict(configured)
        self.observed: dict[str, int] = {}
        self._refined: dict[str, int] = {}  # how often

    def declared(self, metric: str) -> bool:
        """Whether the metric is configured or built in."""
        return metric in self.configured or metric in BY_NAME

    def observe(self, metric: str, distance: int) -> bool:
        """Two samples of a series are that many seconds apart; whether this changes the metric's frequency."""
        known = self.observed.get(metric)
        if not 0 < distance <= FREQUENCY_MAX or (known is not None and distance >= known):
            return False
        count = self._refined[metric] = self._refined.get(metric, 0) + 1
        self.observed[metric] = distance if known is None or count <= _EXACT else max(1, min(distance, known // 2))
        return self.observed[metric] != (FREQUENCY if known is None else known)

    def undeclared(self) -> dict[str, int]:
        """The frequencies that were observed and count."""
        return {metric: seconds for metric, seconds in self.observed.items() if not self.declared(metric)}

    def restore(self, observed: Mapping[str, int]) -> None:
        """These were observed before; those of metrics that are declared by now do not count.

        What is known already stays where it is smaller: these may be older, and samples would fall into the slots of others.
        """
        for metric, seconds in observed.items():
            if not self.declared(metric):
                self.observed[metric] = min(seconds, self.observed.get(metric, seconds))

    def forget(self, metric: str) -> None:
        """There are no series of it any more."""
        self.observed.pop(metric, None)
        self._refined.pop(metric, None)

    def frequency(self, metric: str) -> int:
        """Seconds between samples."""
        if metric in self.configured:
            return self.configured[metric].frequency
        if metric in BY_NAME:
            return BY_NAME[metric].frequency
        return self.observed.get(metric, FREQUENCY)

    def aggregation(self, metric: str) -> Literal["sum", "avg"] | None:
        """How series of the metric are put together; None: not at all."""
        if metric in self.configured:
            return self.configured[metric].aggregation or None
        return BY_NAME[metric].aggregation if metric in BY_NAME else None
