"""What became of every sample, as counters. The books close at any time between two steps of the agent:

    sampled + restored = delivered + rejected + dropped (all reasons) + spooled

`restored` are those that an earlier run left in the spool, `spooled` those that are there now.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

DROP_REASONS = {
    "name": "a name in it that no line can carry, such as a mount point with a line feed",
    "disk": "the spool could not be written",
    "spool-full": "the spool's limit was reached: the oldest go first",
    "damaged": "its file in the spool was damaged",
    "too-large": "the store takes no body as large as one line may be",
}


class Books:
    """The counters; who moves samples counts them here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"metricagent_samples_{name}", help, labels, registry=registry)

        self.sampled = counter("sampled", "Samples taken since the agent started.")
        self.restored = counter("restored", "Samples that an earlier run of the agent left in the spool.")
        self.delivered = counter("delivered", "Samples that the store has acknowledged.")
        self.rejected = counter("rejected", "Samples that the store has refused for good.")
        self.dropped = counter("dropped", "Samples given up, by reason.", "reason")
        self.spooled = Gauge("metricagent_samples_spooled", "Samples that wait in the spool.", registry=registry)
        self.damaged_files = Counter("metricagent_spool_damaged_files", "Damaged files set aside.", registry=registry)
        self.spool_bytes = Gauge("metricagent_spool_bytes", "Bytes of the batches in the spool.", registry=registry)
        for reason in DROP_REASONS:
            self.dropped.labels(reason)

    def drop(self, samples: int, reason: str) -> None:
        """Count samples given up; `reason` is one of DROP_REASONS."""
        self.dropped.labels(reason).inc(samples)
