"""The engine: what was written is read back, now and after a restart."""

import asyncio
import errno
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metricstore import engine
from metricstore.disk import catalogue
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns
from metricstore.engine import Engine
from metricstore.ingest import Ingest
from metricstore.reading import Groups
from metricstore.settings import Limits, Metric, Settings
from metricwire.errors import SettingsError, TooLarge, Unavailable
from metricwire.samples import Labels, Place, SeriesKey

NOW = 1_800_000_000
HOST = Place("c", "h")


class Store:
    """An engine that can be stopped and started again on its folder."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self._path, self._loop = path, loop
        self._options = {
            "metrics": {"m": Metric(10, "sum"), "slow": Metric(60, "avg")},
            "retention": 86400,
            "limits": Limits(series=100, waiting=1000),
            "clock": lambda: NOW,
        } | options
        self.start()

    def start(self, **options: Any) -> None:
        self._options |= options
        self.running = True
        self.engine = Engine(self._path, **self._options)
        self.recovered = self.engine.recover()

    def stop(self) -> None:
        self.running = False
        self._loop.run_until_complete(self.engine.close())

    def restart(self, **options: Any) -> None:
        self.stop()
        self.start(**options)

    def write(self, *samples: tuple[SeriesKey, int, float], labels: Sequence[Labels] = ()) -> None:
        numbers = np.array([self.engine.number(key) for key, _, _ in samples], np.uint32)
        timestamps = np.array([timestamp for _, timestamp, _ in samples], np.int64)
        columns = Columns(numbers, timestamps, np.array([value for _, _, value in samples], np.float64))
        self._loop.run_until_complete(self.engine.write(columns, list(labels)))

    def read(self, metric: str, groups: Sequence[Sequence[str]] = ()) -> list[tuple[int, list[float | None]]]:
        (selected,) = self.engine.select("c", "h", [groups], metric)
        numbers = self.engine.holding(selected)
        groups = [numbers[k : k + 1] for k in range(len(numbers))]
        found: dict[int, tuple[int, list[float | None]]] = {}
        for totals in self.engine.read(Groups.of(groups), 0, 2 * NOW, 10**6):
            for place, start, row in zip(totals.places.tolist(), totals.starts.tolist(), totals.values, strict=True):
                found[place] = start, [None if np.isnan(v) else float(v) for v in row]
        return [found[place] for place in sorted(found)]

    def seal(self) -> None:
        self._loop.run_until_complete(self.engine.seal())

    def expire(self) -> int:
        return self._loop.run_until_complete(self.engine.expire())


@pytest.fixture
def make_store(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Store]]:
    stores = []

    def make(**options: Any) -> Store:
        stores.append(Store(tmp_path, loop, **options))
        return stores[-1]

    yield make
    for store in stores:
        if store.running:
            store.stop()


def series(metric: str = "m", **place: str) -> SeriesKey:
    return SeriesKey(HOST._replace(**place), metric)


def test_samples_are_there_after_a_restart(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series(), NOW, 1.5), (series("slow"), NOW - 3, 2.0))
    store.write((series(), NOW + 20, 0.1), (series(), NOW + 20, 0.2), (series(), NOW + 1, 9.0))
    for _ in range(3):
        assert store.read("m") == [(NOW, [9.0, None, 0.2])]
        assert store.read("slow") == [(NOW - 3, [2.0])]
        store.restart()
    assert store.recovered.samples == 5


def test_a_metric_nobody_configured_is_kept_at_the_frequency_observed(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series("x"), NOW, 1.0), (series("x", type="t"), NOW, 5.0))
    assert store.read("x") == [(NOW, [1.0])]
    store.write((series("x"), NOW, 2.0))
    store.write((series("x"), NOW + 3, 3.0))
    for _ in range(2):
        assert store.engine.metrics.frequency("x") == 3
        assert store.read("x") == [(NOW, [2.0, 3.0])]
        assert store.read("x", [["t"]]) == [(NOW, [5.0])]
        store.restart()


@pytest.mark.parametrize(
    ("distances", "frequency"),
    [([60], 60), ([60, 10, 10], 10), ([5, 60, 60], 5), ([86400, 10], 10), ([200_000], 10), ([200_000, 60], 60), ([1], 1)],
)
def test_no_distance_between_samples_loses_one(make_store: Callable[..., Store], distances: list[int], frequency: int) -> None:
    store = make_store(retention=10**7)
    times = [NOW - 600_000 + sum(distances[:n]) for n in range(len(distances) + 1)]
    for value, timestamp in enumerate(times):
        store.write((series("x"), timestamp, float(value)))
    for _ in range(2):
        assert store.engine.metrics.frequency("x") == frequency
        ((start, values),) = store.read("x")
        assert [value for value in values if value is not None] == list(range(len(times)))
        assert start == times[0]
        store.restart()


def test_many_new_metrics_and_tags_cost_what_few_cost_each(make_store: Callable[..., Store]) -> None:
    """Each of these was quadratic; the suite's timeout is the judge."""
    store = make_store(limits=Limits(series=10**6))
    for later in (0, 7):
        store.write(*((series(f"x{n}"), NOW + later, 1.0) for n in range(30_000)))
    store.write(*((SeriesKey(HOST, "m", (("user", str(n)),)), NOW, 1.0) for n in range(30_000)))
    assert store.engine.series == 60_000


def test_the_frequency_observed_outlives_the_segment_it_was_observed_in(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series("x"), NOW, 1.0), (series("x"), NOW + 3, 3.0), labels=[Labels(HOST, (("rack", "r1"),))])
    store.restart()
    store.seal()
    store.restart()
    assert store.recovered.samples == 0, "all is in blocks"
    assert store.engine.metrics.frequency("x") == 3
    assert store.engine.labels_of(Place("c", "h", "t", "1")) == {"rack": "r1"}


def test_labels_are_durable_and_the_last_ones_count(make_store: Callable[..., Store]) -> None:
    store = make_store()
    container = Place("c", "h", "container", "ab")
    store.write(labels=[Labels(container, (("pod", "a"), ("rack", "x"))), Labels(HOST, (("rack", "r1"), ("zone", "z")))])
    store.write(labels=[Labels(container, (("pod", "b"),))])
    store.restart()
    assert store.engine.labels_of(container._replace(stype="app")) == {"rack": "r1", "zone": "z", "pod": "b"}


def test_what_is_past_the_retention_is_forgotten(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0])
    store.write((series(), NOW, 1.0))
    store.restart()
    now[0] += 80_000
    store.write((series(), now[0], 2.0))
    assert store.read("m")[0][1][0] == 1.0
    now[0] += 10_000
    store.write((series("slow"), now[0], 3.0))
    assert store.expire() == 1, "a window"
    assert store.read("m") == [(NOW + 80_000, [2.0])]
    store.restart()
    assert store.read("m") == [(NOW + 80_000, [2.0])]


def test_the_series_limit_holds_for_new_series_only(make_store: Callable[..., Store]) -> None:
    store = make_store(limits=Limits(series=2))
    store.write((series(), NOW, 1.0), (series("slow"), NOW, 1.0))
    with pytest.raises(TooLarge, match=r"limit of 2 .*limits\.series"):
        store.engine.number(series("third"))
    assert store.engine.number(series()) == 0
    store.stop()
    again = make_store(limits=Limits(series=1))
    assert again.read("slow"), "what was stored is there, whatever the limit is now"


def test_series_that_hold_nothing_any_more_make_room_for_others(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0], limits=Limits(series=2))
    store.write((series(), NOW, 1.0), (series("x", type="t", type_id="1"), NOW, 1.0))
    now[0] += 80_000
    store.write((series(), now[0], 2.0))
    now[0] += 10_000
    store.write((series(), now[0], 2.0))
    with store.engine.taking():
        assert store.expire()
    assert store.engine.series == 2, "numbers may be on their way to the disk"
    assert not store.expire()
    store.write((series("y"), now[0], 3.0))
    for _ in range(2):
        assert (store.engine.series, store.engine.hosts("c")) == (2, ["h"])
        assert store.read("x", [["t1"]]) == []
        assert [values[-1] for _, values in (*store.read("m"), *store.read("y"))] == [2.0, 3.0]
        store.restart()


def test_a_clock_that_is_wrong_for_a_while_deletes_nothing(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0])
    store.write((series(), NOW, 1.0))
    store.restart()
    now[0] += 10 * 365 * 86400
    assert store.expire() == 0
    now[0] = NOW
    store.restart()
    assert store.read("m") == [(NOW, [1.0])]


def test_a_series_named_before_it_had_samples_gets_another_number(make_store: Callable[..., Store]) -> None:
    """A kill between the names and the samples leaves the names; the next start forgets the series, and numbers it anew."""
    store = make_store()
    store.engine._catalogue.append([(store.engine.number(series()), series())])
    store.restart()
    store.write((series(), NOW, 1.0))
    for _ in range(2):
        store.restart()
        assert (store.read("m"), store.recovered.damaged, store.engine.series) == ([(NOW, [1.0])], 0, 1)
    store.write((series("slow"), NOW, 2.0))
    store.restart()
    assert (store.read("m"), store.read("slow")) == ([(NOW, [1.0])], [(NOW, [2.0])])


def test_late_samples_wait_while_memory_is_short(
    make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(retention=10**7)
    store.write((series(), NOW, 1.0))
    late = [(series(), NOW - 640 * n, float(n)) for n in range(1, 100)]
    store.write(*late)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "LATE_WAIT", 0.01)
        with pytest.raises(Unavailable, match="cannot store late samples now"):
            store.write((series(), NOW - 10_000, 1.0))
    store.write((series(), NOW + 10, 2.0))
    keeping = loop.create_task(store.engine.keep())
    store.write((series(), NOW - 10_000, 1.0))
    assert store.engine.seals == 1
    loop.run_until_complete(keeping)
    assert len(store.engine.head.windows) < 5
    assert [value for value in store.read("m")[0][1] if value is not None][-2:] == [1.0, 2.0]


def test_windows_that_cannot_go_yet_do_not_keep_late_samples_from_being_stored(
    make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop
) -> None:
    """As many metrics that nobody declared, each with a frequency of its own, as one body has lines for."""
    now = [NOW]
    store = make_store(retention=10**7, limits=Limits(series=1000, waiting=1000), clock=lambda: now[0])
    store.write(*[(series(f"x{k}"), time, 1.0) for k in range(65) for time in (NOW - 86400 + k, NOW)])
    assert store.engine.pressed.is_set()
    for _ in range(2):
        loop.run_until_complete(store.engine.keep())
        assert len(store.engine.head.windows) > 64
        assert not store.engine.pressed.is_set()
        assert not store.engine.strained
        sealed = store.engine.seals
        loop.run_until_complete(store.engine.keep())
        assert store.engine.seals == sealed, "nothing is due"
        now[0] += 86400
        store.write((series(), now[0] - 10_000, 1.0), (series(), now[0], 2.0))
    now[0] += 150 * 86400
    store.write(*[(series(), now[0] - 640 * n, 1.0) for n in range(70)])
    loop.run_until_complete(store.engine.keep())
    assert len(store.engine.head.windows) < 5


def test_windows_that_were_emptied_go(make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop) -> None:
    """The first sample of a metric that nobody declared is in one of the usual frequency, until the second one comes."""
    store = make_store(retention=10**7)
    for k in range(10):
        for time in (NOW - 10_000 * (k + 2), NOW - 10_000 * (k + 2) + 700):
            store.write((series(f"x{k}"), time, 1.0))
    assert len([frequency for frequency, _ in store.engine.head.windows if frequency == 10]) > 3
    for _ in range(3):
        loop.run_until_complete(store.engine.keep())
    assert store.engine.seals == 1
    assert not [frequency for frequency, _ in store.engine.head.windows if frequency == 10]


def test_a_start_above_the_memory_limit_does_not_seal_for_every_record(make_store: Callable[..., Store]) -> None:
    files = Faulty()
    store = make_store(files=files)
    for n in range(100):
        store.write((series(), NOW - 10 * n, float(n)))
    files.replaced = 0
    store.restart(limits=Limits(memory=32 * 2**20))
    assert store.engine._it.too_large
    assert 0 < files.replaced < 20
    assert len([value for value in store.read("m")[0][1] if value is not None]) == 100


def test_a_start_above_the_memory_limit_does_not_take_memory_as_long_as_the_log(make_store: Callable[..., Store]) -> None:
    store = make_store(retention=10**7, limits=Limits(series=500, waiting=1000))
    places = [series(type="t", type_id=str(n)) for n in range(400)]
    for n in range(60):  # a new window each time
        store.write(*[(place, NOW - 64_000 - 640 * n, 1.0) for place in places])
    store.stop()
    del store.engine
    gc.collect()  # what it holds in memory
    store.start(limits=Limits(memory=32 * 2**20))
    assert len(store.engine.head.windows) < 30
    found = store.read("m", [[f"t{n}" for n in range(100)]])
    assert [sum(value is not None for value in values) for _, values in found] == [60] * 100


def test_no_number_is_given_twice_though_nothing_names_its_series_any_more(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FILES_MAX", 0)
    store = make_store()
    store.write((series(), NOW, 1.0))
    store.seal()
    store.engine._catalogue.append([(store.engine.number(series("slow")), series("slow"))])
    for _ in range(3):
        store.restart()
    assert store.engine.number(series("x")) == 2


def test_a_series_that_went_and_came_again_is_no_damage(
    make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FILES_MAX", 0)
    store = make_store()
    store.write((series(), NOW, 1.0))
    loop.run_until_complete(store.engine.free([("c", "h")], NOW + 10_000))
    for value in (2.0, 3.0):
        store.restart()  # the log names two numbers of one series from here on
        store.write((series(), NOW, value))
        store.restart()
        assert (store.read("m"), store.recovered.damaged) == ([(NOW, [value])], 0)


def test_samples_survive_a_start_after_their_retention_when_they_go_to_the_archive(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0], archived=True)
    store.write((series(), NOW, 1.0))
    now[0] += 3 * 86400
    store.restart()
    assert store.read("m") == [(NOW, [1.0])]


def test_a_start_with_a_wrong_clock_loses_nothing_of_the_log(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0])
    store.write((series(), NOW, 1.0))
    now[0] += 10 * 365 * 86400
    store.restart()
    store.seal()
    now[0] = NOW
    store.restart()
    assert store.read("m") == [(NOW, [1.0])]


def test_a_caller_that_gave_up_waiting_for_a_sealing_does_not_stop_commits(
    make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop
) -> None:
    store = make_store()

    async def give_up() -> None:
        sealing = asyncio.create_task(store.engine.seal())
        await asyncio.sleep(0)
        sealing.cancel()
        await asyncio.wait([sealing])

    loop.run_until_complete(give_up())
    store.write((series(), NOW, 1.0))
    store.seal()
    assert store.read("m") == [(NOW, [1.0])]


def test_the_sign_of_zero_survives_a_move_to_another_frequency(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series("x"), NOW, -0.0))
    store.seal()
    store.write((series("x"), NOW + 3, 1.0))
    ((_, values),) = store.read("x")
    assert [str(value) for value in values] == ["-0.0", "1.0"]


def test_labels_are_limited_and_set_once(make_store: Callable[..., Store]) -> None:
    store = make_store(limits=Limits(label_bytes=1000))
    labels = Labels(HOST, (("rack", "r1"),))
    more = store.engine.registry.check_labels(labels)
    store.write(labels=[labels])
    assert store.engine.registry.label_bytes == more
    assert store.engine.registry.check_labels(labels) is None, "nothing new"
    with pytest.raises(TooLarge, match=r"limits\.label-bytes"):
        store.engine.registry.check_labels(Labels(HOST, (("rack", "x" * 1000),)))


def test_labels_of_one_body_count_together(make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop) -> None:
    store = make_store(limits=Limits(label_bytes=1000))
    ingest = Ingest(store.engine, Settings(), lambda: NOW)
    lines = [b"info,cluster=c,hostname=h%d,rack=r1 value=1" % n for n in range(10)]
    receipt = loop.run_until_complete(ingest.write(b"\n".join(lines), ""))
    assert (receipt.stored, receipt.rejected) == (3, 7)
    assert "limits.label-bytes" in receipt.bad[0].reason
    assert store.engine.registry.label_bytes <= 1000


def test_labels_wait_a_day_for_series_of_their_place(make_store: Callable[..., Store]) -> None:
    now = [NOW]
    store = make_store(clock=lambda: now[0], retention=10**7)
    store.write((series(), NOW, 1.0), labels=[Labels(HOST, (("rack", "r1"),))])
    for number in range(3):
        store.write(labels=[Labels(HOST._replace(type="container", type_id=str(number)), (("pod", "p"),))])
    store.expire()
    now[0] += 80_000
    store.expire()
    assert len(store.engine.registry.labels) == 4, "series may follow"
    store.write((series(type="container", type_id="1"), now[0], 1.0))
    now[0] += 10_000
    store.engine.registry.check_labels(Labels(HOST._replace(type="container", type_id="2"), (("pod", "p"),)))  # comes again
    store.expire()
    assert sorted(path[-1] for path in store.engine.registry.labels) == ["container1", "container2", "h"]
    now[0] += 90_000
    store.expire()
    now[0] += 90_000
    store.expire()
    for _ in range(2):
        assert sorted(path[-1] for path in store.engine.registry.labels) == ["container1", "h"]
        store.seal()
        store.restart()


def test_damage_of_one_record_costs_its_samples_only(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store()
    for n in range(20):
        store.write((series(), NOW + 10 * n, float(n)))
    store.stop()
    (log,), (names,) = (tmp_path / "log").glob("*.log"), (tmp_path / "names").glob("*.a")
    for path, lost in ((names, 0), (log, 1)):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        store.start()
        assert len([value for value in store.read("m")[0][1] if value is not None]) == 20 - lost
        store.stop()
    store.start()
    assert store.recovered.damaged == 2


def test_it_starts_on_a_full_disk_and_writes_when_there_is_room(make_store: Callable[..., Store]) -> None:
    files = Faulty()
    store = make_store(files=files)
    store.write((series(), NOW, 1.0))
    store.stop()
    files.full = True
    store.start()
    assert store.read("m") == [(NOW, [1.0])]
    with pytest.raises(Unavailable):
        store.write((series(), NOW + 10, 2.0))
    assert store.engine.commits.full
    files.full = False
    store.write((series(), NOW + 10, 2.0))
    store.restart()
    assert store.read("m") == [(NOW, [1.0, 2.0])]


def test_an_error_while_committing_answers_the_writers_and_stops(make_store: Callable[..., Store]) -> None:
    broken: list[Exception] = []
    store = make_store(on_broken=broken.append)

    def fail(*_: Any) -> None:
        raise MemoryError("planted")

    store.engine.head.write = fail  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="planted"):
        store.write((series(), NOW, 1.0))
    assert (len(broken), store.engine.commits.waiting) == (1, 0)


def test_places_that_are_spelt_alike_are_one(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series(type="hwthread", type_id="1"), NOW, 1.0), (series(type="hwthread1"), NOW + 10, 2.0))
    assert store.read("m", [["hwthread1"]]) == [(NOW, [1.0, 2.0])]


def test_a_request_for_too_many_values_is_refused_before_it_is_read(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.write((series(), NOW - 80_000, 1.0), (series(), NOW, 2.0))
    with pytest.raises(TooLarge, match=r"limits\.points"):
        next(store.engine.read(Groups.of([np.array([0])]), 0, NOW + 1, 8000))
    (totals,) = store.engine.read(Groups.of([np.array([0])]), 0, NOW + 1, 8001 + 64)
    assert totals.values.shape == (1, 8001)


class Faulty(Files):
    """Fails as told."""

    def __init__(self) -> None:
        self.full = self.broken = False
        self.replaced = 0

    def replace(self, path: Path, parts: Sequence[bytes]) -> None:
        self.replaced += 1
        super().replace(path, parts)

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().append(file, parts)

    def sync(self, file: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(file)


def test_a_full_disk_refuses_and_nothing_of_it_shows(make_store: Callable[..., Store]) -> None:
    files = Faulty()
    store = make_store(files=files)
    store.write((series(), NOW, 1.0))
    files.full = True
    with pytest.raises(Unavailable, match="No space left on device") as refusal:
        store.write((series(), NOW + 10, 2.0), (series("slow"), NOW, 3.0))
    assert refusal.value.retry_after > 0
    assert store.engine.commits.full
    assert (store.read("m"), store.read("slow")) == ([(NOW, [1.0])], [])
    files.full = False
    store.write((series("slow"), NOW, 4.0))
    assert not store.engine.commits.full
    store.restart()
    assert (store.read("m"), store.read("slow")) == ([(NOW, [1.0])], [(NOW, [4.0])])


def test_after_a_failed_sync_nothing_is_acknowledged(make_store: Callable[..., Store]) -> None:
    files, broken = Faulty(), []
    store = make_store(files=files, on_broken=broken.append)
    files.broken = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.write((series(), NOW, 1.0))
        files.broken = False
    assert broken
    assert store.read("m") == []


def test_writers_are_refused_when_too_much_waits(make_store: Callable[..., Store], loop: asyncio.AbstractEventLoop) -> None:
    store = make_store(limits=Limits(waiting=10))
    number = store.engine.number(series())
    columns = Columns(np.full(8, number, np.uint32), np.arange(NOW, NOW + 8), np.arange(8.0))

    async def flood() -> list[BaseException | None]:
        return await asyncio.gather(*(store.engine.write(columns, []) for _ in range(5)), return_exceptions=True)

    outcomes = loop.run_until_complete(flood())
    assert [type(outcome) for outcome in outcomes] == [type(None)] + [Unavailable] * 4
    store.write((series(), NOW, 1.0))


def test_one_store_at_a_time(make_store: Callable[..., Store]) -> None:
    make_store()
    with pytest.raises(SettingsError, match="another store is running on it"):
        make_store()


def test_a_folder_belongs_to_one_cluster(make_store: Callable[..., Store], tmp_path: Path) -> None:
    make_store(cluster="fritz").stop()
    with pytest.raises(SettingsError, match="belongs to cluster fritz, not alex"):
        make_store(cluster="alex")
    (tmp_path / "store.json").write_bytes(b"\x00\x00")
    store = make_store(cluster="fritz")
    store.write((series(), NOW, 1.0))
    assert b"fritz" in (tmp_path / "store.json").read_bytes(), "a damaged identity does not prevent the start"
