"""The log: what is read back after a clean end, a cut, a flipped bit, a full disk, a failed sync."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import Columns, Damaged, Kind
from metricstore.disk.log import Log, Payload
from metricwire.samples import Labels, Place, SeriesKey

PAYLOADS = [bytes([n]) * (50 + n) for n in range(6)]
LENGTHS = [formats.RECORD_HEAD.size + len(payload) for payload in PAYLOADS]
ENDS = np.cumsum([0, *LENGTHS])


def records() -> list[Payload]:
    return [Payload(Kind.LABELS, payload) for payload in PAYLOADS]


def make(directory: Path) -> Path:
    """The file of a segment that holds the records."""
    log = Log(directory, Files())
    log.begin([])
    log.append([], records(), 0)
    log.close()
    (path,) = directory.glob("*.log")
    return path


def read(directory: Path) -> tuple[list[bytes], int]:
    log = Log(directory, Files())
    found = [record.payload for record in log.replay()]
    return found, log.damaged


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    make(tmp_path)
    log = Log(tmp_path, Files())
    list(log.replay())
    log.begin([Payload(Kind.LABELS, b"state")])
    log.append([], [Payload(Kind.LABELS, b"more")], 0)
    assert read(tmp_path) == ([*PAYLOADS, b"state", b"more"], 0)
    assert len(list(tmp_path.glob("*.log"))) == 2, "every start begins a segment of its own"


def test_a_file_cut_anywhere_loses_only_what_was_cut(tmp_path: Path) -> None:
    path = make(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found, damaged = read(tmp_path)
        assert found == PAYLOADS[: int((size >= ENDS).sum()) - 1]
        assert damaged == (size not in ENDS)


def test_a_flipped_bit_costs_one_record(tmp_path: Path) -> None:
    path = make(tmp_path)
    whole = bytearray(path.read_bytes())
    for at in range(len(whole)):
        whole[at] ^= 1 << (at % 8)
        path.write_bytes(whole)
        found, damaged = read(tmp_path)
        hit = int((at >= ENDS).sum()) - 1
        assert found == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]
        assert damaged == 1
        whole[at] ^= 1 << (at % 8)


def test_bytes_that_a_client_sent_are_never_taken_for_a_record(tmp_path: Path) -> None:
    forged = formats.record(b"\0" * 8, Kind.LABELS, b"forged")
    log = Log(tmp_path, Files())
    log.begin([])
    log.append([], [Payload(Kind.LABELS, forged), *records()], 0)
    log.close()
    (path,) = tmp_path.glob("*.log")
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    assert read(tmp_path) == (PAYLOADS, 1)


def test_series_records_are_kept_twice(tmp_path: Path) -> None:
    log = Log(tmp_path, Files())
    log.begin([])
    log.append([Payload(Kind.SERIES, b"names")], records(), 0)
    log.close()
    for suffix in ("log", "names"):
        (path,) = tmp_path.glob(f"*.{suffix}")
        content = path.read_bytes()
        path.write_bytes(b"\0" * 10 + content[10:])
        found, damaged = read(tmp_path)
        assert (found.count(b"names"), damaged) == (1, 1)
        assert found[-len(PAYLOADS) :] == PAYLOADS
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["5.log", "00000000000000000009.log", "x.log", "notes.txt", "00000000000000000009-0011223344556677.log/"]
)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    stranger = tmp_path / name.rstrip("/")
    stranger.mkdir() if name.endswith("/") else stranger.write_bytes(b"hello")
    assert read(tmp_path) == (PAYLOADS, 0)
    log = Log(tmp_path, Files())
    list(log.replay())
    log.begin([])
    log.close()
    assert stranger.exists()


class FullDisk(Files):
    """Takes so many bytes in all."""

    room = 1 << 30

    def append(self, file: int, parts: Sequence[bytes | memoryview]) -> int:
        data = b"".join(parts)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return os.write(file, data)


def test_a_full_disk_takes_records_all_or_none(tmp_path: Path) -> None:
    files = FullDisk()
    log = Log(tmp_path, files)
    log.begin([])
    stored = 0
    for room in range(0, 300, 7):
        files.room = room
        try:
            log.append([], records()[:2], 0)
            stored += 1
        except OSError:
            continue
    assert 0 < stored < 43
    assert read(tmp_path) == (PAYLOADS[:2] * stored, 0)


def test_a_segment_that_cannot_be_begun_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    files = FullDisk()
    log = Log(tmp_path, files)
    log.begin([])
    log.append([], records(), 0)
    for room in (0, 20):
        files.room = room
        with pytest.raises(OSError, match="No space left"):
            log.begin(records())
    files.room = 1 << 30
    log.append([], records(), 0)
    assert read(tmp_path) == (PAYLOADS * 2, 0)
    assert len(list(tmp_path.iterdir())) == 2


class FailedSync(Files):
    """Fails the next sync."""

    fail = False

    def sync(self, file: int) -> None:
        if self.fail:
            self.fail = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_after_a_failed_sync_nothing_is_appended(tmp_path: Path) -> None:
    files = FailedSync()
    log = Log(tmp_path, files)
    log.begin([])
    files.fail = True
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            log.append([], records(), 0)
    with pytest.raises(OSError, match="Input/output error"):
        log.begin([])
    assert log.broken


def test_old_segments_are_removed_whole(tmp_path: Path) -> None:
    log = Log(tmp_path, Files())
    for newest in (100, 300, 200):
        log.begin([])
        log.append([], records(), newest)
    log.begin([])
    next(tmp_path.glob("*1-*.log")).unlink()  # by hand
    assert log.trim(250) == 2
    assert sorted(int(path.name[:20]) for path in tmp_path.iterdir()) == [2, 2, 4, 4]


def test_what_a_new_segment_repeats_does_not_fill_it(tmp_path: Path) -> None:
    log = Log(tmp_path, Files(), segment_bytes=200)
    log.begin(records() * 10)
    assert not log.full
    log.append([], records(), 0)
    assert log.full


texts = st.text()
tags = st.lists(st.tuples(texts, texts)).map(tuple)
keys = st.builds(SeriesKey, st.builds(Place, texts, texts, texts), texts, tags)
samples = st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))


@given(st.lists(samples), st.lists(keys))
def test_samples_and_series_are_unpacked_as_they_were_packed(
    rows: list[tuple[int, int, float]], named: list[SeriesKey]
) -> None:
    numbers, timestamps, values = zip(*rows, strict=True) if rows else ([], [], [])
    columns = Columns(np.array(numbers, np.uint32), np.array(timestamps, np.int64), np.array(values, np.float64))
    found = formats.unpack_samples(formats.pack_samples(columns))
    assert all((a == b).all() for a, b in zip(found, columns, strict=True))
    assert formats.unpack_series(formats.pack_series(enumerate(named))) == list(enumerate(named))


@given(st.binary())
def test_other_payloads_are_damage_and_nothing_else(payload: bytes) -> None:
    for unpack in (formats.unpack_samples, formats.unpack_series, formats.unpack_labels, formats.unpack_frequencies):
        try:
            unpack(payload)
        except Damaged:
            continue


def test_labels_are_unpacked_as_they_were_packed() -> None:
    labels = [Labels(Place("c", "h", "container", "ab"), (("pod", "web"), ("namespace", "shop")))]
    assert formats.unpack_labels(formats.pack_labels(labels)) == labels
