"""Monitors for the Prometheus operator: only of kinds that are there, and gone with them."""

import asyncio
from typing import Any

import pytest

from metricsoperator import names
from metricsoperator.kinds import MONITORS
from metricsoperator.manifests.metadata import Manifest
from metricsoperator.monitorlist import MonitorList
from metricsoperator.observed import Key, Observed
from metricsoperator.plan import plan

from .conftest import SITE, Server, cluster
from .test_plan import objects, template


def monitors(spec: dict[str, Any] | None = None, served: frozenset[str] = frozenset(MONITORS)) -> dict[str, Manifest]:
    return {made["kind"]: made for made in plan(cluster(spec), SITE, served=served) if made["kind"] in MONITORS}


@pytest.mark.parametrize(
    ("spec", "served", "expected"),
    [
        ({}, frozenset(MONITORS), set(MONITORS)),
        ({}, frozenset(), set()),
        ({}, frozenset({"PodMonitor"}), {"PodMonitor"}),
        ({"prometheus": {"monitor": "Never"}}, frozenset(MONITORS), set()),
    ],
)
def test_only_what_is_wanted_and_there(spec: dict[str, Any], served: frozenset[str], expected: set[str]) -> None:
    assert monitors(spec, served).keys() == expected


def test_they_choose_one_service_and_the_agents() -> None:
    chosen = monitors()["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    services = [made for key, made in objects().items() if key.startswith("Service/")]
    found = [made["metadata"]["name"] for made in services if chosen.items() <= made["metadata"]["labels"].items()]
    assert found == ["fritz-store"], "not the headless one, else each sample would be there twice"
    assert [port["name"] for port in objects()["Service/fritz-store"]["spec"]["ports"]] == ["api", "ops"]
    pods = monitors()["PodMonitor"]["spec"]
    labels = template(objects()["DaemonSet/fritz-agent"])["metadata"]["labels"]
    assert pods["selector"]["matchLabels"].items() <= labels.items()
    assert pods["podMetricsEndpoints"][0]["port"] == "metrics"


def test_labels_and_interval() -> None:
    made = monitors({"prometheus": {"labels": {"release": "p", "app.kubernetes.io/name": "x"}, "interval": "1m"}})
    for monitor in made.values():
        labels = monitor["metadata"]["labels"]
        assert labels["release"] == "p"
        assert labels["app.kubernetes.io/name"] == "metricscluster"
    assert made["ServiceMonitor"]["spec"]["endpoints"][0]["interval"] == "1m"


def test_namespaces_of_prometheus_may_connect_to_the_metrics_ports_alone() -> None:
    before, after = objects(), objects({"prometheus": {"namespaces": ["observability"]}})
    for part, ports in (("store", {names.STORE_OPS_PORT}), ("agent", {names.AGENT_METRICS_PORT})):
        rules = zip(*(made[f"NetworkPolicy/fritz-{part}"]["spec"]["ingress"] for made in (before, after)), strict=True)
        opened = {port["port"] for old, new in rules if old != new for port in new["ports"]}
        assert opened == ports


class Discovery(Server):
    """An API server whose kinds of monitors come and go."""

    plurals: frozenset[str] = frozenset()

    async def served(self, group: str, version: str) -> frozenset[str]:
        assert (group, version) == ("monitoring.coreos.com", "v1")
        return self.plurals


def test_kinds_that_come_and_go_are_seen() -> None:
    async def scene() -> None:
        server, observed = Discovery(), Observed()
        following = MonitorList(server, observed, "")
        assert not await following.look()
        server.plurals = frozenset({"servicemonitors", "podmonitors", "prometheuses"})
        assert await following.look()
        assert observed.served == frozenset(MONITORS)
        assert not await following.look(), "nothing is new"
        made = monitors()["PodMonitor"]
        server.keep(made)
        assert await following.look()
        assert [child["kind"] for child in observed.children(Key("monitoring", "fritz"))] == ["PodMonitor"]
        server.items.clear()
        assert await following.look(), "deleted by hand"
        server.keep(made)
        await following.look()
        server.plurals = frozenset()
        assert await following.look()
        assert not observed.served
        assert not observed.children(Key("monitoring", "fritz"))

    asyncio.run(scene())
