"""The DC/OS Metrics API of this node (spec/dcos-metrics-api.md), asked directly or by the node's name."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from metricagent.access import Access
from metricagent.latest import Latest
from metricagent.problems import Handler, answer_problems, harden
from metricwire import dcos
from metricwire.errors import NotFound
from metricwire.samples import Place, Sample

OWN = "/system/v1/metrics/v0"
NAME = "[^/]+"  # aiohttp's own pattern takes no braces
BY_AGENT = f"/system/v1/agent/{{agent:{NAME}}}/metrics/v0"

Render = Callable[[list[Sample], Place, Mapping[str, str]], list[dict[str, Any]]]  # samples and labels of a container


class NodeResource:
    """What may be asked of the node at `place`."""

    def __init__(self, place: Place, latest: Latest, now: Callable[[], float]) -> None:
        self._place = place
        self._latest = latest
        self._now = now

    async def node(self, request: web.Request) -> web.Response:
        """All fresh datapoints of the host; 204 when there is none."""
        self._check(request)
        points = dcos.host_datapoints(self._fresh())
        return _json(dcos.message(points, dcos.dimensions(self._place, self._latest.labels_of(self._place))))

    async def containers(self, request: web.Request) -> web.Response:
        """Ids of the containers that are measured or sent something themselves; 204 when there is none."""
        self._check(request)
        return _json(dcos.containers(sample.series for sample in self._fresh()))

    async def container(self, request: web.Request) -> web.Response:
        """Resource datapoints of a container; 204 when none is fresh, or the container is not known."""
        return self._of_container(request, dcos.container_datapoints)

    async def application(self, request: web.Request) -> web.Response:
        """What a container's workload sent; 204 when nothing of it is fresh, or the container is not known."""
        return self._of_container(request, dcos.application_datapoints)

    async def application_metric(self, request: web.Request) -> web.Response:
        """What a container's workload sent under names that begin so; 204 when nothing of it is fresh."""
        return self._of_container(request, partial(dcos.application_datapoints, prefix=request.match_info["metric"]))

    async def ping(self, request: web.Request) -> web.Response:
        """That the agent is there, and its time."""
        self._check(request)
        return _json(dcos.ping(self._now()))

    def _fresh(self) -> list[Sample]:
        return self._latest.fresh(self._now())

    def _of_container(self, request: web.Request, render: Render) -> web.Response:
        self._check(request)
        place = self._place._replace(type=dcos.CONTAINER, type_id=request.match_info["container"])
        labels = {**self._latest.labels_of(self._place), **self._latest.labels_of(place)}
        return _json(dcos.message(render(self._fresh(), place, labels), dcos.dimensions(place, labels)))

    def _check(self, request: web.Request) -> None:
        """NotFound unless this node is meant; 406 when JSON is not accepted."""
        if "%2f" in request.rel_url.raw_path.lower():
            raise NotFound(f"cannot find {request.path!r}: a slash in it was encoded, and no name here has one")
        for agent in (request.match_info.get("agent"), request.query.get("node")):
            if agent and agent != self._place.host:
                raise NotFound(f"cannot find agent {agent!r}: this is {self._place.host!r}")
        cluster = request.query.get("cluster")
        if cluster and cluster != self._place.cluster:
            raise NotFound(f"cannot find cluster {cluster!r}: this is {self._place.cluster!r}")
        if not dcos.accepts_json(",".join(request.headers.getall("Accept", [])) or None):
            raise web.HTTPNotAcceptable(reason="application/json is the one form there is")


def application(place: Place, latest: Latest, access: Access, now: Callable[[], float]) -> web.Application:
    """The server of port 61001; every path needs a token, and every route the right to ask it."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        claims = await access.identify(request.headers.getall("Authorization", []))
        if request.match_info.http_exception is None:  # it is a route
            await access.permit(claims, request.method, request.path)
        return await handler(request)

    resource = NodeResource(place, latest, now)
    app = web.Application(middlewares=[answer_problems, admit])
    for prefix in (OWN, BY_AGENT):
        for path, handler in (
            ("node", resource.node),
            ("containers", resource.containers),
            (f"containers/{{container:{NAME}}}", resource.container),
            (f"containers/{{container:{NAME}}}/app", resource.application),
            (f"containers/{{container:{NAME}}}/app/{{metric:{NAME}}}", resource.application_metric),
            ("ping", resource.ping),
        ):
            app.router.add_get(f"{prefix}/{path}{{slash:/?}}", handler)
    app.on_response_prepare.append(harden)
    return app


def _json(found: Any) -> web.Response:
    """What was found; 204 when it is nothing."""
    if not found:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(body=msgspec.json.encode(found), content_type="application/json")
