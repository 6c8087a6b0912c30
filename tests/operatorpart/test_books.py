import asyncio
import time

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, generate_latest

from chaos.program import free_port
from metricsoperator.books import Books
from metricsoperator.handlers import Operator
from metricsoperator.observed import Key
from metricsoperator.opsapi import serving
from metricsoperator.pulse import Pulse
from metricsoperator.settings import Settings
from metricsoperator.worklist import Worklist

from .conftest import Server
from .test_reconcile import World

KEY = Key("monitoring", "fritz")


def test_what_is_said_of_a_resource_goes_with_it() -> None:
    registry = CollectorRegistry()
    books = Books(registry, "1.2.3", lambda: 3)
    books.forget(KEY)
    books.success(KEY, 5.0, ready=True)
    books.turn(KEY, "ready")
    books.failed(Key("monitoring", "alex"), "Retry")
    books.lasted(0.2)
    text = generate_latest(registry).decode()
    labels = '{name="fritz",namespace="monitoring"}'
    assert f"metricsoperator_last_success_timestamp_seconds{labels} 5.0" in text
    assert f"metricsoperator_ready{labels} 1.0" in text
    assert 'metricsoperator_ready{name="alex",namespace="monitoring"} 0.0' in text
    assert 'metricsoperator_reconcile_errors_total{reason="Retry"} 1.0' in text
    assert "metricsoperator_queue_depth 3.0" in text
    books.turn(KEY, "gone")
    assert "fritz" not in generate_latest(registry).decode()


def test_a_resource_that_cannot_be_understood_is_not_ready(server: Server) -> None:
    """For an operator too that has just started; looking at it is no error."""
    world, registry = World(server, {"store": {"limits": {"series": 1}}}), CollectorRegistry()
    worklist = Worklist[Key](lambda: 0.5)
    operator = Operator(Settings(), server, Books(registry, "1"), worklist, Pulse(time.monotonic))
    operator.reconciler = world.reconciler

    async def turn() -> None:
        worklist.add(KEY)
        await operator._turn(await worklist.take())

    asyncio.run(turn())
    labels = dict(zip(("namespace", "name"), KEY, strict=True))
    assert registry.get_sample_value("metricsoperator_ready", labels) == 0
    assert (registry.get_sample_value("metricsoperator_last_success_timestamp_seconds", labels) or 0) > 0
    assert registry.get_sample_value("metricsoperator_reconciles_total", {"result": "invalid"}) == 1


def test_health_and_metrics_share_a_port() -> None:
    registry, faults, port, begun = CollectorRegistry(), list[str](), free_port(), list[bool]()
    Books(registry, "1.2.3")

    async def look() -> None:
        async with (
            serving(port, registry, lambda: faults, lambda: any(begun)),
            ClientSession(f"http://127.0.0.1:{port}") as ask,
        ):
            async with ask.get("/healthz") as found:
                assert (found.status, await found.json()) == (200, {"status": "ok", "faults": []})
            async with ask.get("/readyz") as found:
                assert (found.status, await found.json()) == (503, {"status": "starting"})
            begun.append(True)
            async with ask.get("/readyz") as found:
                assert (found.status, await found.json()) == (200, {"status": "ready"})
            faults.append("the watch of Service says nothing more")
            async with ask.get("/healthz") as found:
                assert (found.status, (await found.json())["faults"]) == (503, faults)
            async with ask.get("/metrics") as found:
                assert 'metricsoperator_build_info{version="1.2.3"} 1.0' in await found.text()
            async with ask.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as found:
                assert (await found.text()).endswith("# EOF\n")

    asyncio.run(look())
