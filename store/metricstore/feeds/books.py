"""What came from NATS and what became of it, for `/metrics`.

For each subscription: received = stored + refused + unavailable + dropped + pending, in messages. Lines of messages that were
decoded are in the store's own books (`metricstore_lines_total`), those of the others in `metricstore_nats_lost_lines_total`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from metricstore.settings import Subscription

OUTCOMES = ("stored", "refused", "unavailable", "dropped")
LABELS = ("subject", "cluster", "stream")


class Books:
    """Of one subscription. `pending` are messages (and their bytes) that have come and are not stored yet."""

    def __init__(self, subscription: Subscription) -> None:
        self.labels = (subscription.subscribe_to, subscription.cluster_tag, subscription.stream)
        self.received = self.bytes = self.redelivered = self.acknowledged = 0
        self.pending = self.pending_bytes = 0
        self.outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
        self.lost_lines = Counter({"full": 0, "too_large": 0})

    def come(self, size: int) -> None:
        """A message has come; it is pending until `done`."""
        self.received += 1
        self.bytes += size
        self.pending += 1
        self.pending_bytes += size

    def done(self, outcome: str, messages: int, size: int) -> None:
        """What became of pending messages."""
        self.outcomes[outcome] += messages
        self.pending -= messages
        self.pending_bytes -= size

    def lost(self, outcome: str, reason: str, data: bytes) -> None:
        """A message that has come is not even decoded."""
        self.done(outcome, 1, len(data))
        self.lost_lines[reason] += count_lines(data)


def count_lines(data: bytes) -> int:
    """Lines that decoding would find, if no string in them holds a line feed."""
    stripped = (line.strip(b" \r") for line in data.split(b"\n"))
    return sum(1 for line in stripped if line and not line.startswith(b"#"))


class FeedCollector(Collector):
    """The books of all subscriptions, read when they are scraped."""

    def __init__(self, books: Sequence[Books]) -> None:
        self.connected = False
        self.connections = 0  # made since the start
        self._books = books

    def collect(self) -> Iterator[Metric]:
        """The connection, then each subscription."""
        yield GaugeMetricFamily("metricstore_nats_connected", "1 while there is a connection to NATS.", int(self.connected))
        yield CounterMetricFamily(
            "metricstore_nats_reconnects", "Connections to NATS after the first.", max(self.connections - 1, 0)
        )
        messages = CounterMetricFamily(
            "metricstore_nats_messages", "Messages by what became of them.", labels=[*LABELS, "outcome"]
        )
        lines = CounterMetricFamily(
            "metricstore_nats_lost_lines", "Lines of messages that were not decoded.", labels=[*LABELS, "reason"]
        )
        for one in self._books:
            for outcome, count in one.outcomes.items():
                messages.add_metric([*one.labels, outcome], count)
            for reason, count in one.lost_lines.items():
                lines.add_metric([*one.labels, reason], count)
        yield messages
        yield lines
        for name, meaning in (
            ("received", "Messages that came from NATS, those that came again included."),
            ("bytes", "Bytes of these messages."),
            ("redelivered", "Messages that JetStream sent again."),
            ("acknowledged", "Messages that JetStream was told to be done with."),
        ):
            yield self._each(CounterMetricFamily(f"metricstore_nats_{name}", meaning, labels=LABELS), name)
        yield self._each(GaugeMetricFamily("metricstore_nats_pending", "Messages not stored yet.", labels=LABELS), "pending")
        yield self._each(
            GaugeMetricFamily("metricstore_nats_pending_bytes", "Bytes of these messages.", labels=LABELS), "pending_bytes"
        )

    def _each(self, family: CounterMetricFamily | GaugeMetricFamily, name: str) -> Metric:
        for one in self._books:
            family.add_metric(one.labels, getattr(one, name))
        return family
