"""The archive: rows come back bit for bit, in parts, and whatever is damaged costs no more than its row group."""

import contextlib
import errno
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from arro3.io import read_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from metricstore.disk import archivefile, parquet
from metricstore.disk.archive import Archive
from metricstore.disk.archiverows import ArchiveRows, merged
from metricstore.disk.files import Files
from metricstore.disk.footer import parse
from metricstore.disk.quarantine import Quarantine
from metricwire.errors import TooLarge
from metricwire.samples import Place, SeriesKey


class Watched(Archive):
    """Counts the damages that it reports."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.damages: list[str] = []
        quarantine = Quarantine(directory.with_name("quarantine"), files or Files(), 10**9)
        super().__init__(directory, quarantine, files or Files(), self.damages.append)


Samples = dict[tuple[SeriesKey, int], tuple[int, bytes]]
START = 1_700_000_000


def rows_of(samples: Sequence[tuple[SeriesKey, int, float]], frequency: int = 10) -> ArchiveRows:
    keys = list(dict.fromkeys(key for key, _, _ in samples))
    return ArchiveRows(
        keys,
        np.array([keys.index(key) for key, _, _ in samples], np.int64),
        np.array([timestamp for _, timestamp, _ in samples], np.int64),
        np.full(len(samples), frequency, np.int64),
        np.array([value for _, _, value in samples], np.float64),
    )


def samples_of(rows: ArchiveRows) -> Samples:
    """What the rows say, values as bits."""
    columns = (rows.series.tolist(), rows.timestamps.tolist(), rows.frequencies.tolist(), rows.values)
    return {(rows.keys[n], t): (f, value.tobytes()) for n, t, f, value in zip(*columns, strict=True)}


def host(number: int, *, series: int = 3, slots: int = 64) -> ArchiveRows:
    name = f"n{number:03}"
    keys = [SeriesKey(Place("fritz", name, *(("core", str(i)) if i else ())), "load") for i in range(series)]
    keys.append(SeriesKey(Place("fritz", name), "mem_used", (("app", 'web, "1"'), ("zone", "é"))))
    index = np.repeat(np.arange(len(keys)), slots)
    stamps = np.tile(START + 10 * np.arange(slots), len(keys))
    values = np.random.default_rng(number).standard_normal(len(index))
    return ArchiveRows(keys, index, stamps, np.full(len(index), 10), values)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Watched(tmp_path / "archive")


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 300)


def everything(archive: Archive, cluster: str = "fritz") -> Samples:
    return samples_of(archive.read(cluster, None, None, -(2**62), 2**62))


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
KEYS = st.builds(
    lambda host, kind, below, metric, tags: SeriesKey(Place("c", host, *kind, *below), metric, tuple(sorted(tags.items()))),
    NAMES,
    st.tuples(NAMES.filter(lambda name: name != "node"), NAMES) | st.just(("", "")),
    st.tuples(NAMES, NAMES) | st.just(("", "")),
    NAMES,
    st.dictionaries(NAMES, NAMES, max_size=2),
)
SAMPLES = st.lists(
    st.tuples(KEYS, st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False)),
    unique_by=lambda sample: sample[:2],
    max_size=40,
)


@given(SAMPLES)
@settings(max_examples=50, deadline=None)
def test_rows_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, samples: list[tuple[SeriesKey, int, float]]
) -> None:
    archive = Watched(tmp_path_factory.mktemp("a") / "archive")
    written = archive.write("c", [rows_of(samples)])
    assert (written is None) == (not samples)
    assert everything(archive, "c") == samples_of(rows_of(samples))


def test_a_selection_is_all_of_the_wanted_rows_and_no_others(archive: Archive, small_groups: None) -> None:
    archive.write("fritz", [host(number) for number in range(20)])
    whole = everything(archive)
    found = archive.read("fritz", {"n003", "n017"}, {"load"}, START + 100, START + 200)
    wanted = {
        (key, stamp): value
        for (key, stamp), value in whole.items()
        if key.place.host in {"n003", "n017"} and key.metric == "load" and START + 100 <= stamp < START + 200
    }
    assert samples_of(found) == wanted
    assert len(wanted) == 2 * 3 * 10
    assert list(zip(found.series.tolist(), found.timestamps.tolist(), strict=True)) == sorted(
        zip(found.series.tolist(), found.timestamps.tolist(), strict=True)
    )


def test_one_host_reads_few_row_groups(archive: Archive, small_groups: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive.write("fritz", [host(number) for number in range(50)])
    assert path is not None
    assert len(archivefile.open_file(path).index.groups) == -(-50 * 256 // 300)
    read = []
    monkeypatch.setattr("metricstore.disk.archive.read_group", lambda opened, group: read.append(group) or real(opened, group))
    real = archivefile.read_group
    assert len(archive.read("fritz", {"n025"}, None, 0, 2**40).values) == 256
    assert len(read) <= 3
    read.clear()
    archive.read("fritz", {"n025"}, None, START + 10_000, 2**40)
    assert not read


def test_sorted_as_cc_metric_store_does_with_its_columns_first(archive: Archive) -> None:
    path = archive.write("fritz", [host(1), host(2)])
    (batch,) = list(read_parquet(path, batch_size=100_000))
    assert tuple(batch.column_names[:8]) == parquet.THEIRS
    names = [batch.column(name).to_pylist() for name in ("hostname", "metric", "timestamp")]
    rows = list(zip(*names, strict=True))
    assert rows == sorted(rows)
    assert set(batch.column("scope").to_pylist()) == {"node", "core"}


def test_of_two_files_the_later_counts(archive: Archive) -> None:
    key = SeriesKey(Place("fritz", "n1"), "load")
    archive.write("fritz", [rows_of([(key, 10, 1.0), (key, 20, 2.0)])])
    archive.write("fritz", [rows_of([(key, 10, 3.0), (key, 30, 4.0)])])
    found = archive.read("fritz", None, None, 0, 100)
    assert found.timestamps.tolist() == [10, 20, 30]
    assert found.values.tolist() == [3.0, 2.0, 4.0]


def test_what_there_is(archive: Archive, tmp_path: Path) -> None:
    assert archive.clusters() == []
    assert archive.hosts("fritz") == []
    assert archive.range("fritz") is None
    archive.write("fritz", [host(1), host(2)])
    archive.write("A/../b", [rows_of([(SeriesKey(Place("A/../b", "x"), "m"), 5, 1.0)])])
    assert archive.clusters() == ["A/../b", "fritz"]
    assert archive.hosts("fritz") == ["n001", "n002"]
    assert archive.range("fritz") == (START, START + 630)
    assert all(path.is_relative_to(tmp_path / "archive") and ".." not in path.name for path in tmp_path.rglob("*.parquet"))
    assert archive.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))


def test_clusters_whose_names_differ_in_case_or_are_long_stay_apart(archive: Archive) -> None:
    names = ["fritz", "Fritz", "x" * 250, "x" * 251, ".hidden", "é" * 100]
    for number, name in enumerate(names):
        archive.write(name, [rows_of([(SeriesKey(Place(name, "n"), "m"), 5, float(number))])])
    for number, name in enumerate(names):
        assert archive.read(name, None, None, 0, 10).values.tolist() == [float(number)]
    assert len({path.name.lower() for path in archive.directory.iterdir()}) == len(names)


def test_expiry_takes_whole_files_that_are_old(archive: Archive) -> None:
    key = SeriesKey(Place("fritz", "n1"), "load")
    archive.write("fritz", [rows_of([(key, 10, 1.0), (key, 20, 1.0)])])
    archive.write("fritz", [rows_of([(key, 15, 1.0), (key, 30, 1.0)])])
    assert archive.expire(20) == 0
    assert archive.expire(21) == 1
    assert archive.read("fritz", None, None, 0, 100).timestamps.tolist() == [15, 30]


def test_more_rows_than_allowed_are_refused(archive: Archive) -> None:
    archive.write("fritz", [host(1)])
    with pytest.raises(TooLarge):
        archive.read("fritz", None, None, 0, 2**40, most=255)
    assert len(archive.read("fritz", None, None, 0, 2**40, most=256).values) == 256


def test_no_change_of_one_byte_gives_a_wrong_value_or_costs_more_than_a_row_group(archive: Archive, small_groups: None) -> None:
    path = archive.write("fritz", [host(number) for number in range(5)])
    assert path is not None
    content, whole = path.read_bytes(), everything(archive)
    groups = archivefile.open_file(path).index.groups
    rng = random.Random(1)
    for at in sorted({0, len(content) - 1, *rng.sample(range(len(content)), 150)}):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        again = Watched(archive.directory)
        found = everything(again)
        hit = [group for group in groups if group.offset <= at < group.offset + group.size]
        assert found.items() <= whole.items()
        assert len(whole) - len(found) == sum(group.rows for group in hit)
        in_use = hit or archivefile.open_file(path).whole is False
        assert len(again.damages) == bool(in_use)


@pytest.mark.parametrize("kept", [0, 1, 7, 100, -1, -4096, -9000])
def test_a_file_that_ends_early_is_no_reason_to_fail(archive: Archive, small_groups: None, kept: int) -> None:
    path = archive.write("fritz", [host(number) for number in range(5)])
    assert path is not None
    content, whole = path.read_bytes(), everything(archive)
    path.write_bytes(content[:kept])
    again = Watched(archive.directory)
    found = everything(again)
    assert found == (whole if kept < 0 else {})
    assert len(again.damages) == 1
    everything(again)
    assert len(again.damages) == 1
    assert path.exists() == bool(found)


def test_a_page_of_zeros_costs_no_more_than_its_row_groups(archive: Archive, small_groups: None) -> None:
    path = archive.write("fritz", [host(number) for number in range(20)])
    assert path is not None
    content, whole = path.read_bytes(), everything(archive)
    groups = archivefile.open_file(path).index.groups
    for at in range(0, len(content), 4096):
        path.write_bytes(content[:at] + bytes(4096) + content[at + 4096 :])
        found = everything(Watched(archive.directory))
        hit = [group for group in groups if group.offset < at + 4096 and group.offset + group.size > at]
        assert found.items() <= whole.items()
        assert len(whole) - len(found) == sum(group.rows for group in hit)


class Refusing(Files):
    """Fails at the n-th operation."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def create(self, path: Path) -> int:
        self._count()
        return super().create(path)

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        self._count()
        return super().append(file, parts)

    def truncate(self, file: int, size: int) -> None:
        self._count()
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._count()
        super().sync(file)

    def rename(self, path: Path, new: Path) -> None:
        self._count()
        super().rename(path, new)


def test_a_disk_that_refuses_leaves_no_file_and_the_next_attempt_succeeds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = 0
    for at in range(1, 20):
        archive = Watched(tmp_path / str(at), Refusing(at))
        try:
            archive.write("fritz", [host(1)])
        except OSError:
            refused += 1
            assert everything(archive) == {}
            archive.write("fritz", [host(1)])
        assert everything(archive) == samples_of(host(1))
    assert refused >= 5
    assert "panic" not in capfd.readouterr().err


def test_an_error_of_the_source_comes_through(archive: Archive) -> None:
    def batches() -> Iterator[ArchiveRows]:
        yield host(1)
        raise archivefile.Damaged("a block")

    with pytest.raises(archivefile.Damaged, match="a block"):
        archive.write("fritz", batches())
    assert everything(archive) == {}
    with pytest.raises(ValueError, match="BUG"):
        archive.write("fritz", [host(2), host(1)])
    with pytest.raises(ValueError, match="BUG"):
        archive.write("alex", [host(1)])


def test_what_is_no_parquet_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(parquet.Unreadable):
        list(parquet.read(path))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_footer_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(data)


def test_merging_keeps_the_last_of_each_timestamp() -> None:
    key, other = (SeriesKey(Place("c", "n"), metric) for metric in "ab")
    parts = [rows_of([(other, 10, 1.0), (key, 10, 2.0)]), rows_of([]), rows_of([(key, 10, 3.0), (key, 5, 4.0)])]
    found = merged(parts)
    assert found.keys == [key, other]
    assert found.series.tolist() == [0, 0, 1]
    assert found.timestamps.tolist() == [5, 10, 10]
    assert found.values.tolist() == [4.0, 3.0, 1.0]
    assert len(merged([]).values) == 0
