"""cc-metric-store's REST API (spec/metric-store-api.md)."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.answers import HostHealth, QueryAnswer, WriteRefusal
from metricstore.api.auth import Caller, Permission
from metricstore.api.bodies import read_body
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.problems import problem
from metricstore.api.routes import Route, SameAnswer, answer
from metricstore.api.turns import in_turns
from metricstore.engine import Engine
from metricstore.ingest import Ingest, Receipt
from metricstore.query.execute import Execution
from metricstore.query.health import health
from metricstore.query.request import HealthRequest, QueryRequest, read
from metricstore.query.selection import Selections
from metricstore.settings import Limits

REJECTED_NAMED = 3  # bad lines that the answer's sentence names

WRITE = Description(
    (Parameter("cluster", "Cluster of lines that have no cluster tag."),),
    Content("text/plain", example="load_one,cluster=fritz,hostname=f0201,type=node value=1.5 1700000000"),
    {
        200: Answer("All of it is stored, and on disk."),
        400: Answer("Some lines are not stored; the others are: do not send them again.", Content(kind=WriteRefusal)),
        503: Answer("Nothing is stored: the disk takes nothing now. Send it again after Retry-After seconds."),
    },
)
QUERY = Description(
    (Parameter("version", "cc-backend sends v2; nothing depends on it."),),
    Content(kind=QueryRequest),
    {200: Answer("A row per query, an entry per selector.", Content(kind=QueryAnswer))},
)
HEALTH = Description(
    (
        Parameter("cluster", "The cluster, where the body does not say it."),
        Parameter("node", "The one node to look at, instead of the body's."),
    ),
    Content(kind=HealthRequest),
    {200: Answer("By node.", Content(kind=dict[str, HostHealth]))},
)


class ClusterCockpit:
    """The routes below `/api`."""

    def __init__(self, engine: Engine, ingest: Ingest, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._ingest, self._limits, self._clock = engine, ingest, limits, clock
        self._selections = Selections(engine)
        self.routes = (
            Route("/api/write", ("POST", "GET"), Permission.WRITE, self.write, safe=False, description=WRITE),
            Route("/api/query", ("GET", "POST"), Permission.READ, self.query, description=QUERY),
            Route("/api/healthcheck", ("GET", "POST"), Permission.READ, self.healthcheck, description=HEALTH),
        )

    async def write(self, request: Request, caller: Caller) -> Response:
        """Line protocol; 200 when all of it is stored, 400 naming the lines that are not, the others being stored."""
        body = await read_body(request, self._limits)
        cluster = request.query_params.get("cluster", "") if request.scope["query_string"] else ""
        receipt = await self._ingest.write(body, cluster, caller.node)
        return _refusal(receipt) if receipt.rejected else _STORED

    async def query(self, request: Request, _: Caller) -> Response:
        """Samples of series, aggregated or not."""
        execution = Execution(self._engine, await read_body(request, self._limits), self._limits, self._selections)
        results = [row for rows in await in_turns(execution.rows(), self._limits.query_seconds) for row in rows]
        return answer({"queries": execution.echo, "results": results} if execution.echo else {"results": results})

    async def healthcheck(self, request: Request, _: Caller) -> Response:
        """Which metrics of which nodes are missing or late; one node also by `?cluster=&node=`."""
        body = await read_body(request, self._limits)
        node = request.query_params.get("node")
        asked = read(b"{}" if node and not body else body, HealthRequest)
        cluster = request.query_params.get("cluster", asked.cluster)
        nodes = [node] if node else asked.nodes
        wanted = HealthRequest(cluster, nodes, asked.metric_names)
        found = health(self._engine, wanted, int(self._clock()), checks_max=self._limits.queries)
        return answer(dict(await in_turns(found, self._limits.query_seconds)))


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
        rejected=[{"line": line.number, "text": line.text, "reason": line.reason} for line in bad],
    )


_STORED = SameAnswer(media_type="application/json")
