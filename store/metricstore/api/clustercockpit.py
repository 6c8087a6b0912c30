"""cc-metric-store's REST API (spec/metric-store-api.md)."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.auth import Caller, Permission
from metricstore.api.bodies import read_body
from metricstore.api.problems import problem
from metricstore.api.routes import Route, answer
from metricstore.engine import Engine
from metricstore.ingest import Ingest, Receipt
from metricstore.query.execute import Execution
from metricstore.query.health import health
from metricstore.query.request import HealthRequest, QueryRequest, read
from metricstore.settings import Limits
from metricwire.errors import TooLarge

TURN = 0.01  # seconds of work for one request after which others are looked after
Item = TypeVar("Item")
REJECTED_SHOWN = 100  # bad lines that an answer lists
REJECTED_NAMED = 3  # of these, the ones its sentence names


class ClusterCockpit:
    """The routes below `/api`."""

    def __init__(self, engine: Engine, ingest: Ingest, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._ingest, self._limits, self._clock = engine, ingest, limits, clock
        self.routes = (
            Route("/api/write", ("POST", "GET"), Permission.WRITE, self.write, safe=False),
            Route("/api/query", ("GET", "POST"), Permission.READ, self.query),
            Route("/api/healthcheck", ("GET", "POST"), Permission.READ, self.healthcheck),
        )

    async def write(self, request: Request, caller: Caller) -> Response:
        """Line protocol; 200 when all of it is stored, 400 naming the lines that are not, the others being stored."""
        body = await read_body(request, self._limits.body_bytes)
        receipt = await self._ingest.write(body, request.query_params.get("cluster", ""), caller.node)
        return _refusal(receipt) if receipt.rejected else Response(media_type="application/json")

    async def query(self, request: Request, _: Caller) -> Response:
        """Samples of series, aggregated or not."""
        asked = read(await read_body(request, self._limits.body_bytes), QueryRequest)
        execution = Execution(self._engine, asked, self._limits)
        results = await in_turns(execution.rows(), self._limits.query_seconds)
        return answer({"queries": execution.echo, "results": results} if execution.echo else {"results": results})

    async def healthcheck(self, request: Request, _: Caller) -> Response:
        """Which metrics of which nodes are missing or late; one node also by `?cluster=&node=`."""
        body = await read_body(request, self._limits.body_bytes)
        asked = read(body or b"{}", HealthRequest)
        cluster, node = request.query_params.get("cluster", asked.cluster), request.query_params.get("node")
        nodes = [node] if node else asked.nodes
        wanted = HealthRequest(cluster, nodes, asked.metric_names)
        found = health(self._engine, wanted, int(self._clock()), checks_max=self._limits.queries)
        return answer(dict(await in_turns(found, self._limits.query_seconds)))


async def in_turns(items: Iterator[Item], seconds_max: float) -> list[Item]:
    """All of the items; other requests get a turn while they are made. TooLarge when that takes longer than `seconds_max`."""
    found = []
    begun = turn = time.monotonic()
    for item in items:
        found.append(item)
        now = time.monotonic()
        if now - begun > seconds_max:
            raise TooLarge(f"cannot answer within {seconds_max:g} s (limits.query-seconds): ask for less at a time")
        if now - turn > TURN:
            await asyncio.sleep(0)
            turn = time.monotonic()
    return found


def _refusal(receipt: Receipt) -> Response:
    """400, with the lines that were not stored."""
    bad = receipt.bad
    named = "; ".join(f"line {line.number} ({line.text}): {line.reason}" for line in bad[:REJECTED_NAMED])
    more = f"; and {receipt.rejected - REJECTED_NAMED} more" if receipt.rejected > REJECTED_NAMED else ""
    return problem(
        400,
        f"cannot store {receipt.rejected} of {receipt.rejected + receipt.stored} lines: {named}{more}",
        stored=receipt.stored,
        rejected_lines=receipt.rejected,
        rejected=[{"line": line.number, "text": line.text, "reason": line.reason} for line in bad[:REJECTED_SHOWN]],
    )
