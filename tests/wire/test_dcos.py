"""The DC/OS Metrics API's messages: their schema whatever the samples, and the names and units of the specification."""

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from metricwire import dcos
from metricwire.catalog import METRICS
from metricwire.samples import Place, Sample, SeriesKey

HOST = Place("fritz", "n1")
WEB = HOST._replace(type="container", type_id="ab" * 32)
Text = Annotated[str, Meta(min_length=1)]


# The schema, as spec/dcos-metrics-api.md has it.
class Datapoint(msgspec.Struct, forbid_unknown_fields=True):
    name: Text
    value: float
    unit: str
    timestamp: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
    tags: Annotated[dict[str, str], Meta(min_length=1)] | UnsetType = UNSET


class Dimensions(msgspec.Struct, forbid_unknown_fields=True):
    mesos_id: Text
    hostname: Text
    cluster_id: Text | UnsetType = UNSET
    container_id: Text | UnsetType = UNSET
    executor_id: Text | UnsetType = UNSET
    framework_name: Text | UnsetType = UNSET
    framework_id: Text | UnsetType = UNSET
    framework_role: Text | UnsetType = UNSET
    framework_principal: Text | UnsetType = UNSET
    task_name: Text | UnsetType = UNSET
    task_id: Text | UnsetType = UNSET
    labels: Annotated[dict[str, str], Meta(min_length=1)] | UnsetType = UNSET


class Message(msgspec.Struct, forbid_unknown_fields=True):
    datapoints: Annotated[list[Datapoint], Meta(min_length=1)]
    dimensions: Dimensions


def told(message: Any) -> Message | None:
    """The message as a client reads it."""
    return None if message is None else msgspec.json.decode(json.dumps(message, allow_nan=False), type=Message, strict=True)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
IDS = st.sampled_from([WEB.type_id, "cd" * 32, "unknown", WEB.type_id[:-1], ".*"]) | NAMES
PLACES = st.builds(
    Place,
    st.just("fritz"),
    st.just("n1"),
    st.sampled_from(["", "container", "hwthread", "accelerator", "containerx"]),
    IDS,
    st.sampled_from(["", "app", "filesystem", "interface", "device"]),
    NAMES,
).map(lambda place: place._replace(type_id=place.type_id if place.type else "", stype_id=place.stype_id if place.stype else ""))
KEYS = st.builds(
    SeriesKey,
    PLACES,
    st.sampled_from([metric.name for metric in METRICS]) | NAMES,
    st.dictionaries(NAMES, NAMES, max_size=3).map(lambda tags: tuple(sorted(tags.items()))),
)
SAMPLES = st.lists(
    st.builds(Sample, KEYS, st.integers(0, 2**33), st.floats(allow_nan=False, allow_infinity=False)),
    unique_by=lambda sample: sample.series,
    max_size=30,
)
LABELS = st.dictionaries(
    st.sampled_from(["pod", "namespace", "container", "pod_uid", "owner", "owner_kind", "label_app", "app", "label_"]) | NAMES,
    st.just("") | NAMES,
    max_size=9,
)


@given(SAMPLES, LABELS)
def test_any_samples_and_labels_give_valid_messages(samples: list[Sample], labels: dict[str, str]) -> None:
    shown: list[Any] = []
    node = told(dcos.message(dcos.host_datapoints(samples), dcos.dimensions(HOST, labels)))
    shown += node.datapoints if node else []
    ids = dcos.containers(sample.series for sample in samples)
    assert ids == sorted(set(ids))
    for container in ids:
        place = HOST._replace(type="container", type_id=container)
        resources = told(dcos.message(dcos.container_datapoints(samples, place, labels), dcos.dimensions(place, labels)))
        sent = told(dcos.message(dcos.application_datapoints(samples, place, labels), dcos.dimensions(place, labels)))
        assert resources or sent, "a container is listed for what it has"
        for message in filter(None, (resources, sent)):
            assert message.dimensions.container_id == container
            assert message.datapoints == sorted(message.datapoints, key=lambda p: (p.name, sorted((p.tags or {}).items())))
            shown += message.datapoints
        for point in resources.datapoints if resources else []:
            assert point.tags
            assert point.tags["container_id"] == container
            assert point.unit
        assert all(point.unit == "" for point in (sent.datapoints if sent else []))
    assert len(shown) == sum(dcos.is_shown(sample.series) for sample in samples), "each once, where it belongs"


@given(SAMPLES, NAMES | st.sampled_from(["", ".*", "load_"]))
def test_a_prefix_is_compared_as_it_is(samples: list[Sample], prefix: str) -> None:
    everything = dcos.application_datapoints(samples, WEB, {})
    found = dcos.application_datapoints(samples, WEB, {}, prefix=prefix)
    assert found == [point for point in everything if point["name"][: len(prefix)] == prefix]


def test_a_container_with_all_its_labels() -> None:
    labels = {
        "pod": "web-1",
        "namespace": "shop",
        "container": "app",
        "pod_uid": "u",
        "owner": "web",
        "owner_kind": "Deployment",
        "label_app": "web",
        "app": "not the pod's",
        "rack": "r7",
    }
    assert dcos.dimensions(WEB, labels) == {
        "mesos_id": "n1",
        "hostname": "n1",
        "cluster_id": "fritz",
        "container_id": WEB.type_id,
        "executor_id": "u",
        "framework_name": "web",
        "framework_id": "Deployment",
        "framework_role": "shop",
        "task_name": "web-1",
        "task_id": "shop/web-1/app",
        "labels": {"app": "web", "rack": "r7"},
    }


@pytest.mark.parametrize("missing", ["pod", "namespace", "container"])
def test_a_task_is_named_whole_or_not_at_all(missing: str) -> None:
    labels = {"pod": "web-1", "namespace": "shop", "container": "app"}
    del labels[missing]
    assert "task_id" not in dcos.dimensions(WEB, labels)


# spec/dcos-metrics-api.md, "Host datapoints" and "Container datapoints": names by unit.
HOST_POINTS = {
    "count": "cpu.cores load.1min load.5min load.15min process.count system.uptime "
    "filesystem.inode.total filesystem.inode.used filesystem.inode.free "
    "network.in.packets network.in.dropped network.in.errors network.out.packets network.out.dropped network.out.errors",
    "percent": "cpu.total cpu.user cpu.system cpu.idle cpu.wait",
    "bytes": "memory.total memory.free memory.buffers memory.cached swap.total swap.free swap.used filesystem.capacity.total "
    "filesystem.capacity.used filesystem.capacity.free network.in network.out",
}
CONTAINER_POINTS = {
    "count": "processes threads cpus.limit cpus.nr.periods cpus.nr.throttled mem.low.pressure mem.medium.pressure "
    "mem.critical.pressure net.rx.packets net.rx.errors net.rx.dropped net.tx.packets net.tx.errors net.tx.dropped",
    "seconds": "cpus.user.time cpus.system.time cpus.throttled.time",
    "bytes": "mem.total mem.limit mem.soft.limit mem.cache mem.rss mem.mapped.file mem.swap mem.unevictable mem.total.memsw "
    "disk.limit disk.used net.rx.bytes net.tx.bytes",
}
NOT_GIVEN = {"disk.used"}  # docs/dcos.md says why


def pairs(points: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, unit) for unit, names in points.items() for name in names.split()}


def test_host_names_and_units_are_those_of_the_specification() -> None:
    assert {(metric.dcos, metric.dcos_unit) for metric in METRICS if metric.dcos and metric.at != ("container",)} == pairs(
        HOST_POINTS
    )


def test_container_names_and_units_are_those_of_the_specification() -> None:
    found = {(metric.dcos, metric.dcos_unit) for metric in METRICS if metric.dcos and "container" in metric.at}
    plain = {(name, unit) for name, unit in found if not name.startswith("blkio.")}
    assert plain <= pairs(CONTAINER_POINTS)
    assert {name for name, _ in pairs(CONTAINER_POINTS) - plain} <= NOT_GIVEN
    assert any(name.startswith("blkio.") for name, _ in found)
