import asyncio
from typing import Any

import pytest

from metricsoperator import orphans

from .conftest import Server, document


def pod(name: str = "fritz-store-0", component: str = "store", **more: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "metricscluster", "app.kubernetes.io/instance": "fritz"}
    about = {"name": name, "namespace": "monitoring", "labels": labels | {"app.kubernetes.io/component": component}}
    return {"kind": "Pod", "metadata": about | more}


@pytest.mark.parametrize("namespace", ["", "monitoring"])
def test_a_pod_that_was_left_when_its_set_was_made_anew(server: Server, namespace: str) -> None:
    server.keep(pod())
    asyncio.run(orphans.remove(server, namespace))
    assert server.writes == [("delete", "Pod", "fritz-store-0")]


@pytest.mark.parametrize(
    "left_alone",
    [
        pod(ownerReferences=[{"kind": "StatefulSet", "name": "fritz-store", "uid": "1"}]),
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("somebodys"),
        pod("fritz-agent-x", "agent"),
    ],
)
def test_other_pods_stay(server: Server, left_alone: dict[str, Any]) -> None:
    server.keep(left_alone)
    asyncio.run(orphans.remove(server, ""))
    assert server.writes == []


def test_while_there_is_a_resource_its_set_comes_back(server: Server) -> None:
    server.keep(document())
    server.keep(pod())
    asyncio.run(orphans.remove(server, ""))
    assert server.writes == []
