"""Grids against a model: a dictionary from (row, slot) to value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metricstore.memory.grid import BLOCK, NEVER, WINDOW, Grid

writes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5 * WINDOW * 10), st.floats(-1e9, 1e9)), min_size=1, max_size=40)


def written(samples: list[tuple[int, int, float]], frequency: int) -> tuple[Grid, dict[tuple[int, int], float]]:
    grid, model = Grid(frequency), {}
    rows = {}
    for series, timestamp, _ in samples:
        if series not in rows:
            rows[series] = grid.add(timestamp)
    numbers = np.array([rows[series] for series, _, _ in samples])
    timestamps = np.array([timestamp for _, timestamp, _ in samples])
    grid.write(numbers, timestamps, np.array([value for _, _, value in samples]))
    for row, timestamp, (_, _, value) in zip(numbers.tolist(), timestamps.tolist(), samples, strict=True):
        phase = int(grid.phase[row])
        model[row, (timestamp - phase + frequency // 2) // frequency] = value
    return grid, model


@given(writes, st.sampled_from([1, 7, 10, 60]))
def test_a_slot_holds_the_last_value_written_to_it(samples: list[tuple[int, int, float]], frequency: int) -> None:
    grid, model = written(samples, frequency)
    slots = [slot for _, slot in model]
    start, count = min(slots) - 3, max(slots) - min(slots) + 7
    found = grid.read(np.arange(grid.rows), start, count)
    for row in range(grid.rows):
        for at in range(count):
            wanted = model.get((row, start + at))
            assert found[row, at] == wanted if wanted is not None else np.isnan(found[row, at])
    for row in range(grid.rows):
        mine = [slot for number, slot in model if number == row]
        assert (grid.first[row], grid.last[row]) == (min(mine), max(mine))
    rows, stamps, values = grid.latest(np.arange(grid.rows), 10**9, 10**9)
    assert values.tolist() == [model[row, int(grid.last[row])] for row in rows.tolist()]
    assert (stamps == grid.times(rows, grid.last[rows])).all()


@given(writes, st.integers(0, 60 * WINDOW * 10))
def test_dropping_forgets_whole_windows_and_nothing_newer(samples: list[tuple[int, int, float]], before: int) -> None:
    grid, model = written(samples, 10)
    grid.drop(before)
    kept = {key: value for key, value in model.items() if key[1] // WINDOW >= before // 10 // WINDOW}
    assert all(slot * 10 + int(grid.phase[row]) < before + 10 for row, slot in model.keys() - kept.keys())
    for row in range(grid.rows):
        mine = sorted(slot for number, slot in kept if number == row)
        if not mine:
            assert grid.first[row] == NEVER
            continue
        assert (grid.first[row], grid.last[row]) == (mine[0], mine[-1])
        found = grid.read(np.array([row]), mine[0], mine[-1] - mine[0] + 1)[0]
        assert [at + mine[0] for at in np.flatnonzero(~np.isnan(found))] == mine


def test_regular_samples_keep_their_timestamps() -> None:
    grid = Grid(60)
    row = np.array([grid.add(1720879217)])
    for minute in range(200):
        stamp = np.array([1720879217 + 60 * minute])
        assert grid.times(row, grid.slots(row, stamp)) == stamp


@given(writes, st.integers(0, 5 * WINDOW * 10), st.integers(1, 50))
def test_the_latest_sample_is_the_last_one_that_is_not_ahead(
    samples: list[tuple[int, int, float]], until: int, intervals: int
) -> None:
    grid, model = written(samples, 10)
    rows, stamps, values = grid.latest(np.arange(grid.rows), until, intervals)
    found = dict(zip(rows.tolist(), zip(stamps.tolist(), values.tolist(), strict=True), strict=True))
    for row in range(grid.rows):
        now = (until - int(grid.phase[row]) + 5) // 10
        mine = [slot for number, slot in model if number == row and now - intervals <= slot <= now]
        wanted = (max(mine) * 10 + int(grid.phase[row]), model[row, max(mine)]) if mine else None
        assert found.get(row) == wanted


@given(writes)
def test_samples_gives_all_and_a_removed_row_is_empty(samples: list[tuple[int, int, float]]) -> None:
    grid, model = written(samples, 10)
    rows = np.arange(grid.rows)
    which, stamps, values = grid.samples(rows)
    slots = grid.slots(which, stamps).tolist()
    assert dict(zip(zip(which.tolist(), slots, strict=True), values.tolist(), strict=True)) == model
    grid.remove(rows[:1])
    assert grid.add(5) == 0
    assert np.isnan(grid.read(rows[:1], 0, 2000)).all()
    assert grid.first[0] == NEVER


def test_a_late_sample_costs_a_block_and_not_all_series() -> None:
    grid = Grid(10)
    rows = np.array([grid.add(0) for _ in range(5000)])
    grid.write(rows, np.full(5000, 10**6), np.ones(5000))
    before = grid.bytes
    grid.write(rows[:1], np.array([0]), np.ones(1))
    assert grid.bytes - before == 8 * WINDOW * BLOCK
