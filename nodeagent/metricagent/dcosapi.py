"""The DC/OS Metrics API of this node (spec/dcos-metrics-api.md): `/node` and `/ping`, asked directly or by the node's name."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from metricagent.access import Access
from metricagent.latest import Latest
from metricagent.problems import Handler, answer_problems, harden, problem
from metricwire import dcos
from metricwire.errors import NotFound
from metricwire.samples import Place

OWN = "/system/v1/metrics/v0"
BY_AGENT = "/system/v1/agent/{agent}/metrics/v0"


class NodeResource:
    """What may be asked of the node at `place`."""

    def __init__(self, place: Place, latest: Latest, now: Callable[[], float]) -> None:
        self._place = place
        self._latest = latest
        self._now = now

    async def node(self, request: web.Request) -> web.Response:
        """All fresh datapoints of the host; 204 when there is none."""
        self._check(request)
        points = dcos.host_datapoints(self._latest.fresh(self._now()))
        if not points:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return _json(dcos.message(points, node=self._place.host, cluster=self._place.cluster))

    async def ping(self, request: web.Request) -> web.Response:
        """That the agent is there, and its time."""
        self._check(request)
        return _json(dcos.ping(self._now()))

    def _check(self, request: web.Request) -> None:
        agent = request.match_info.get("agent", self._place.host)
        if agent != self._place.host:
            raise NotFound(f"cannot find agent {agent!r}: this is {self._place.host!r}")


def application(place: Place, latest: Latest, access: Access, now: Callable[[], float]) -> web.Application:
    """The server of port 61001; every path needs a token, unknown ones too."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        access.check(request.headers.getall("Authorization", []))
        if not dcos.accepts_json(",".join(request.headers.getall("Accept", [])) or None):
            return problem(HTTPStatus.NOT_ACCEPTABLE, "cannot answer in a type that Accept allows: there is application/json")
        return await handler(request)

    resource = NodeResource(place, latest, now)
    app = web.Application(middlewares=[answer_problems, admit])
    for prefix in (OWN, BY_AGENT):
        app.router.add_get(prefix + "/node{slash:/?}", resource.node)
        app.router.add_get(prefix + "/ping{slash:/?}", resource.ping)
    app.on_response_prepare.append(harden)
    return app


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
