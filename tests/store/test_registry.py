"""The registry: what came is found by key and by path, what went is not, in any order of both."""

from hypothesis import given
from hypothesis import strategies as st

from metricstore.memory.registry import Registry
from metricwire.samples import Labels, Place, SeriesKey

names = st.sampled_from(["a", "b", "ab"])
parts = st.tuples(names, names) | st.just(("", ""))
keys = st.builds(
    lambda host, part, sub, metric, user: SeriesKey(
        Place("c", host, *part, *(sub if part[0] else ("", ""))), metric, (("user", user),) if user else ()
    ),
    names,
    parts,
    parts,
    names,
    st.sampled_from(["", "u"]),
)


@given(steps=st.lists(st.tuples(st.booleans(), keys), max_size=40))
def test_what_comes_and_goes_is_found_as_in_a_dictionary(steps: list[tuple[bool, SeriesKey]]) -> None:
    registry, wanted = Registry(1000, 10_000), dict[tuple[object, ...], tuple[SeriesKey, int]]()
    for comes, key in steps:
        same = (key.place.path, key.metric, key.tags)  # a + b and ab are one place
        if comes and same not in wanted:
            number = registry.number(key)
            wanted[same] = registry.key(number), number
            registry.set_labels(Labels(key.place, (("pod", "p"),)))
        elif not comes and same in wanted:
            registry.forget([wanted.pop(same)[1]])
    numbers = {number for _, number in wanted.values()}
    assert registry.count == len(wanted)
    assert set(registry.root.numbers()) == set(registry.numbers().tolist()) == numbers
    for (path, metric, _), (key, number) in wanted.items():
        assert registry.find_number(key) == number
        assert isinstance(path, tuple)
        host = registry.find(path[:2])
        assert host
        assert number in host.select([[name] for name in path[2:]], metric)
    paths = {path[:depth] for path, _, _ in wanted for depth in range(1, len(path) + 1) if isinstance(path, tuple)}
    assert all(path in paths for path in registry.labels)
    assert all(registry.find_number(key) is None for _, key in steps if (key.place.path, key.metric, key.tags) not in wanted)
    if not wanted:
        assert registry.root.empty
        assert not registry.labels
        assert not registry.label_bytes


def test_a_place_that_went_with_what_was_below_it_is_found_when_it_comes_again() -> None:
    registry = Registry(10, 1000)
    host, below = SeriesKey(Place("c", "h"), "m"), SeriesKey(Place("c", "h", "core", "0"), "m")
    for number in (registry.number(host), registry.number(below)):
        registry.forget([number])
    number = registry.number(host)
    level = registry.find(("c", "h"))
    assert level
    assert level.nearest("m").tolist() == list(registry.root.numbers()) == [number]
