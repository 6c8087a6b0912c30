"""How many series there are of what: for whoever wonders where they all come from."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from metricwire.samples import SeriesKey

AT_ONCE = 1000  # series that are counted between two turns of others


class Cardinality:
    """Series by metric, by host, by cluster and by further tag."""

    def __init__(self) -> None:
        self.series = 0
        self.metrics: Counter[str] = Counter()
        self.hosts: Counter[tuple[str, str]] = Counter()  # cluster and host
        self.clusters: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()

    def count(self, keys: Iterable[SeriesKey]) -> Iterator[None]:
        """Count these; stops after every so many, so that others can be looked after."""
        waiting = iter(keys)
        while found := list(islice(waiting, AT_ONCE)):
            self.series += len(found)
            self.metrics.update(key.metric for key in found)
            self.hosts.update((key.place.cluster, key.place.host) for key in found)
            self.clusters.update(key.place.cluster for key in found)
            self.tags.update(name for key in found for name, _ in key.tags)
            yield
