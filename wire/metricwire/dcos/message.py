"""The shape of what is answered: a message of datapoints and dimensions, a pong; and who can read it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from metricwire import accept

Datapoint = dict[str, Any]


def rfc3339(seconds: float) -> str:
    """A time in UTC, to the second, as 2026-01-31T12:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def datapoint(name: str, value: float, unit: str, timestamp: float, tags: Mapping[str, str]) -> Datapoint:
    """One datapoint; `timestamp` in seconds, tags left out where there are none."""
    point: Datapoint = {"name": name, "value": value, "unit": unit, "timestamp": rfc3339(timestamp)}
    return point | {"tags": dict(tags)} if tags else point


def message(datapoints: list[Datapoint], dimensions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Datapoints, and where they are from; None where there are none: that is 204."""
    return {"datapoints": datapoints, "dimensions": dimensions} if datapoints else None


def ping(now: float) -> dict[str, Any]:
    """What `/ping` answers."""
    return {"ok": True, "timestamp": rfc3339(now)}


def accepts_json(header: str | None) -> bool:
    """Whether an Accept header allows `application/json`; no header allows everything."""
    return accept.media(header, "application/json").quality > 0
