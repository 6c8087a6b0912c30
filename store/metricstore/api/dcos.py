"""The DC/OS Metrics API for every node of the cluster (spec/dcos-metrics-api.md)."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.answers import Message, Pong, Problem
from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.problems import problem
from metricstore.api.routes import Handler, Route, answer
from metricstore.engine import Engine, Floats, Ints
from metricwire import dcos
from metricwire.catalog import BY_NAME
from metricwire.errors import NotFound
from metricwire.samples import Place, Sample, SeriesKey

HERE = "/system/v1/metrics/v0"
THERE = "/system/v1/agent/{agent_id}/metrics/v0"

NODE = Parameter("node", "The node; without, the one of the settings, or the first that something fresh is known of.")
AGENT = Parameter("agent_id", "The node.", place="path")
CLUSTER = Parameter("cluster", "The node's cluster; without, the one of the settings, or any.")
CONTAINER = Parameter("container_id", "The container's id, whole.", place="path")
METRIC = Parameter("metric_id", "What the metrics' names begin with.", place="path")
NOT_THERE = {
    404: Answer("No such node.", Content(kind=Problem)),
    406: Answer("Another form than JSON was asked for.", Content(kind=Problem)),
}
PONG = {200: Answer("Somebody is.", Content(kind=Pong)), **NOT_THERE}
IDS = {200: Answer("Their ids, sorted.", Content(kind=list[str])), 204: Answer("There is none."), **NOT_THERE}
DATA = {
    200: Answer("The fresh datapoints, and whose they are.", Content(kind=Message)),
    204: Answer("Nothing fresh is known."),
    **NOT_THERE,
}

Find = Callable[[Place], Any]  # what is known of one node; nothing: None, or an empty list
Render = Callable[[Iterable[Sample], Place, Mapping[str, str]], list[dict[str, Any]]]  # samples and labels of a container


class Dcos:
    """`/system/v1/...`: a node is asked by its name, or by `?node=`, or is the one the settings name."""

    def __init__(self, engine: Engine, cluster: str, node: str, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._cluster, self._node, self._clock = engine, cluster, node, clock
        # Seconds between two samples of an agent: what most metrics of the catalogue have.
        [(self._poll, _)] = Counter(map(engine.metrics.frequency, BY_NAME)).most_common(1)
        table: tuple[tuple[str, Handler, tuple[Parameter, ...], dict[int, Answer]], ...] = (
            ("node", self.node, (), DATA),
            ("containers", self.containers, (), IDS),
            ("containers/{container_id}", self.container, (CONTAINER,), DATA),
            ("containers/{container_id}/app", self.application, (CONTAINER,), DATA),
            ("containers/{container_id}/app/{metric_id}", self.application_metric, (CONTAINER, METRIC), DATA),
            ("ping", self.ping, (), PONG),
        )
        self.routes = tuple(
            Route(
                f"{prefix}/{name}",
                ("GET",),
                needs,
                handler,
                description=Description((which, *parameters, CLUSTER), None, answers),
                also=self._also,
            )
            for prefix, needs, which in ((HERE, Permission.DCOS_NODE, NODE), (THERE, Permission.DCOS_AGENT, AGENT))
            for name, handler, parameters, answers in table
        )

    def _also(self, request: Request) -> tuple[Permission, str] | None:
        """To name another node by `?node=` is to ask for it by the other prefix."""
        node, path = request.query_params.get("node"), request.scope["path"]
        if not node or node == self._node or not path.startswith(HERE):
            return None
        return Permission.DCOS_AGENT, f"/system/v1/agent/{node}/metrics/v0{path.removeprefix(HERE)}"

    async def node(self, request: Request, _: Caller) -> Response:
        """All host datapoints of a node; 204 when none is fresh."""

        def find(node: Place) -> Any:
            points = dcos.host_datapoints(self._fresh(node))
            return dcos.message(points, dcos.dimensions(node, self._engine.labels_of(node)))

        return self._answer(request, find)

    async def containers(self, request: Request, _: Caller) -> Response:
        """Ids of the containers on a node that are measured or sent something themselves; 204 when there is none."""
        return self._answer(request, lambda node: dcos.containers(self._series(node)))

    async def container(self, request: Request, _: Caller) -> Response:
        """Resource datapoints of a container; 204 when none is fresh, or the container is not known."""
        return self._answer(request, self._of_container(request, dcos.container_datapoints))

    async def application(self, request: Request, _: Caller) -> Response:
        """What a container's workload sent; 204 when nothing of it is fresh, or the container is not known."""
        return self._answer(request, self._of_container(request, dcos.application_datapoints))

    async def application_metric(self, request: Request, _: Caller) -> Response:
        """What a container's workload sent under names that begin so; 204 when nothing of it is fresh."""
        render = partial(dcos.application_datapoints, prefix=request.path_params["metric_id"])
        return self._answer(request, self._of_container(request, render))

    async def ping(self, request: Request, _: Caller) -> Response:
        """Is somebody there?"""
        self._asked(request)
        return _refuse_other_forms(request) or answer(dcos.ping(self._clock()))

    def _answer(self, request: Request, find: Find) -> Response:
        """What is found of the node asked for."""
        node = self._asked(request)
        if refusal := _refuse_other_forms(request):
            return refusal
        found = find(node) if node else None
        return answer(found) if found else Response(status_code=204)

    def _of_container(self, request: Request, render: Render) -> Find:
        def find(node: Place) -> Any:
            place = node._replace(type=dcos.CONTAINER, type_id=request.path_params["container_id"])
            labels = self._engine.labels_of(place)
            points = render(self._fresh(place), place, labels)
            return dcos.message(points, dcos.dimensions(place, labels))

        return find

    def _fresh(self, place: Place) -> Iterator[Sample]:
        """The fresh samples at a container; or at a host, not those of its threads, containers and so on."""
        numbers, times, values = (column.tolist() for column in self._columns(place))
        found = zip(map(self._engine.key, numbers), times, values, strict=True)
        return (Sample(*each) for each in found if each[0].place.type == place.type)

    def _series(self, node: Place) -> Iterator[SeriesKey]:
        """Those of a node, and of all in it, that have fresh samples."""
        return map(self._engine.key, self._columns(node)[0].tolist())

    def _columns(self, place: Place) -> tuple[Ints, Ints, Floats]:
        """Numbers, timestamps and values of what is fresh. What comes more often than agents sample is kept as long."""
        return self._engine.fresh_columns(dcos.FRESH, *place.path, interval=self._poll)

    def _asked(self, request: Request) -> Place | None:
        """The node asked for, None where nothing fresh is known of any. NotFound for a node or a cluster that nobody knows."""
        if b"%2f" in request.scope["raw_path"].lower():
            raise NotFound(f"cannot find {request.url.path!r}: a slash in it was encoded, and no name here has one")
        asked, known = request.query_params.get("cluster"), self._engine.clusters()
        if asked and asked not in (self._cluster, *known):
            raise NotFound(f"cannot find cluster {asked!r}: no samples of it have come in")
        cluster = self._cluster if asked is None else asked
        clusters = [cluster] if cluster else known
        name = request.path_params.get("agent_id") or request.query_params.get("node")
        node = name or self._node
        nodes = [Place(one, host) for one in clusters for host in self._engine.hosts(one) if host == node or not node]
        if name and not nodes:
            raise NotFound(f"cannot find node {name!r}: no samples of it have come in")
        return nodes[0] if len(nodes) == 1 else self._first_shown(nodes)

    def _first_shown(self, nodes: Iterable[Place]) -> Place | None:
        """Of several the first that anything may be shown of: the one that answers, whatever is asked."""
        return next((node for node in nodes if any(map(dcos.is_shown, self._series(node)))), None)


def _refuse_other_forms(request: Request) -> Response | None:
    if dcos.accepts_json(",".join(request.headers.getlist("accept")) or None):
        return None
    return problem(406, "cannot answer in another form: application/json is the one there is")
