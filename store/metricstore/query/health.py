"""Are the expected metrics coming in? (spec/metric-store-api.md "Health check")."""

from collections.abc import Iterable
from typing import Any

import orjson

from metricstore.engine import Engine
from metricstore.query.request import HealthRequest
from metricwire.errors import TooLarge

INTERVALS_MAX = 5  # a metric whose last sample is more intervals old is degraded


def health(engine: Engine, request: HealthRequest, now: float, checks_max: int) -> dict[str, Any]:
    """State and its reason by node. TooLarge when more than `checks_max` nodes times metrics are asked for."""
    metrics, nodes = request.metric_names or [], request.nodes or []
    if len(nodes) * max(len(metrics), 1) > checks_max:
        raise TooLarge(f"cannot check {len(nodes)} nodes: more than {checks_max} metrics in one request (limits.queries)")
    return {node: _node(engine, request.cluster, node, metrics, now) for node in nodes}


def _node(engine: Engine, cluster: str, node: str, metrics: Iterable[str], now: float) -> dict[str, str]:
    level = engine.registry.find((cluster, node))
    if level is None:
        return {"State": "failed", "HealthMetrics": ""}
    ends: dict[str, int] = {}  # the oldest end of any series of the metric at or below the host
    for part in level.walk():
        for metric in metrics:
            for number in engine.holding(part.series.get(metric, ())):
                end = engine.newest(number) + engine.metrics.frequency(metric)
                ends[metric] = min(end, ends.get(metric, end))
    missing = [metric for metric in metrics if metric not in ends]
    late = {metric for metric, end in ends.items() if now - end > INTERVALS_MAX * engine.metrics.frequency(metric)}
    degraded = [metric for metric in metrics if metric in late]
    healthy = len(list(metrics)) - len(missing) - len(degraded)
    state = "full" if not missing and not degraded else "partial" if healthy else "failed"
    return {"State": state, "HealthMetrics": orjson.dumps({"degraded": degraded, "missing": missing}).decode()}
