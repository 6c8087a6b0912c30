"""The DC/OS Metrics API's message, made from our samples (spec/dcos-metrics-api.md).

One rendering for both servers: the agent answers for its own node, the store for every node.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from metricwire import accept
from metricwire.catalog import BY_NAME
from metricwire.samples import Sample

FRESH = 3  # polls: an older datapoint is not shown
TAG_OF_SUBTYPE = {"filesystem": "path", "interface": "interface"}


def rfc3339(seconds: float) -> str:
    """A time in UTC, to the second, as 2026-01-31T12:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_fresh(sample: Sample, now: float, interval: float) -> bool:
    """Whether the sample may still be shown when agents poll every `interval` seconds."""
    return now - sample.timestamp <= FRESH * interval


def host_datapoints(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """The datapoints of `/node`: host, filesystem and interface samples that have a DC/OS name, sorted by name and tag."""
    points = [point for point in map(_host_datapoint, samples) if point]
    return sorted(points, key=lambda point: (point["name"], sorted(point.get("tags", {}).items())))


def _host_datapoint(sample: Sample) -> dict[str, Any] | None:
    metric, place = BY_NAME.get(sample.series.metric), sample.series.place
    if metric is None or not metric.dcos or place.type or sample.series.tags:
        return None
    if place.stype and place.stype not in TAG_OF_SUBTYPE:
        return None
    tags = {TAG_OF_SUBTYPE[place.stype]: place.stype_id} if place.stype else {}
    return datapoint(metric.dcos, sample.value, metric.dcos_unit, sample.timestamp, tags)


def datapoint(name: str, value: float, unit: str, timestamp: float, tags: Mapping[str, str]) -> dict[str, Any]:
    """One datapoint; `timestamp` in seconds, tags left out where there are none."""
    point: dict[str, Any] = {"name": name, "value": value, "unit": unit, "timestamp": rfc3339(timestamp)}
    return point | {"tags": dict(tags)} if tags else point


def message(datapoints: list[dict[str, Any]], *, node: str, cluster: str) -> dict[str, Any]:
    """What `/node` answers: its datapoints, and where they are from."""
    return {"datapoints": datapoints, "dimensions": {"mesos_id": node, "hostname": node, "cluster_id": cluster}}


def ping(now: float) -> dict[str, Any]:
    """What `/ping` answers."""
    return {"ok": True, "timestamp": rfc3339(now)}


def accepts_json(header: str | None) -> bool:
    """Whether an Accept header allows `application/json`; no header allows everything."""
    return accept.media(header, "application/json").quality > 0
