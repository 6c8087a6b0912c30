"""Which series there are: a number for each, and a tree of cluster, host, type, subtype to find them by."""

from collections.abc import Iterable, Iterator, Sequence

from metricwire.errors import TooLarge
from metricwire.samples import Labels, Place, SeriesKey


class Level:
    """One place of the tree: the places below it by name, and its own series by metric."""

    __slots__ = ("children", "series")

    def __init__(self) -> None:
        self.children: dict[str, Level] = {}
        self.series: dict[str, list[int]] = {}

    def nearest(self, metric: str) -> Iterator[int]:
        """The metric's series here; where there are none, those of each place below in the same way."""
        if metric in self.series:
            yield from self.series[metric]
            return
        for child in self.children.values():
            yield from child.nearest(metric)

    def walk(self) -> Iterator["Level"]:
        """This place and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()


class Registry:
    """Series by number (0, 1, 2 ... in order of their first line) and by key; labels by place."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.keys: list[SeriesKey] = []
        self.labels: dict[tuple[str, ...], Labels] = {}  # by path
        self.root = Level()
        self._numbers: dict[SeriesKey, int] = {}

    def number(self, key: SeriesKey, limited: bool = True) -> int:
        """The series' number, given now if it is new. TooLarge when there are as many series as may be, if that counts."""
        found = self._numbers.get(key)
        return self._add(key, limited) if found is None else found

    def _add(self, key: SeriesKey, limited: bool) -> int:
        level = self._level(key.place.path)
        # `a` + `bc` and `ab` + `c` are one place for ClusterCockpit's clients: the first spelling names it.
        for number in level.series.get(key.metric, ()):
            if self.keys[number].tags == key.tags:
                self._numbers[key] = number
                return number
        if limited and len(self.keys) >= self.limit:
            raise TooLarge(f"cannot start another series: the limit of {self.limit} is reached (setting limits.series)")
        number = len(self.keys)
        self.keys.append(key)
        self._numbers[key] = number
        level.series.setdefault(key.metric, []).append(number)
        return number

    def _level(self, path: Sequence[str]) -> Level:
        level = self.root
        for name in path:
            below = level.children.get(name)
            if below is None:
                below = level.children[name] = Level()
            level = below
        return level

    def find(self, path: Iterable[str]) -> Level | None:
        """The place with that path, None where there is none."""
        level: Level | None = self.root
        for name in path:
            level = level.children.get(name) if level else None
        return level

    def hosts(self, cluster: str) -> list[str]:
        """The cluster's hosts by name."""
        level = self.root.children.get(cluster)
        return sorted(level.children) if level else []

    def select(self, cluster: str, host: str, groups: Iterable[Sequence[str]], metric: str) -> list[int]:
        """The metric's series below the host at any of the names of the first group, then of the second.

        A place without the metric stands for the nearest places below it that have it.
        """
        start = self.find((cluster, host))
        levels = [start] if start else []
        for group in groups:
            levels = [level.children[name] for level in levels for name in group if name in level.children]
        return [number for level in levels for number in level.nearest(metric)]

    def labels_of(self, place: Place) -> dict[str, str]:
        """The labels of the place and of the places above it; the nearer one wins."""
        path = place.path
        found: dict[str, str] = {}
        for depth in range(1, len(path) + 1):
            if path[:depth] in self.labels:
                found.update(self.labels[path[:depth]].labels)
        return found
