"""What a collector is, and the one runner that times each of them and keeps its failures from the others."""

import logging
import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Gauge

logger = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One value of a metric, in its unit, at the host or at a part of it (see metricwire.samples.Place); `tags` sorted."""

    metric: str
    value: float
    type: str = ""
    type_id: str = ""
    stype: str = ""
    stype_id: str = ""
    tags: tuple[tuple[str, str], ...] = ()


class Collector(Protocol):
    """Reads one source of the host."""

    def collect(self, now: float) -> list[Reading]:
        """What is there to read now; `now` in seconds of a clock that never jumps, for rates.

        Rates need two readings: the first call gives none. Any exception means: nothing this time.
        """


class Runner:
    """Runs collectors one after the other; exports how long each took and whether it succeeded."""

    def __init__(self, collectors: Mapping[str, Collector], registry: CollectorRegistry) -> None:
        self._collectors = collectors
        self._failing: set[str] = set()
        self._duration = Gauge(
            "metricagent_collector_duration_seconds", "Time the collector took last.", ["collector"], registry=registry
        )
        self._success = Gauge(
            "metricagent_collector_success",
            "Whether the collector succeeded last (1) or failed (0).",
            ["collector"],
            registry=registry,
        )

    def run(self, now: float) -> list[Reading]:
        """The readings of all collectors that succeed."""
        readings: list[Reading] = []
        for name, collector in self._collectors.items():
            start = time.perf_counter()
            try:
                found = collector.collect(now)
            except Exception as error:  # noqa: BLE001 whatever it is, the other collectors go on
                self._failed(name, error)
            else:
                self._succeeded(name)
                readings += found
            self._duration.labels(name).set(time.perf_counter() - start)
        return readings

    def _failed(self, name: str, error: Exception) -> None:
        self._success.labels(name).set(0)
        if name not in self._failing:
            self._failing.add(name)
            logger.warning("collector %s fails: %s: %s", name, type(error).__name__, error)

    def _succeeded(self, name: str) -> None:
        self._success.labels(name).set(1)
        if name in self._failing:
            self._failing.remove(name)
            logger.info("collector %s works again", name)
