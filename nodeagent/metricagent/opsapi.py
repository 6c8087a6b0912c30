"""What Prometheus and the kubelet ask: samples of the host, metrics of the agent, whether it lives, whether it has data."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from metricagent.latest import Latest
from metricagent.problems import answer_problems, harden, problem
from metricwire.exposition import CONTENT_TYPE, render

SHARED_SECONDS = 0.5  # that one exposition is for whoever asks: a crowd of scrapers must not take the processor from sampling


class OpsResource:
    """The routes' answers."""

    def __init__(
        self, latest: Latest, registry: CollectorRegistry, alive: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self._latest = latest
        self._registry = registry
        self._alive = alive
        self._now = now
        self._rendering = asyncio.Lock()
        self._rendered = (-SHARED_SECONDS, b"")  # when, and what

    async def metrics(self, _: web.Request) -> web.Response:
        """Fresh samples of the host and its containers with their labels, then metricagent_*, in one exposition."""
        async with self._rendering:
            now = asyncio.get_running_loop().time()
            if now - self._rendered[0] >= SHARED_SECONDS:
                self._rendered = now, await asyncio.to_thread(self._exposition)
        return web.Response(body=self._rendered[1], headers={"Content-Type": CONTENT_TYPE})

    def _exposition(self) -> bytes:
        return render(self._latest.fresh(self._now()), self._latest.labels_of) + generate_latest(self._registry)

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether the loop runs: 503 when no tick has come to an end for long."""
        if not self._alive():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "cannot read the host: a collector does not come back")
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether there are samples to show; an absent store is no reason not to be ready."""
        if not self._latest.fresh(self._now()):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "cannot show samples: the host was not read of late")
        return web.Response(text="ok\n")


def application(
    latest: Latest, registry: CollectorRegistry, alive: Callable[[], bool], now: Callable[[], float]
) -> web.Application:
    """The server of port 61091."""
    resource = OpsResource(latest, registry, alive, now)
    app = web.Application(middlewares=[answer_problems])
    app.router.add_get("/metrics", resource.metrics)
    app.router.add_get("/healthz", resource.healthz)
    app.router.add_get("/readyz", resource.readyz)
    app.on_response_prepare.append(harden)
    return app
