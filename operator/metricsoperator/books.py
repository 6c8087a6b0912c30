"""What the operator says of itself in /metrics; docs/operator.md lists it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from metricsoperator.observed import Key

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Books:
    """Counters and gauges of one operator, in a registry of their own; `waiting` says how many keys wait."""

    def __init__(self, registry: CollectorRegistry, version: str, waiting: Callable[[], int] = lambda: 0) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"metricsoperator_{name}", text, labels, registry=registry)

        Info("metricsoperator_build", "Version of the operator.", registry=registry).info({"version": version})
        self._reconciles = counter("reconciles", "Turns with a MetricsCluster, by how they ended.", "result")
        self._errors = counter("reconcile_errors", "What did not work in them, by reason.", "reason")
        self._seconds = Histogram(
            "metricsoperator_reconcile_duration_seconds", "Duration of a turn.", buckets=_SECONDS, registry=registry
        )
        each = ("namespace", "name")
        self._success = Gauge(
            "metricsoperator_last_success_timestamp_seconds",
            "When a turn with this MetricsCluster last went without an error.",
            each,
            registry=registry,
        )
        self._ready = Gauge("metricsoperator_ready", "Whether this MetricsCluster is Ready.", each, registry=registry)
        self._requests = counter("api_requests", "Requests to the API server, by verb and HTTP status.", "verb", "code")
        self._known: set[Key] = set()
        self._events = counter("watch_events", "What watches have said, by kind and type.", "kind", "type")
        self._lists = counter("lists", "Looks at everything, by result.", "result")
        depth = Gauge("metricsoperator_queue_depth", "MetricsClusters that wait for their turn.", registry=registry)
        depth.set_function(waiting)
        ProcessCollector(registry=registry)

    def turn(self, key: Key, result: str) -> None:
        """A turn has ended without an error."""
        self._reconciles.labels(result).inc()
        if result == "gone":
            self.forget(key)

    def failed(self, key: Key, reason: str) -> None:
        """A turn has ended with an error."""
        self._reconciles.labels("failed").inc()
        self.error(reason)
        self._known.add(key)
        self._success.labels(*key)
        self._ready.labels(*key).set(0)

    def lasted(self, seconds: float) -> None:
        """A turn has ended, after so long."""
        self._seconds.observe(seconds)

    def error(self, reason: str) -> None:
        """Something in a turn did not work."""
        self._errors.labels(reason).inc()

    def success(self, key: Key, now: float, *, ready: bool) -> None:
        """A turn went without an error; `now` in seconds since the epoch."""
        self._known.add(key)
        self._success.labels(*key).set(now)
        self._ready.labels(*key).set(ready)

    def forget(self, key: Key) -> None:
        """The MetricsCluster is gone."""
        if key in self._known:
            self._known.discard(key)
            self._success.remove(*key)
            self._ready.remove(*key)

    def request(self, verb: str, status: int) -> None:
        """The API server was asked; status 0: it did not answer."""
        self._requests.labels(verb, str(status or "none")).inc()

    def said(self, kind: str, type: str | None) -> None:
        """A watch said something; no type: an object was there when it began."""
        self._events.labels(kind, (type or "EXISTING").lower()).inc()

    def listed(self, *, worked: bool) -> None:
        """Everything was looked at."""
        self._lists.labels("ok" if worked else "failed").inc()
