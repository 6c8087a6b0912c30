"""Are the expected metrics coming in? (spec/metric-store-api.md "Health check")."""

from collections.abc import Iterator, Sequence

import orjson

from metricstore.engine import Engine
from metricstore.query.request import HealthRequest
from metricwire.errors import TooLarge

INTERVALS_MAX = 5  # a metric that ended more intervals ago is degraded

Health = dict[str, str]


def health(engine: Engine, request: HealthRequest, now: int, checks_max: int) -> Iterator[tuple[str, Health]]:
    """State and its reason by node. TooLarge when more than `checks_max` nodes times metrics are asked for."""
    metrics, nodes = request.metric_names or [], request.nodes or []
    if len(nodes) * max(len(metrics), 1) > checks_max:
        raise TooLarge(f"cannot check {len(nodes)} nodes: more than {checks_max} metrics in one request (limits.queries)")
    return ((node, _node(engine, request.cluster, node, metrics, now)) for node in dict.fromkeys(nodes))


def _node(engine: Engine, cluster: str, node: str, metrics: Sequence[str], now: int) -> Health:
    level = engine.registry.find((cluster, node))
    if level is None:
        return {"State": "failed", "HealthMetrics": ""}
    wanted = set(metrics)
    expected: dict[int, str] = {}  # the metric of each series at or below the host
    for part in level.walk():
        for metric in wanted & part.series.keys():
            expected |= dict.fromkeys(engine.head.holding(part.series[metric].values()), metric)
    on_time = set()
    for number, timestamp, _ in engine.head.latest(expected, now, INTERVALS_MAX + 1):
        frequency = engine.metrics.frequency(expected[number])
        if now - (timestamp + frequency - frequency // 2) <= INTERVALS_MAX * frequency:
            on_time.add(number)
    late = {metric for number, metric in expected.items() if number not in on_time}
    found = set(expected.values())
    missing = [metric for metric in metrics if metric not in found]
    degraded = [metric for metric in metrics if metric in late]
    healthy = len(metrics) - len(missing) - len(degraded)
    state = "full" if not missing and not degraded else "partial" if healthy else "failed"
    return {"State": state, "HealthMetrics": orjson.dumps({"degraded": degraded, "missing": missing}).decode()}
