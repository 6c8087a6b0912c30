"""The store's volume: sizes as an API server and drivers write them, and a growth that does not end."""

import asyncio
from typing import Any

import pytest

from metricsoperator.growth import grow, volumes
from metricsoperator.observed import Observed
from metricsoperator.status import growing

from .conftest import Server, cluster


def claim(size: str, **status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "metricscluster", "app.kubernetes.io/instance": "fritz"}
    about = {"name": "data-fritz-store-0", "namespace": "monitoring", "uid": "claim"}
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": about | {"labels": labels | {"app.kubernetes.io/component": "store"}},
        "spec": {"resources": {"requests": {"storage": size}}},
        "status": {"phase": "Bound"} | status,
    }


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("1Ei", "volumes cannot shrink; it has more than the 64Ti that the size can say: make a new volume, or leave it so"),
        ("100e9", "volumes cannot shrink; set the size to 100000000000"),
        ("20Gi", "volumes cannot shrink; set the size to 20Gi"),
        ("10737418240", ""),
        ("10737418240000m", ""),
    ],
)
def test_a_claim_of_any_size_is_understood(server: Server, size: str, says: str) -> None:
    found = asyncio.run(grow(server, Observed(), cluster(), claim(size)))
    assert [limit.message.endswith(says) for limit in found.limits] == ([True] if says else [])
    assert not server.writes


@pytest.mark.parametrize(("capacity", "grows"), [("10e9", True), ("1Ei", False), ("10Gi", False), ("5Gi", True)])
def test_what_a_driver_calls_its_capacity(capacity: str, grows: bool) -> None:
    [volume] = volumes(claim("10Gi", capacity={"storage": capacity}))
    assert growing(volume) is grows
