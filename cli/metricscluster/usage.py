"""What nodes, pods and containers use now: the last samples that a store has."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from metricscluster.asking import Asking, Place, Series, Span

WINDOW = 300  # seconds before and after now in which a sample is a live one: clocks differ
NODE = ("cpu_used", "num_cpus", "mem_used", "mem_total", "load_one")
CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"


@dataclass(frozen=True, slots=True)
class Use:
    """Of a node, pod or container: processors in use and there, bytes in use and there; None: not known."""

    name: tuple[str, ...]  # (node,), (namespace, pod, node) or (namespace, pod, container, node)
    cpu: float | None
    cpus: float | None
    memory: float | None
    memory_total: float | None = None
    load: float | None = None


def nodes(asking: Asking, now: float) -> list[Use]:
    """All nodes that the store knows."""
    hosts = asking.hosts(int(now))
    found = asking.read([(metric, Place(host)) for host in hosts for metric in NODE], _span(now)) if hosts else []
    last = {(series.place.host, series.metric): series.samples()[-1][1] for series in found if series.samples()}
    used = []
    for host in hosts:
        share, cpus, memory, total, load = (last.get((host, metric)) for metric in NODE)
        cpu = share / 100 * cpus if share is not None and cpus is not None else None
        used.append(Use((host,), cpu, cpus, memory, total, load))
    return used


def containers(asking: Asking, cluster: str, namespace: str, now: float) -> list[Use]:
    """All containers with fresh samples; with a namespace, those of its pods alone."""
    wanted: dict[Place, Use] = {}
    for tags in asking.fresh([("cluster", cluster), ("metric", MEMORY)]):
        if tags.get("type") == "container" and namespace in {"", tags.get("namespace", "")}:
            place = Place(tags["hostname"], "container", (tags.get("type_id", ""),))
            name = (tags.get("namespace", "-"), tags.get("pod", "-"), tags.get("container", place.ids[0][:12]), place.host)
            wanted[place] = Use(name, None, None, float(tags[""]))
    rates = {series.place: _rate(series) for series in asking.read([(CPU, place) for place in wanted], _span(now))}
    return [replace(use, cpu=rates.get(place)) for place, use in wanted.items()]


def pods(found: Iterable[Use]) -> list[Use]:
    """Containers added up by pod; those of no pod are left out."""
    by_pod: dict[tuple[str, ...], list[Use]] = defaultdict(list)
    for use in found:
        namespace, pod, _, node = use.name
        if pod != "-":
            by_pod[namespace, pod, node].append(use)
    return [
        Use(name, _sum([one.cpu for one in uses]), None, _sum([one.memory for one in uses])) for name, uses in by_pod.items()
    ]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _span(now: float) -> Span:
    return Span(int(now) - WINDOW, int(now) + WINDOW)


def _rate(series: Series) -> float | None:
    """The change a second between the last two samples; None when there is one only, or the counter began anew."""
    samples = series.samples()
    if len(samples) < 2:
        return None
    (before, low), (after, high) = samples[-2:]
    return (high - low) / (after - before) if high >= low else None
