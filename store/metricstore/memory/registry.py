"""Which series there are: a number for each, and a tree of cluster, host, type, subtype to find them by."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from metricstore.numeric.kernels import Fingerprints
from metricwire.errors import TooLarge
from metricwire.samples import Labels, Place, SeriesKey

Tags = tuple[tuple[str, str], ...]
Numbers = NDArray[np.int64]

NO_NUMBERS = np.zeros(0, np.int64)


class Level:
    """One place of the tree: the places below it by name, and its own series by metric and further tags.

    `plain` has the series without further tags, `tagged` the others. `nearest` remembers what it gave until a series at or
    below the place comes or goes.
    """

    __slots__ = ("children", "line", "nearest_known", "plain", "spellings", "tagged")

    def __init__(self) -> None:
        self.children: dict[str, Level] = {}
        self.plain: dict[str, int] = {}
        self.tagged: dict[str, dict[Tags, int]] | None = None
        self.line: tuple[Level, ...] = ()  # from the cluster down to itself, once it has series and while it is in the tree
        self.spellings: tuple[Place, ...] = ()  # the places that this is: a + bc and ab + c
        self.nearest_known: dict[str, Numbers] | None = None

    def get(self, metric: str, tags: Tags) -> int | None:
        """The number of one series here."""
        if not tags:
            return self.plain.get(metric)
        return self.tagged.get(metric, {}).get(tags) if self.tagged else None

    def add(self, metric: str, tags: Tags, number: int) -> None:
        """One more."""
        if not tags:
            self.plain[metric] = number
        else:
            self.tagged = self.tagged or {}
            self.tagged.setdefault(metric, {})[tags] = number

    def remove(self, metric: str, tags: Tags) -> None:
        """One less."""
        if not tags:
            del self.plain[metric]
        elif self.tagged:
            del self.tagged[metric][tags]
            if not self.tagged[metric]:
                del self.tagged[metric]

    @property
    def empty(self) -> bool:
        """Nothing here nor below."""
        return not (self.children or self.plain or self.tagged)

    def metrics(self) -> set[str]:
        """Metrics of its own series."""
        return {*self.plain, *(self.tagged or ())}

    def own(self, metric: str) -> Iterator[int]:
        """The metric's series here."""
        if metric in self.plain:
            yield self.plain[metric]
        if self.tagged:
            yield from self.tagged.get(metric, {}).values()

    def nearest(self, metric: str) -> Numbers:
        """The metric's series here; where there are none, those of each place below in the same way."""
        if self.nearest_known is None:
            self.nearest_known = {}
        found = self.nearest_known.get(metric)
        if found is None:
            found = self.nearest_known[metric] = np.array(list(self._find_nearest(metric)), np.int64)
        return found

    def _find_nearest(self, metric: str) -> Iterator[int]:
        if metric in self.plain or (self.tagged and metric in self.tagged):
            yield from self.own(metric)
            return
        for child in self.children.values():
            yield from child._find_nearest(metric)  # noqa: SLF001 - its own kind

    def select(self, groups: Sequence[Sequence[str]], metric: str) -> Numbers:
        """The metric's series below it at any of the names of the first group, then of the second.

        A place without the metric stands for the nearest places below it that have it.
        """
        if len(groups) == 1 and len(groups[0]) == 1:  # often, and many
            only = self.children.get(groups[0][0])
            return only.nearest(metric) if only else NO_NUMBERS
        levels = [self]
        for group in groups:
            levels = [level.children[name] for level in levels for name in group if name in level.children]
        if len(levels) == 1:
            return levels[0].nearest(metric)
        return np.concatenate([NO_NUMBERS, *(level.nearest(metric) for level in levels)])

    def changed(self) -> None:
        """A series here has come or gone."""
        for level in self.line:
            level.nearest_known = None

    def walk(self) -> Iterator["Level"]:
        """This place and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def numbers(self) -> Iterator[int]:
        """All series at and below it."""
        for level in self.walk():
            yield from level.plain.values()
            for group in (level.tagged or {}).values():
                yield from group.values()


class Registry:
    """Series by number and by key; labels by place. A number is given once, and again only where nothing speaks of it any more.

    `generation` is another one whenever a series or labels have come or gone. `fingerprints` are those of all series.
    """

    def __init__(self, limit: int, label_bytes_limit: int) -> None:
        self.limit, self.label_bytes_limit = limit, label_bytes_limit
        self.count = 0
        self.given = 0  # numbers given so far
        self._spare = NO_NUMBERS  # below `given`, to be given again
        self.generation = 0
        self.labels: dict[tuple[str, ...], Labels] = {}  # by path
        self.label_bytes = 0
        self._alone: set[tuple[str, ...]] = set()  # places with labels that had no series at the last `forget_labels`
        self.root = Level()
        self.fingerprints = Fingerprints()
        self._keys: list[SeriesKey | None] = []  # by number
        self._places: dict[Place, tuple[Place, Level]] = {}  # the levels that have series of their own
        self._names: dict[str, str] = {}  # metrics: one object for each

    def key(self, number: int) -> SeriesKey:
        """The series of a number that was given; KeyError when it is gone."""
        found = self._keys[number]
        if found is None:
            raise KeyError(number)
        return found

    def __contains__(self, number: int) -> bool:
        return number < len(self._keys) and self._keys[number] is not None

    def keys(self) -> Iterator[SeriesKey]:
        """All of the series."""
        return (key for key in self._keys if key is not None)

    def numbers(self) -> Numbers:
        """Numbers of all series, ascending."""
        return np.array([number for number, key in enumerate(self._keys) if key is not None], np.int64)

    def find_number(self, key: SeriesKey) -> int | None:
        """The series' number. `a` + `bc` and `ab` + `c` are one place for ClusterCockpit: the first spelling names it."""
        known = self._places.get(key.place)
        level = known[1] if known else self.find(key.place.path)
        return level.get(key.metric, key.tags) if level else None

    @property
    def full(self) -> str:
        """Why there can be no further series; empty while there can."""
        if self.count < self.limit:
            return ""
        return f"cannot start another series: the limit of {self.limit} is reached (setting limits.series)"

    def number(self, key: SeriesKey) -> int:
        """The number of a series that has none yet. TooLarge when there are as many series as may be."""
        if self.count >= self.limit:
            raise TooLarge(self.full)
        number, self._spare = (int(self._spare[0]), self._spare[1:]) if len(self._spare) else (self.given, self._spare)
        self.restore(key, number)
        return number

    def give_again(self, numbers: Numbers) -> None:
        """These are of no series, and nothing on disk speaks of them."""
        self._spare = numbers

    def restore(self, key: SeriesKey, number: int) -> None:
        """Give a series this number; one that it had before is nobody's: what was stored under it is gone."""
        place, metric, tags = key
        place, level = self._places.get(place) or self._settle(place)
        before = level.get(metric, tags)
        if before is not None:
            self._keys[before] = None
            self.count -= 1
        else:
            self.fingerprints.add(key)
        metric = self._names.setdefault(metric, metric)
        level.add(metric, tags, number)
        level.changed()
        keys = self._keys
        while number >= len(keys):
            keys.append(None)
        keys[number] = key if key.place is place and key.metric is metric else SeriesKey(place, metric, tags)
        if number >= self.given:
            self.given = number + 1
        self.count += 1
        self.generation += 1

    def forget(self, numbers: Iterable[int]) -> None:
        """These series are gone, and so are places that hold nothing else, with their labels."""
        for number in numbers:
            key = self.key(number)
            self._keys[number] = None
            self.fingerprints.remove(key)
            levels = [self.root]
            for name in key.place.path:
                levels.append(levels[-1].children[name])
            levels[-1].remove(key.metric, key.tags)
            levels[-1].changed()
            path = key.place.path
            for depth in range(len(path), 0, -1):
                if levels[depth].empty:
                    del levels[depth - 1].children[path[depth - 1]]
                    self._drop_labels(path[:depth])
                    for place in levels[depth].spellings:
                        del self._places[place]
            self.count -= 1
            self.generation += 1

    def _settle(self, place: Place) -> tuple[Place, Level]:
        """Make the place's level where there is none; it is about to get a series."""
        level = self.root
        line = []
        for name in place.path:
            below = level.children.get(name)
            if below is None:
                below = level.children[name] = Level()
            level = below
            line.append(level)
        level.line = tuple(line)
        level.spellings += (place,)
        self._places[place] = place, level
        return place, level

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

    def check_labels(self, labels: Labels, coming: int = 0) -> int | None:
        """How many bytes they add; None when they say nothing new. TooLarge when labels would take more memory than may be,
        with those bytes of others that are about to be set."""
        path = labels.place.path
        known = self.labels.get(path)
        if known and known.labels == labels.labels:
            self._alone.discard(path)  # somebody still speaks of the place
            return None
        more = _size(labels) - (_size(known) if known else 0)
        if self.label_bytes + coming + more > self.label_bytes_limit:
            raise TooLarge(f"cannot set labels: more than {self.label_bytes_limit} bytes of them (setting limits.label-bytes)")
        return more

    def set_labels(self, labels: Labels) -> None:
        """Of one place; the ones before are gone."""
        path = labels.place.path
        known = self.labels.get(path)
        self.label_bytes += _size(labels) - (_size(known) if known else 0)
        self.labels[path] = labels
        self._alone.discard(path)
        self.generation += 1

    def forget_labels(self) -> None:
        """Labels of places without series go, but those that came, or came again, since the last call: series may follow."""
        alone = {path for path in self.labels if self.find(path) is None}
        gone = alone & self._alone
        for path in gone:
            self._drop_labels(path)
        self.generation += bool(gone)
        self._alone = alone - gone

    def _drop_labels(self, path: tuple[str, ...]) -> None:
        gone = self.labels.pop(path, None)
        self.label_bytes -= _size(gone) if gone else 0

    def labels_of(self, place: Place) -> dict[str, str]:
        """The labels of the place and of the places above it; the nearer one wins."""
        path = place.path
        found: dict[str, str] = {}
        for depth in range(1, len(path) + 1):
            labels = self.labels.get(path[:depth])  # once: other threads ask, too
            if labels:
                found.update(labels.labels)
        return found


def _size(labels: Labels) -> int:
    """Bytes, roughly: what is named, and what each name costs."""
    return 200 + sum(map(len, labels.place)) + sum(100 + len(name) + len(value) for name, value in labels.labels)
