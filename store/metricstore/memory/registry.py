"""Which series there are: a number for each, and a tree of cluster, host, type, subtype to find them by."""

from collections.abc import Iterable, Iterator, Sequence

from metricwire.errors import TooLarge
from metricwire.samples import Labels, Place, SeriesKey

Tags = tuple[tuple[str, str], ...]


class Level:
    """One place of the tree: the places below it by name, and its own series by metric and further tags."""

    __slots__ = ("children", "series")

    def __init__(self) -> None:
        self.children: dict[str, Level] = {}
        self.series: dict[str, dict[Tags, int]] = {}

    def nearest(self, metric: str) -> Iterator[int]:
        """The metric's series here; where there are none, those of each place below in the same way."""
        if metric in self.series:
            yield from self.series[metric].values()
            return
        for child in self.children.values():
            yield from child.nearest(metric)

    def walk(self) -> Iterator["Level"]:
        """This place and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def numbers(self) -> Iterator[int]:
        """All series at and below it."""
        for level in self.walk():
            for group in level.series.values():
                yield from group.values()


class Registry:
    """Series by number and by key; labels by place. A number is given once and never to another series."""

    def __init__(self, limit: int, label_bytes_limit: int) -> None:
        self.limit, self.label_bytes_limit = limit, label_bytes_limit
        self.keys: dict[int, SeriesKey] = {}
        self.given = 0  # numbers given so far
        self.labels: dict[tuple[str, ...], Labels] = {}  # by path
        self.label_bytes = 0
        self.root = Level()
        self._numbers: dict[SeriesKey, int] = {}

    def number(self, key: SeriesKey, limited: bool = True) -> int:
        """The series' number, given now if it is new. TooLarge when there are as many series as may be, if that counts."""
        found = self._numbers.get(key)
        return self._add(key, limited) if found is None else found

    def _add(self, key: SeriesKey, limited: bool) -> int:
        # `a` + `bc` and `ab` + `c` are one place for ClusterCockpit's clients: the first spelling names it.
        level = self.find(key.place.path)
        number = level.series.get(key.metric, {}).get(key.tags) if level else None
        if number is None:
            if limited and len(self.keys) >= self.limit:
                raise TooLarge(f"cannot start another series: the limit of {self.limit} is reached (setting limits.series)")
            number = self.given
            self.given += 1
            self.keys[number] = key
            self._level(key.place.path).series.setdefault(key.metric, {})[key.tags] = number
        self._numbers[key] = number
        return number

    def forget(self, numbers: set[int]) -> None:
        """These series are gone, and so are places that hold nothing else."""
        for number in numbers:
            key = self.keys.pop(number)
            levels = [self.root]
            for name in key.place.path:
                levels.append(levels[-1].children[name])
            levels[-1].series[key.metric].pop(key.tags)
            if not levels[-1].series[key.metric]:
                del levels[-1].series[key.metric]
            for above, name, level in zip(levels[-2::-1], reversed(key.place.path), levels[:0:-1], strict=True):
                if not level.series and not level.children:
                    del above.children[name]
        if numbers:
            self._numbers = {key: number for key, number in self._numbers.items() if number not in numbers}

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

    def check_labels(self, labels: Labels) -> bool:
        """Whether they say something new. TooLarge when labels would take more memory than may be."""
        known = self.labels.get(labels.place.path)
        if known and known.labels == labels.labels:
            return False
        if self.label_bytes + _size(labels) - (_size(known) if known else 0) > self.label_bytes_limit:
            raise TooLarge(f"cannot set labels: more than {self.label_bytes_limit} bytes of them (setting limits.label-bytes)")
        return True

    def set_labels(self, labels: Labels) -> None:
        """Of one place; the ones before are gone."""
        path = labels.place.path
        known = self.labels.get(path)
        self.label_bytes += _size(labels) - (_size(known) if known else 0)
        self.labels[path] = labels

    def labels_of(self, place: Place) -> dict[str, str]:
        """The labels of the place and of the places above it; the nearer one wins."""
        path = place.path
        found: dict[str, str] = {}
        for depth in range(1, len(path) + 1):
            if path[:depth] in self.labels:
                found.update(self.labels[path[:depth]].labels)
        return found


def _size(labels: Labels) -> int:
    """Bytes, roughly: what is named, and what each name costs."""
    return 200 + sum(map(len, labels.place)) + sum(100 + len(name) + len(value) for name, value in labels.labels)
