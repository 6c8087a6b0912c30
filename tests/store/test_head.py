"""The head against a model: a dictionary from (series, slot) to value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metricstore.memory.head import Head
from metricstore.memory.metrics import MetricTable
from metricstore.memory.series import NEVER
from metricstore.memory.window import ROW_BYTES, SLOTS, Window, begin
from metricstore.settings import Metric

SERIES = 4
Model = dict[tuple[int, int], float]

writes = st.lists(
    st.tuples(st.integers(0, SERIES - 1), st.integers(-3 * SLOTS * 10, 20 * SLOTS * 10), st.floats(allow_nan=False)),
    min_size=1,
    max_size=40,
)


def make(frequency: int) -> Head:
    head = Head(MetricTable({"m": Metric(frequency)}), lambda number: "m")
    head.series.reserve(SERIES)
    return head


def write(head: Head, samples: list[tuple[int, int, float]]) -> None:
    numbers, timestamps, values = zip(*samples, strict=True)
    head.write(np.array(numbers, np.uint32), np.array(timestamps, np.int64), np.array(values, np.float64))


def written(samples: list[tuple[int, int, float]], frequency: int, batch: int = 7) -> tuple[Head, Model]:
    """A head that got the samples in batches, and what must be in it."""
    head, model = make(frequency), {}
    for at in range(0, len(samples), batch):
        write(head, samples[at : at + batch])
    phases: dict[int, int] = {}
    for number, timestamp, value in samples:
        phase = phases.setdefault(number, timestamp % frequency)
        model[number, (timestamp - phase + frequency // 2) // frequency] = value
    assert all(head.series.phase[number] == phase for number, phase in phases.items())
    return head, model


def held(head: Head, frequency: int) -> Model:
    found: Model = {}
    for number in range(SERIES):
        for stamps, values in head.samples(number):
            slots = (stamps - int(head.series.phase[number])) // frequency
            found |= {(number, slot): value for slot, value in zip(slots.tolist(), values.tolist(), strict=True)}
    return found


def same(found: Model, model: Model) -> bool:
    """-0.0 is not 0.0."""
    return found.keys() == model.keys() and all(
        np.float64(found[at]).tobytes() == np.float64(model[at]).tobytes() for at in model
    )


@given(writes, st.sampled_from([1, 7, 10, 60]), st.integers(1, 40))
def test_a_slot_holds_the_last_value_written_to_it(samples: list[tuple[int, int, float]], frequency: int, batch: int) -> None:
    head, model = written(samples, frequency, batch)
    assert same(held(head, frequency), model)
    series = head.series
    for number in range(SERIES):
        mine = [timestamp for one, timestamp, _ in samples if one == number]
        edges = (min(mine), max(mine)) if mine else (NEVER, -NEVER)
        assert (series.first[number], series.last[number]) == edges


@given(writes, st.integers(-3 * SLOTS * 10, 20 * SLOTS * 10))
def test_freeing_forgets_whole_windows_and_nothing_newer(samples: list[tuple[int, int, float]], before: int) -> None:
    head, model = written(samples, 10)
    numbers = np.array([0, 2, 10**6])
    gone = {at for at in model if at[0] in (0, 2) and begin(10, at[1] // SLOTS + 1) + 10 <= before}
    assert head.held(numbers, before) == len({(number, slot // SLOTS) for number, slot in gone})
    head.free(numbers, before)
    assert same(held(head, 10), {at: value for at, value in model.items() if at not in gone})


@given(writes, st.integers(-3 * SLOTS * 10, 20 * SLOTS * 10), st.integers(1, 50))
def test_the_latest_sample_is_the_last_one_that_is_not_ahead(
    samples: list[tuple[int, int, float]], until: int, intervals: int
) -> None:
    head, model = written(samples, 10)
    numbers, stamps, values = head.latest(np.arange(SERIES), until, intervals)
    found = dict(zip(numbers.tolist(), zip(stamps.tolist(), values.tolist(), strict=True), strict=True))
    for number in range(SERIES):
        phase = int(head.series.phase[number])
        now = (until - phase + 5) // 10
        mine = [slot for one, slot in model if one == number and now - intervals <= slot <= now]
        assert found.get(number) == ((max(mine) * 10 + phase, model[number, max(mine)]) if mine else None)


@given(writes)
def test_a_series_that_is_forgotten_begins_anew(samples: list[tuple[int, int, float]]) -> None:
    head, model = written(samples, 10)
    head.forget(np.array([0]))
    assert same(held(head, 10), {at: value for at, value in model.items() if at[0]})
    write(head, [(0, 5, 1.5)])
    assert head.series.phase[0] == 5
    assert held(head, 10)[0, 0] == 1.5


@given(st.integers(-1000, 10**6), st.lists(st.sampled_from([60, 30, 10, 5, 1]), min_size=1, max_size=30))
def test_no_sample_is_lost_when_a_metric_turns_out_to_be_more_frequent(first: int, distances: list[int]) -> None:
    times = [first + sum(distances[:n]) for n in range(len(distances) + 1)]
    head = Head(MetricTable({}), lambda number: "x")
    for n, time in enumerate(times):
        write(head, [(0, time, float(n))])
    found = [
        (time, value)
        for stamps, values in head.samples(0)
        for time, value in zip(stamps.tolist(), values.tolist(), strict=True)
    ]
    assert found == [(time, float(n)) for n, time in enumerate(times)]


def test_regular_samples_keep_their_timestamps() -> None:
    head = make(60)
    stamps = np.arange(1720879217, 1720879217 + 200 * 60, 60)
    write(head, [(0, int(stamp), 1.0) for stamp in stamps])
    assert np.concatenate([times for times, _ in head.samples(0)]).tolist() == stamps.tolist()


def test_a_window_grows_while_it_is_being_read() -> None:
    window = Window(10, 0, 1000, complete=True)
    window.array[7, 3] = 9
    before = window.array
    window.reserve(5000)
    assert (window.array[7, 3], window.capacity >= 5000, before[7, 3]) == (9, True, 9)
    window.array[4999, 0] = 1
    assert window.array.nbytes == window.capacity * ROW_BYTES
