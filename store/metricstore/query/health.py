"""Are the expected metrics coming in? (spec/metric-store-api.md "Health check")."""

from collections.abc import Iterator, Sequence

import numpy as np
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
    return ((node, _node(engine, request.cluster or "", node, metrics, now)) for node in dict.fromkeys(nodes))


def _node(engine: Engine, cluster: str, node: str, metrics: Sequence[str], now: int) -> Health:
    level = engine.registry.find((cluster, node))
    if level is None:
        return {"State": "failed", "HealthMetrics": ""}
    wanted, found, late = set(metrics), set(), set()
    for part in level.walk():
        for metric in wanted & part.metrics():
            numbers = engine.holding(np.array(list(part.own(metric)), np.int64))
            if len(numbers):
                found.add(metric)
                if any(now - end > INTERVALS_MAX * frequency for _, end, frequency in engine.extents(numbers)):
                    late.add(metric)
    missing = [metric for metric in metrics if metric not in found]
    degraded = [metric for metric in metrics if metric in late]
    healthy = len(metrics) - len(missing) - len(degraded)
    state = "full" if not missing and not degraded else "partial" if healthy else "failed"
    return {"State": state, "HealthMetrics": orjson.dumps({"degraded": degraded, "missing": missing}).decode()}
