"""Who asks again and again without a token that counts: such an address is left alone for a while.

A request costs more than the check of its token, and a connection more than a request. So it is not enough to answer: an
address that has used up its failures gets 429, its connection ends, and those that it opens next end at once, until the first
failure has come back. So do those of an address that opens more than anybody needs. Whoever has the same address, as behind a
proxy or the node's own, waits with it.
"""

import math
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from metricagent.problems import Handler, problem
from metricwire.allowance import Allowances

FAILURES = 100  # at once; a poller of many containers whose token has expired stays below
SECONDS = 20.0  # in which they come back
BURST = 5  # seconds' worth of connections at once: a poller opens many, then none for a while

WAIT = "cannot look at this: too many requests from this address had no token that counts; wait"


class Strangers:
    """The failures and connections of late, by address, which may open so many `connections` a second."""

    def __init__(self, clock: Callable[[], float], registry: CollectorRegistry, connections: int) -> None:
        self._failures = Allowances(FAILURES, SECONDS, clock)
        self._connections = Allowances(connections * BURST, BURST, clock)
        self._turned_away = Counter(
            "metricagent_api_turned_away",
            "Requests and connections refused: their address sent too many tokens that do not count, or opened too many.",
            registry=registry,
        )

    def may_enter(self, address: str) -> bool:
        """Whether to listen to a new connection."""
        if not self._failures.wait(address) and not self._connections.take(address):
            return True
        self._turned_away.inc()
        return False

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or turn it away; remember whether it failed."""
        address = request.remote or ""
        wait = self._failures.wait(address)
        if wait:
            self._turned_away.inc()
            refusal = problem(HTTPStatus.TOO_MANY_REQUESTS, WAIT)
            refusal.headers["Retry-After"] = str(math.ceil(wait))
            refusal.force_close()
            return refusal
        answer = await handler(request)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._failures.take(address)
        return answer
