"""The forms of what we answer. They describe: answers are written by what makes them, and tests hold them to these forms."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from metricstore.query.request import Query

Seconds = Annotated[int, Meta(description="Seconds since 1970.")]


class Problem(msgspec.Struct, frozen=True):
    """What went wrong."""

    status: Annotated[str, Meta(description="The status code's reason phrase.")]
    error: Annotated[str, Meta(description="cannot <verb> <what>: <cause>")]


class RefusedLine(msgspec.Struct, frozen=True):
    """A line that was not stored."""

    line: Annotated[int, Meta(description="Its number, from 1.")]
    text: Annotated[str, Meta(description="Its first 80 characters.")]
    reason: str


class WriteRefusal(Problem, frozen=True):
    """Some lines were not stored; the others were."""

    stored: int | UnsetType = UNSET
    rejected_lines: int | UnsetType = UNSET
    rejected: Annotated[list[RefusedLine] | UnsetType, Meta(description="The first 100 of them.")] = UNSET


class Entry(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What one selector found. Missing values are null; `to` is exclusive."""

    from_: Seconds
    to: Seconds
    resolution: Annotated[int, Meta(description="Seconds between two values.")]
    avg: float | None
    min: float | None
    max: float | None
    error: str | UnsetType = UNSET
    data: list[float | None] | UnsetType = UNSET


class QueryAnswer(msgspec.Struct, frozen=True):
    """A row per query, an entry per selector that has data."""

    results: list[list[Entry]]
    queries: Annotated[list[Query] | UnsetType, Meta(description="Those that for-all-nodes made.")] = UNSET


class HostHealth(msgspec.Struct, frozen=True):
    """How one node's metrics come in."""

    State: Literal["full", "partial", "failed"]
    HealthMetrics: Annotated[str, Meta(description='JSON text: {"missing": [...], "degraded": [...]}, or empty.')]


class Datapoint(msgspec.Struct, frozen=True):
    """One value of a DC/OS metric."""

    name: str
    value: float
    unit: str
    timestamp: Annotated[str, Meta(description="RFC 3339, UTC.")]
    tags: dict[str, str] | UnsetType = UNSET


class Dimensions(msgspec.Struct, frozen=True):
    """Whose DC/OS datapoints they are. What is not known is left out."""

    mesos_id: Annotated[str, Meta(description="The node.")]
    hostname: Annotated[str, Meta(description="The node.")]
    cluster_id: str
    container_id: str | UnsetType = UNSET
    executor_id: Annotated[str | UnsetType, Meta(description="The pod's UID.")] = UNSET
    framework_name: Annotated[str | UnsetType, Meta(description="The workload: the Deployment, the CronJob ...")] = UNSET
    framework_id: Annotated[str | UnsetType, Meta(description="The workload's kind.")] = UNSET
    framework_role: Annotated[str | UnsetType, Meta(description="The namespace.")] = UNSET
    task_name: Annotated[str | UnsetType, Meta(description="The pod.")] = UNSET
    task_id: Annotated[str | UnsetType, Meta(description="namespace/pod/container")] = UNSET
    labels: Annotated[dict[str, str] | UnsetType, Meta(description="The pod's.")] = UNSET


class Message(msgspec.Struct, frozen=True):
    """What the DC/OS Metrics API says of one thing."""

    datapoints: list[Datapoint]
    dimensions: Dimensions


class Pong(msgspec.Struct, frozen=True):
    """DC/OS: somebody is there."""

    ok: bool
    timestamp: str


class Count(msgspec.Struct, frozen=True):
    """Series of one name."""

    name: str
    series: int


class Cardinality(msgspec.Struct, frozen=True):
    """How many series there are, and of what."""

    series: Annotated[int, Meta(description="Series there are.")]
    limit: Annotated[int, Meta(description="Series there may be (limits.series).")]
    metrics: list[Count]
    hosts: Annotated[list[Count], Meta(description="Named cluster:host.")]
    clusters: list[Count]
    tags: Annotated[list[Count], Meta(description="Series that carry a tag of that name, by which the place is not meant.")]


class InfluxProblem(msgspec.Struct, frozen=True):
    """What InfluxDB 1.x says when something went wrong."""

    error: str


class Influx2Problem(msgspec.Struct, frozen=True):
    """What InfluxDB 2 says when something went wrong."""

    code: str
    message: str
    line: Annotated[int | UnsetType, Meta(description="The first line that was not stored.")] = UNSET


class InfluxHealth(msgspec.Struct, frozen=True):
    """What InfluxDB 2 says of itself."""

    name: str
    message: str
    status: Literal["pass", "fail"]
    version: str


class InfluxResult(msgspec.Struct, frozen=True):
    """InfluxDB 1.x: one statement was carried out."""

    statement_id: int


class InfluxResults(msgspec.Struct, frozen=True):
    """InfluxDB 1.x: what a query gives."""

    results: list[InfluxResult]
