"""/healthz, /readyz and /metrics, for the kubelet and for Prometheus, on one port."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from metricwire.errors import SettingsError

log = logging.getLogger(__name__)


@asynccontextmanager
async def serving(
    port: int, registry: CollectorRegistry, faults: Callable[[], list[str]], ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Answers while the context lasts. `faults` says why the operator should be started anew, `ready` whether it is at work.

    SettingsError: the port is taken.
    """

    async def health(_: web.Request) -> web.Response:
        found = faults()
        for fault in found:
            log.error("not healthy: %s", fault)
        return web.json_response({"status": "failing" if found else "ok", "faults": found}, status=503 if found else 200)

    async def readiness(_: web.Request) -> web.Response:
        begun = ready()
        return web.json_response({"status": "ready" if begun else "starting"}, status=200 if begun else 503)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", health), web.get("/readyz", readiness), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "0.0.0.0", port).start()
        except OSError as error:
            raise SettingsError(f"cannot listen on port {port}: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()
