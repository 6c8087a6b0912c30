"""The operator put together: books, API server, what it serves, what it does."""

import logging
import random
import time

from prometheus_client import CollectorRegistry

from metricsoperator import apply, opsapi, preflight
from metricsoperator.books import Books
from metricsoperator.handlers import Operator
from metricsoperator.observed import Key
from metricsoperator.pulse import Pulse
from metricsoperator.settings import Settings
from metricsoperator.worklist import Worklist
from metricwire import __version__

log = logging.getLogger("metricsoperator")


async def run(settings: Settings) -> None:
    """Until a signal. SettingsError: it cannot start, or not go on."""
    registry, worklist = CollectorRegistry(), Worklist[Key](random.random)
    books = Books(registry, __version__, worklist.waiting)
    pulse = Pulse(time.monotonic)

    def asked(verb: str, status: int) -> None:
        books.request(verb, status)
        pulse.answered()

    objects = apply.Cluster(apply.connect(), count=asked)
    operator = Operator(settings, objects, books, worklist, pulse)
    async with opsapi.serving(settings.health_port, registry, operator.faults, lambda: operator.begun):
        await preflight.check(objects, settings.namespace, cluster=bool(settings.cluster_roles))
        log.info("serving %s", settings.namespace or "all namespaces", extra={"version": settings.tag})
        await operator.run()
