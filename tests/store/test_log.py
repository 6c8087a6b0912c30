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
from metricstore.disk.log import Log
from metricwire.samples import Labels, Place, SeriesKey

PAYLOADS = [bytes([n]) * (50 + n) for n in range(6)]


def records() -> list[bytes]:
    return [formats.record(Kind.LABELS, payload) for payload in PAYLOADS]


def make(directory: Path, files: Files | None = None) -> Log:
    log = Log(directory, files or Files())
    log.start()
    log.append(records(), 0)
    log.close()
    return log


def read(directory: Path) -> tuple[list[bytes], int]:
    log = Log(directory, Files())
    found = [record.payload for record in log.replay()]
    return found, log.damaged


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    make(tmp_path)
    log = Log(tmp_path, Files())
    list(log.replay())
    log.start()
    log.append([formats.record(Kind.LABELS, b"more")], 0)
    assert read(tmp_path) == ([*PAYLOADS, b"more"], 0)
    assert len(list(tmp_path.iterdir())) == 2, "every start begins a segment of its own"


def test_a_file_cut_anywhere_loses_only_what_was_cut(tmp_path: Path) -> None:
    make(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    ends = np.cumsum([len(formats.SEGMENT_HEAD), *map(len, records())])
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found, damaged = read(tmp_path)
        assert found == PAYLOADS[: max(0, int((ends <= size).sum()) - 1)]
        assert damaged == (size not in (0, *ends))


def test_a_flipped_bit_costs_one_record(tmp_path: Path) -> None:
    make(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = bytearray(path.read_bytes())
    ends = np.cumsum([len(formats.SEGMENT_HEAD), *map(len, records())])
    for at in range(len(formats.SEGMENT_HEAD), len(whole)):
        whole[at] ^= 1 << (at % 8)
        path.write_bytes(whole)
        found, damaged = read(tmp_path)
        hit = int((ends <= at).sum()) - 1
        assert found == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]
        assert damaged == 1
        whole[at] ^= 1 << (at % 8)


class FullDisk(Files):
    """Takes so many bytes in all."""

    room = 1 << 30

    def append(self, file: int, parts: Sequence[bytes]) -> int:
        data = b"".join(parts)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return os.write(file, data)


def test_a_full_disk_takes_a_record_whole_or_not_at_all(tmp_path: Path) -> None:
    files = FullDisk()
    log = Log(tmp_path, files)
    log.start()
    stored = 0
    for room in range(0, 300, 7):
        files.room = room
        try:
            log.append(records()[:2], 0)
            stored += 1
        except OSError:
            continue
    assert 0 < stored < 43
    assert read(tmp_path) == (PAYLOADS[:2] * stored, 0)


class FailedSync(Files):
    """Fails the next sync."""

    def __init__(self) -> None:
        self.fail = False

    def sync(self, file: int) -> None:
        if self.fail:
            self.fail = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_after_a_failed_sync_nothing_is_appended(tmp_path: Path) -> None:
    files = FailedSync()
    log = Log(tmp_path, files)
    log.start()
    files.fail = True
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            log.append(records(), 0)
    assert log.broken


def test_old_segments_are_removed_whole(tmp_path: Path) -> None:
    log = Log(tmp_path, Files())
    for newest in (100, 300, 200):
        log.start()
        log.append(records(), newest)
    log.start()
    assert log.trim(250) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [formats.segment_name(n) for n in (2, 4)]


texts = st.text()
tags = st.lists(st.tuples(texts, texts)).map(tuple)
keys = st.builds(SeriesKey, st.builds(Place, texts, texts, texts), texts, tags)
samples = st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))


@given(st.lists(samples), st.lists(keys))
def test_samples_are_unpacked_as_they_were_packed(rows: list[tuple[int, int, float]], named: list[SeriesKey]) -> None:
    numbers, timestamps, values = zip(*rows, strict=True) if rows else ([], [], [])
    columns = Columns(np.array(numbers, np.uint32), np.array(timestamps, np.int64), np.array(values, np.float64))
    definitions = list(enumerate(named))
    found, names = formats.unpack_samples(formats.pack_samples(columns, definitions))
    assert names == definitions
    assert all((a == b).all() for a, b in zip(found, columns, strict=True))


@given(st.binary())
def test_other_payloads_are_damage_and_nothing_else(payload: bytes) -> None:
    for unpack in (formats.unpack_samples, formats.unpack_labels, formats.unpack_frequencies):
        try:
            unpack(payload)
        except Damaged:
            continue


def test_labels_are_unpacked_as_they_were_packed() -> None:
    labels = [Labels(Place("c", "h", "container", "ab"), (("pod", "web"), ("namespace", "shop")))]
    assert formats.unpack_labels(formats.pack_labels(labels)) == labels
