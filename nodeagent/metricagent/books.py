"""What became of every sample, as counters. The books close whenever they are read:

    sampled + restored = delivered + rejected + dropped (all reasons) + spooled + in memory

`restored` are those that an earlier run left in the spool; `spooled` those that are there now; `in memory` those that are on
their way there, or that the disk does not take.
"""

import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

DROP_REASONS = {
    "name": "a name in it that no line can carry, such as a mount point with a line feed",
    "value": "its value is no finite number",
    "disk": "the spool could not be written, and memory for such samples was full",
    "spool-full": "the spool's limit was reached: the oldest go first",
    "damaged": "its file in the spool was damaged",
    "too-large": "the store takes no body as large as one line may be",
}


class Books(Collector):
    """The counts; who moves samples says so here, from any thread. A move is one step for whoever reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mutex = threading.Lock()
        self._sampled = self._restored = self._delivered = self._rejected = 0
        self._spooled = self._in_memory = self._spool_bytes = self._damaged_files = 0
        self._dropped = dict.fromkeys(DROP_REASONS, 0)
        registry.register(self)

    def took(self, samples: int) -> None:
        """Samples have been taken; they are in memory."""
        with self._mutex:
            self._sampled += samples
            self._in_memory += samples

    def restored(self, samples: int) -> None:
        """Samples of an earlier run were found in the spool."""
        with self._mutex:
            self._restored += samples
            self._spooled += samples

    def spooled(self, samples: int) -> None:
        """Samples came from memory to the disk."""
        with self._mutex:
            self._in_memory -= samples
            self._spooled += samples

    def drop(self, samples: int, reason: str, *, on_disk: bool = False) -> None:
        """Samples are given up; `reason` is one of DROP_REASONS. Where they were: on the disk, or else in memory."""
        with self._mutex:
            self._dropped[reason] += samples
            self._leave(samples, on_disk=on_disk)

    def settle(self, samples: int, *, rejected: int, too_large: int, on_disk: int) -> None:
        """The store has answered for samples, `on_disk` of which are there, the others in memory."""
        with self._mutex:
            self._delivered += samples - rejected - too_large
            self._rejected += rejected
            self._dropped["too-large"] += too_large
            self._leave(on_disk, on_disk=True)
            self._leave(samples - on_disk, on_disk=False)

    def damaged(self) -> None:
        """A file was set aside."""
        with self._mutex:
            self._damaged_files += 1

    def size(self, spool_bytes: int) -> None:
        """The spool's size now."""
        with self._mutex:
            self._spool_bytes = spool_bytes

    def collect(self) -> Iterator[Metric]:
        """All counts, of one moment."""
        with self._mutex:
            found = list(self._families())
        yield from found

    def _leave(self, samples: int, *, on_disk: bool) -> None:
        if on_disk:
            self._spooled -= samples
        else:
            self._in_memory -= samples

    def _families(self) -> Iterator[Metric]:
        def counter(name: str, help: str, value: float) -> Metric:
            return CounterMetricFamily(f"metricagent_{name}", help, value=value)

        yield counter("samples_sampled", "Samples taken since the agent started.", self._sampled)
        yield counter("samples_restored", "Samples that an earlier run of the agent left in the spool.", self._restored)
        yield counter("samples_delivered", "Samples that the store has acknowledged.", self._delivered)
        yield counter("samples_rejected", "Samples that the store has refused for good.", self._rejected)
        dropped = CounterMetricFamily("metricagent_samples_dropped", "Samples given up, by reason.", labels=["reason"])
        for reason, count in self._dropped.items():
            dropped.add_metric([reason], count)
        yield dropped
        yield GaugeMetricFamily("metricagent_samples_spooled", "Samples that wait in the spool, on disk.", self._spooled)
        yield GaugeMetricFamily(
            "metricagent_samples_in_memory",
            "Samples on their way to the spool, or that the disk does not take.",
            self._in_memory,
        )
        yield counter("spool_damaged_files", "Damaged files set aside.", self._damaged_files)
        yield GaugeMetricFamily("metricagent_spool_bytes", "Bytes of the batches that wait.", self._spool_bytes)
