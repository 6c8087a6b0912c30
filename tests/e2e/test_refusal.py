"""An invalid MetricsCluster is refused by the API server, with a message that names the field."""

import copy
from typing import Any

import pytest
import yaml

from . import kubernetes as k

# field of the spec -> value that is refused, what the message says
CASES: list[tuple[str, Any, str]] = [
    ("store.storage.size", "10 gigabytes", "spec.store.storage.size"),
    ("store.storage.size", "1Mi", "spec.store.storage.size must be a size from 100Mi to 64Ti"),
    ("store.storage.whenDeleted", "Keep", 'supported values: "Delete", "Retain"'),
    ("store.retention.memory", "two days", "spec.store.retention.memory"),
    ("store.limits.series", 1, "spec.store.limits.series in body should be greater than or equal to 1000"),
    ("store.sise", "1Gi", 'unknown field "spec.store.sise"'),
    ("store.pod.labels", {"-": "x"}, "spec.store.pod.labels: each key must be a label key"),
    ("nodeAgent.interval", "10", "spec.nodeAgent.interval"),
    ("nodeAgent.interval", "90h", "spec.nodeAgent.interval must be a duration from 1s to 24h"),
    ("nodeAgent.collectors.cpu", "yes", "spec.nodeAgent.collectors.cpu in body must be of type boolean"),
    ("nodeAgent.statsd.port", 80, "spec.nodeAgent.statsd.port in body should be greater than or equal to 1024"),
    ("nodeAgent.statsd", {"enabled": False, "hostPort": True}, "spec.nodeAgent.statsd.hostPort: expected false where enabled"),
    ("nodeAgent.containers.labels", ["a b"], "spec.nodeAgent.containers.labels[0]"),
    ("metrics", [{"frequency": "1s"}], "spec.metrics[0].name: Required value"),
    ("metrics", [{"name": "a"}, {"name": "a"}], "spec.metrics[1]: Duplicate value"),
    ("clusterName", "alex", "spec.clusterName is immutable"),
]


def changed(field: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(k.example())
    *parents, last = field.split(".")
    place = document["spec"]
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return document


@pytest.mark.parametrize(("field", "value", "message"), CASES, ids=[f"{field}={value}" for field, value, _ in CASES])
def test_refused(field: str, value: Any, message: str) -> None:
    said = k.refused("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(changed(field, value)))
    assert message in said


def test_shrinking_is_refused() -> None:
    said = k.refused("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(changed("store.storage.size", "200Mi")))
    assert "spec.store.storage.size cannot shrink" in said


def test_a_name_that_is_too_long_is_refused() -> None:
    document = k.example()
    document["metadata"]["name"] = "a" * 41
    assert "metadata.name must be" in k.refused("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
