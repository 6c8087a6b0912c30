"""Registries that a MetricsCluster may name, where the operator's owner has said which."""

from dataclasses import replace

import pytest

from metricsoperator import settings

from .conftest import SITE, Server
from .test_reconcile import World


def turn(named: str, *allowed: str) -> World:
    world = World(Server(), {"image": {"registry": named}})
    world.begin(replace(SITE, registries=allowed))
    world.see()
    world.reconcile()
    return world


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ("anywhere.example/x", ()),
        ("", ("mirror.example",)),
        (SITE.registry, ("mirror.example",)),
        ("mirror.example", ("mirror.example",)),
        ("mirror.example/metrics/1", ("other.example", "mirror.example/metrics")),
    ],
)
def test_allowed(named: str, allowed: tuple[str, ...]) -> None:
    assert turn(named, *allowed).outcome.result != "invalid"


@pytest.mark.parametrize("named", ["evil.example", "mirror.example.evil", "mirror.example:5000/metrics", "mirror.example"])
def test_refused(named: str) -> None:
    world = turn(named, "mirror.example/metrics")
    assert world.outcome.result == "invalid"
    (ready,) = [each for each in world.resource()["status"]["conditions"] if each["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    wanted = "nothing, registry.example/metrics or a registry that the operator's settings allow (mirror.example/metrics)"
    assert ready["message"] == f"spec.image.registry: expected {wanted}, got '{named}'"
    assert [kind for _, kind, _ in world.server.writes if kind not in ("MetricsCluster", "Event")] == []


def test_settings() -> None:
    assert settings.read([], {}).registries == ()
    found = settings.read([], {"METRICSOPERATOR_ALLOWED_REGISTRIES": "a.example/b,c.example"})
    assert found.registries == ("a.example/b", "c.example")
