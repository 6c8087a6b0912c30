"""What is known of each metric: configured, built in, or observed from its first samples."""

from collections.abc import Mapping
from typing import Literal

from metricstore.settings import Metric
from metricwire.catalog import BY_NAME, FREQUENCY


class MetricTable:
    """Frequency and aggregation by name. `observed` holds the seconds between samples of metrics nobody configured."""

    def __init__(self, configured: Mapping[str, Metric]) -> None:
        self.configured = dict(configured)
        self.observed: dict[str, int] = {}

    def declared(self, metric: str) -> bool:
        """Whether the metric is configured or built in."""
        return metric in self.configured or metric in BY_NAME

    def knows(self, metric: str) -> bool:
        """Whether the metric's frequency is known."""
        return self.declared(metric) or metric in self.observed

    def frequency(self, metric: str) -> int:
        """Seconds between samples; of a metric that has been seen once only, the usual."""
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
