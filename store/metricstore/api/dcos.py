"""The DC/OS Metrics API for every node of the cluster (spec/dcos-metrics-api.md)."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.answers import Message, Pong, Problem
from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.problems import problem
from metricstore.api.routes import Route, answer
from metricstore.engine import Engine
from metricwire import dcos
from metricwire.errors import NotFound
from metricwire.samples import Place

HERE = "/system/v1/metrics/v0"
THERE = "/system/v1/agent/{agent_id}/metrics/v0"

NODE = Parameter("node", "The node; without, the one of the settings, or the first that something fresh is known of.")
AGENT = Parameter("agent_id", "The node.", place="path")
CLUSTER = Parameter("cluster", "The node's cluster; without, the one of the settings, or any.")
HOST = {
    200: Answer("Its fresh datapoints.", Content(kind=Message)),
    204: Answer("Nothing fresh is known."),
    404: Answer("No such node.", Content(kind=Problem)),
    406: Answer("Another form than JSON was asked for.", Content(kind=Problem)),
}
PING = {200: Answer("Somebody is.", Content(kind=Pong)), 404: Answer("No such node.", Content(kind=Problem))}


class Dcos:
    """`/system/v1/...`: a node is asked by its name, or by `?node=`, or is the one the settings name."""

    def __init__(self, engine: Engine, cluster: str, node: str, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._cluster, self._node, self._clock = engine, cluster, node, clock
        self.routes = tuple(
            Route(
                f"{prefix}/{name}",
                ("GET",),
                Permission.READ,
                handler,
                description=Description((*which, CLUSTER), None, answers),
            )
            for prefix, which in ((HERE, (NODE,)), (THERE, (AGENT,)))
            for name, handler, answers in (("node", self.node, HOST), ("ping", self.ping, PING))
        )

    async def node(self, request: Request, _: Caller) -> Response:
        """All host datapoints of a node; 204 when none is fresh."""
        places = self._asked(request)
        if not dcos.accepts_json(request.headers.get("accept")):
            return problem(406, "cannot answer in another form: application/json is the one there is")
        for place in places:
            points = dcos.host_datapoints(self._engine.fresh(dcos.FRESH, place.cluster, place.host))
            if points:
                return answer(dcos.message(points, node=place.host, cluster=place.cluster))
        return Response(status_code=204)

    async def ping(self, request: Request, _: Caller) -> Response:
        """Is somebody there?"""
        self._asked(request)
        return answer(dcos.ping(self._clock()))

    def _asked(self, request: Request) -> list[Place]:
        """The nodes, of which the first with something fresh answers. NotFound when there is none of the name asked for."""
        cluster = request.query_params.get("cluster", self._cluster)
        clusters = [cluster] if cluster else self._engine.clusters()
        node = request.path_params.get("agent_id") or request.query_params.get("node") or self._node
        hosts = [Place(name, host) for name in clusters for host in self._engine.hosts(name) if not node or host == node]
        if node and not hosts:
            raise NotFound(f"cannot find node {node!r}: no samples of it have come in")
        return hosts
