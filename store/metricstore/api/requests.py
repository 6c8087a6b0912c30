"""How many requests there were, and how long they took: by route and status, counted where they are answered."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

NO_ROUTE = "none"  # of requests for what does not exist: a path that anybody makes up is no label


class Requests(Collector):
    """The counts of one server. Changed by the event loop alone."""

    def __init__(self) -> None:
        self._answered: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, float] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        """One more; `route` as in the route table, "" for none."""
        route = route or NO_ROUTE
        self._answered[route, status] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """The counters."""
        answered = CounterMetricFamily(
            "metricstore_requests", "Requests answered, by route and status.", labels=["route", "status"]
        )
        for (route, status), count in sorted(self._answered.items()):
            answered.add_metric([route, str(status)], count)
        yield answered
        seconds = CounterMetricFamily("metricstore_request_seconds", "Time to these answers, by route.", labels=["route"])
        for route, total in sorted(self._seconds.items()):
            seconds.add_metric([route], total)
        yield seconds
