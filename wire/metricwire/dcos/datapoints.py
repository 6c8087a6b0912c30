"""Samples as datapoints: which ones the DC/OS Metrics API shows where, under which name and with which tags."""

from collections.abc import Iterable, Mapping

from metricwire.catalog import BY_NAME, Metric
from metricwire.dcos.dimensions import APPLICATION, CONTAINER, tags
from metricwire.dcos.message import Datapoint, datapoint
from metricwire.samples import Place, Sample, SeriesKey

FRESH = 3  # polls: an older datapoint is not shown
TAG_OF_SUBTYPE = {"filesystem": "path", "interface": "interface"}


def is_fresh(sample: Sample, now: float, interval: float) -> bool:
    """Whether the sample may still be shown when agents poll every `interval` seconds."""
    return now - sample.timestamp <= FRESH * interval


def host_datapoints(samples: Iterable[Sample]) -> list[Datapoint]:
    """The datapoints of `/node`: host, filesystem and interface samples that have a DC/OS name, sorted by name and tag."""
    return _sorted(
        datapoint(metric.dcos, value, metric.dcos_unit, timestamp, _part(key.place))
        for key, timestamp, value in samples
        if (metric := _host_metric(key))
    )


def container_datapoints(samples: Iterable[Sample], place: Place, labels: Mapping[str, str]) -> list[Datapoint]:
    """The datapoints of `/containers/{id}`, sorted: what is measured at the container, not what it sent itself."""
    own = tags(place, labels)
    return _sorted(
        datapoint(metric.dcos, value, metric.dcos_unit, timestamp, {**dict(key.tags), **_part(key.place), **own})
        for key, timestamp, value in samples
        if _is_in(key, place) and (metric := _container_metric(key))
    )


def application_datapoints(
    samples: Iterable[Sample], place: Place, _: Mapping[str, str], *, prefix: str = ""
) -> list[Datapoint]:
    """The datapoints of `/containers/{id}/app`, sorted: what the workload sent under names that begin so, with its own tags."""
    return _sorted(
        datapoint(key.metric, value, "", timestamp, dict(key.tags))
        for key, timestamp, value in samples
        if _is_in(key, place) and _is_application(key) and key.metric.startswith(prefix)
    )


def containers(series: Iterable[SeriesKey]) -> list[str]:
    """The ids of `/containers`, sorted: containers that are measured, or sent something themselves."""
    found: set[str] = set()
    for key in series:
        place = key.place
        if place.type == CONTAINER and place.type_id not in found and (_is_application(key) or _container_metric(key)):
            found.add(place.type_id)
    return sorted(found)


def is_shown(series: SeriesKey) -> bool:
    """Whether any route shows it."""
    return bool(_host_metric(series) or _container_metric(series)) or _is_application(series)


def _host_metric(key: SeriesKey) -> Metric | None:
    place = key.place
    if place.type or key.tags or (place.stype and place.stype not in TAG_OF_SUBTYPE):
        return None
    metric = BY_NAME.get(key.metric)
    return metric if metric and metric.dcos and metric.at != (CONTAINER,) else None


def _container_metric(key: SeriesKey) -> Metric | None:
    metric, place = BY_NAME.get(key.metric), key.place
    if metric is None or not metric.dcos or place.type != CONTAINER or place.stype == APPLICATION:
        return None
    return metric if CONTAINER in metric.at else None


def _is_application(key: SeriesKey) -> bool:
    return key.place.type == CONTAINER and key.place.stype == APPLICATION


def _is_in(key: SeriesKey, container: Place) -> bool:
    """Whether it is of that container. Paths would not do: `a` + `bc` and `ab` + `c` are one there."""
    return key.place.type == container.type and key.place.type_id == container.type_id


def _part(place: Place) -> dict[str, str]:
    """The part of the host or container that is measured, as a tag."""
    return {TAG_OF_SUBTYPE.get(place.stype, place.stype): place.stype_id} if place.stype else {}


def _sorted(points: Iterable[Datapoint]) -> list[Datapoint]:
    return sorted(points, key=lambda point: (point["name"], sorted(point.get("tags", {}).items())))
