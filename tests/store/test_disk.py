"""Log, names, checkpoint, blocks and their codec: what is read back, and what after a cut, a flipped bit, a full disk."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricstore.disk import blockfile, codec, formats
from metricstore.disk import rows as row_form
from metricstore.disk.blocks import Blocks, Stretch
from metricstore.disk.catalogue import FILES_MAX, Catalogue
from metricstore.disk.checkpoint import Checkpoint
from metricstore.disk.codec import SLOTS, Malformed
from metricstore.disk.files import Files
from metricstore.disk.formats import Block, Columns, Damaged, Freed, Identity, Kind, State
from metricstore.disk.log import Log
from metricstore.disk.quarantine import Quarantine
from metricstore.disk.records import Payload
from metricwire.samples import Labels, Place, SeriesKey

PAYLOADS = [bytes([n]) * (50 + n) for n in range(6)]
LENGTHS = [formats.RECORD_HEAD.size + len(payload) for payload in PAYLOADS]
ENDS = np.cumsum([0, *LENGTHS])


class Unsynced(Files):
    """Does not wait for the disk."""

    def sync(self, file: int) -> None:
        pass


def records() -> list[Payload]:
    return [Payload(Kind.LABELS, payload) for payload in PAYLOADS]


def segment(directory: Path) -> Path:
    """The file of a segment that holds the records."""
    log = Log(directory, Files())
    log.begin([])
    log.append(records())
    log.close()
    (path,) = directory.glob("*.log")
    return path


def read(directory: Path) -> tuple[list[bytes], int]:
    """Payloads in the log, and how many places could not be read."""
    damages: list[str] = []
    found = [record.payload for record in Log(directory, Files(), on_damage=damages.append).replay()]
    return found, len(damages)


# The log


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    segment(tmp_path)
    log = Log(tmp_path, Files())
    list(log.replay())
    assert log.begin([Payload(Kind.LABELS, b"state")]) == 2
    log.append([Payload(Kind.LABELS, b"more")])
    assert read(tmp_path) == ([*PAYLOADS, b"state", b"more"], 0)
    assert len(list(tmp_path.iterdir())) == 2, "every start begins a segment of its own"


def test_a_file_cut_anywhere_loses_only_what_was_cut(tmp_path: Path) -> None:
    path = segment(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read(tmp_path) == (PAYLOADS[: int((size >= ENDS).sum()) - 1], size not in ENDS)


def test_a_flipped_bit_costs_one_record(tmp_path: Path) -> None:
    path = segment(tmp_path)
    whole = bytearray(path.read_bytes())
    for at in range(len(whole)):
        whole[at] ^= 1 << (at % 8)
        path.write_bytes(whole)
        hit = int((at >= ENDS).sum()) - 1
        assert read(tmp_path) == (PAYLOADS[:hit] + PAYLOADS[hit + 1 :], 1)
        whole[at] ^= 1 << (at % 8)


def test_a_bad_sector_costs_the_records_that_it_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, preadv, sector = Log(tmp_path, Files()), os.preadv, range(8192, 12288)
    payloads = [bytes([n]) * 1000 for n in range(40)]
    log.begin([])
    log.append([Payload(Kind.LABELS, payload) for payload in payloads])
    log.close()

    def failing(file: int, into: Sequence[memoryview], at: int) -> int:
        if at < sector.stop and at + len(into[0]) > sector.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(file, into, at)

    monkeypatch.setattr(os, "preadv", failing)
    long = formats.RECORD_HEAD.size + 1000
    kept = [one for n, one in enumerate(payloads) if (n + 1) * long <= sector.start or n * long >= sector.stop]
    assert read(tmp_path) == (kept, 1)


def test_bytes_that_a_client_sent_are_never_taken_for_a_record(tmp_path: Path) -> None:
    forged = formats.record(formats.NO_MARKER, Kind.LABELS, b"forged")
    log = Log(tmp_path, Files())
    log.begin([])
    log.append([Payload(Kind.LABELS, forged), *records()])
    log.close()
    (path,) = tmp_path.glob("*.log")
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    assert read(tmp_path) == (PAYLOADS, 1)


@pytest.mark.parametrize(
    "name", ["5.log", "00000000000000000009.log", "x.log", "notes.txt", "00000000000000000009-0011223344556677.log/"]
)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    segment(tmp_path)
    stranger = tmp_path / name.rstrip("/")
    stranger.mkdir() if name.endswith("/") else stranger.write_bytes(b"hello")
    assert read(tmp_path) == (PAYLOADS, 0)
    log = Log(tmp_path, Files())
    list(log.replay())
    log.trim(log.begin([]))
    log.close()
    assert stranger.exists()
    assert read(tmp_path) == ([], 0)


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
            log.append(records()[:2])
            stored += 1
        except OSError:
            continue
    assert 0 < stored < 43
    assert read(tmp_path) == (PAYLOADS[:2] * stored, 0)


def test_a_segment_that_cannot_be_begun_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    files = FullDisk()
    log = Log(tmp_path, files)
    log.begin([])
    log.append(records())
    for room in (0, 20):
        files.room = room
        with pytest.raises(OSError, match="No space left"):
            log.begin(records())
    files.room = 1 << 30
    log.append(records())
    assert read(tmp_path) == (PAYLOADS * 2, 0)
    assert len(list(tmp_path.iterdir())) == 1


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
            log.append(records())
    with pytest.raises(OSError, match="Input/output error"):
        log.begin([])
    assert log.broken


def test_old_segments_are_removed_whole(tmp_path: Path) -> None:
    log = Log(tmp_path, Files())
    for _ in range(3):
        log.begin([])
        log.append(records())
    next(tmp_path.glob("*1-*.log")).unlink()  # by hand
    assert log.trim(3) == 1
    assert [int(path.name[:20]) for path in tmp_path.iterdir()] == [3]


def test_what_a_new_segment_repeats_does_not_fill_it(tmp_path: Path) -> None:
    log = Log(tmp_path, Files(), segment_bytes=200)
    log.begin(records() * 10)
    assert (log.full, log.grown) == (False, 0)
    log.append(records())
    assert (log.full, log.grown) == (True, ENDS[-1])


# Payloads

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
    assert [np.asarray(column).tobytes() for column in found] == [np.asarray(column).tobytes() for column in columns]
    assert sorted(formats.unpack_series(formats.pack_series(enumerate(named)))) == list(enumerate(named))


@given(st.binary())
def test_other_payloads_are_damage_and_nothing_else(payload: bytes) -> None:
    for unpack in (
        formats.unpack_samples, formats.unpack_series, formats.unpack_labels, formats.unpack_frequencies, formats.unpack_freed,
        formats.unpack_state, formats.unpack_identity,
    ):  # fmt: skip
        try:
            unpack(payload)
        except Damaged:
            continue


@given(st.lists(st.integers(0, 2**32 - 1)), st.integers(-(2**63), 2**63 - 1), texts)
def test_what_else_is_packed_is_unpacked(numbers: list[int], time: int, text: str) -> None:
    labels = [Labels(Place("c", "h", "container", "ab"), (("pod", text), (text, "shop")))]
    assert formats.unpack_labels(formats.pack_labels(labels)) == labels
    assert formats.unpack_frequencies(formats.pack_frequencies({text: 60})) == {text: 60}
    freed = formats.unpack_freed(formats.pack_freed(Freed(np.array(numbers, np.int64), time)))
    assert (freed.numbers.tolist(), freed.before) == (numbers, time)
    identity = Identity(formats.FORMAT, text)
    assert formats.unpack_identity(formats.pack_identity(identity)) == identity


# Names


@pytest.fixture
def damages() -> list[str]:
    return []


Named = list[tuple[int, SeriesKey]]


def named(*numbers: int) -> Named:
    return [(number, SeriesKey(Place("c", f"h{number}"), "m")) for number in numbers]


def names_in(directory: Path, damages: list[str]) -> Named:
    return [one for part in Catalogue(directory, Files(), damages.append).read() for one in part]


def test_names_are_kept_twice_so_no_damage_takes_one(tmp_path: Path, damages: list[str]) -> None:
    catalogue = Catalogue(tmp_path, Files())
    for number in range(4):
        catalogue.append(named(number))
    catalogue.close()
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for damaged in (b"", content[:-1], content[: len(content) // 2], b"\0" * 10 + content[10:], bytes(len(content))):
            path.write_bytes(damaged)
            assert sorted(names_in(tmp_path, damages)) == named(*range(4))
        assert damages
        path.unlink()
        assert sorted(names_in(tmp_path, damages)) == named(*range(4))
        path.write_bytes(content)


def test_names_of_any_length_are_read_again(tmp_path: Path, damages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "RECORD_LONGEST", 100)
    catalogue = Catalogue(tmp_path, Files())
    catalogue.append(named(*range(50)))
    with pytest.raises(OSError, match=r"a record of 1[0-9]+ bytes would not be read again"):
        catalogue.append([(50, SeriesKey(Place("c", "h" * 100), "m"))])
    catalogue.append(named(51))
    catalogue.close()
    assert names_in(tmp_path, damages) == named(*range(50), 51)
    assert not damages


def test_names_are_written_anew_whole(tmp_path: Path, damages: list[str]) -> None:
    for number in range(FILES_MAX + 1):
        catalogue = Catalogue(tmp_path, Files())
        list(catalogue.read())
        catalogue.append(named(number))
        catalogue.close()
    assert catalogue.wasteful(FILES_MAX)
    catalogue.rewrite(named(3, 5))
    catalogue.append(named(99))
    catalogue.close()
    assert names_in(tmp_path, damages) == named(3, 5, 99)
    assert len(list(tmp_path.iterdir())) == 2
    assert not catalogue.wasteful(3)


def test_names_that_cannot_be_written_anew_stay(tmp_path: Path, damages: list[str]) -> None:
    files = FullDisk()
    catalogue = Catalogue(tmp_path, files)
    catalogue.append(named(1, 2))
    for room in (0, 20, 40):
        files.room = room
        with pytest.raises(OSError, match="No space left"):
            catalogue.rewrite(named(1))
        assert dict(names_in(tmp_path, damages)) == dict(named(1, 2))
    files.room = 1 << 30
    catalogue.append(named(7))
    catalogue.close()
    assert dict(names_in(tmp_path, damages)) == dict(named(1, 2, 7))
    assert not damages


# Checkpoint


def state(given_numbers: int = 9) -> State:
    numbers = np.array([1, 4, 8])
    step, phase = np.array([10, 60, 10], np.int32), np.array([3, 59, 0], np.int32)
    first, last = np.array([-(2**62), 0, 7]), np.array([2**62, 0, 8])
    return State(5, given_numbers, numbers, step, phase, first, last, np.array([0, 1, 0], np.uint8))


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path, damages: list[str]) -> None:
    checkpoint = Checkpoint(tmp_path, Files(), damages.append)
    assert checkpoint.read() is None
    checkpoint.write(state(8))
    checkpoint.write(state())
    found = checkpoint.read()
    assert found is not None
    assert [np.asarray(column).tolist() for column in found] == [np.asarray(column).tolist() for column in state()]
    assert not damages


def test_a_damaged_checkpoint_is_none(tmp_path: Path, damages: list[str]) -> None:
    checkpoint = Checkpoint(tmp_path, Files(), damages.append)
    checkpoint.write(state())
    content = (tmp_path / "checkpoint").read_bytes()
    for at in range(len(content)):
        (tmp_path / "checkpoint").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert checkpoint.read() is None
        assert len(damages) == at + 1


# Blocks


@pytest.fixture
def blocks(tmp_path: Path, damages: list[str]) -> Callable[[], Blocks]:
    """Opens the blocks of the folder, as a start does."""
    (tmp_path / "blocks").mkdir()

    def make() -> Blocks:
        quarantine = Quarantine(tmp_path / "quarantine", Unsynced(), 10**9)
        found = Blocks(tmp_path / "blocks", quarantine, Unsynced(), damages.append)
        found.scan()
        return found

    return make


NUMBERS = np.array([0, 5, 127, 128, 700])


def chunks(block: Block) -> dict[int, bytes]:
    values = np.arange(float(len(NUMBERS) * SLOTS)).reshape(-1, SLOTS)
    values[1, 1:] = np.nan
    phases = np.arange(len(NUMBERS), dtype=np.int32)
    return row_form.encode(block, row_form.of_window(block.window, NUMBERS, phases, values))


@pytest.mark.parametrize("key", [(10, 0), (10, -3), (86400, 2**40), (1, -(2**62))])
def test_blocks_are_found_and_read(blocks: Callable[[], Blocks], key: tuple[int, int], damages: list[str]) -> None:
    block, stretch = Block(*key), Stretch(*key)
    blocks().write(block, chunks(block))
    found = blocks()
    assert found.stretches() == [stretch]
    assert key in found
    assert list(found.raw(block)) == [0, 1, 5]
    rows = found.read(stretch, np.array([3, 5, 128, 701]))
    assert (rows.numbers.tolist(), rows.phases.tolist()) == ([5, 128], [1, 3])
    assert rows.windows.tolist() == [key[1]] * 2
    assert np.isnan(rows.values[0, 1:]).all()
    assert rows.values[1, 0] == 3 * SLOTS
    assert np.concatenate([part.numbers for part in found.all(stretch)]).tolist() == NUMBERS.tolist()
    found.write(block, {})
    assert blocks().stretches() == []
    assert not damages


def test_a_damaged_block_costs_a_chunk_or_itself(blocks: Callable[[], Blocks], tmp_path: Path, damages: list[str]) -> None:
    block = Block(10, 7)
    blocks().write(block, chunks(block))
    path = tmp_path / "blocks" / block.name
    content = path.read_bytes()
    table = formats.BLOCK_HEAD.size + 12 * 3
    for at in range(len(content)):
        damages.clear()
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found = blocks()
        for _ in range(2):
            numbers = found.read(Stretch(10, 7), NUMBERS).numbers.tolist()
        if at < table:
            assert (numbers, found.stretches(), path.exists()) == ([], [], False)
            assert (tmp_path / "quarantine" / path.name).exists()
        else:
            assert numbers in ([128, 700], [0, 5, 127, 700], [0, 5, 127, 128])
        assert len(damages) == 1


@pytest.mark.parametrize("bad", ["head", "table", "chunk"])
def test_a_bad_sector_costs_a_chunk_or_a_block(
    blocks: Callable[[], Blocks], tmp_path: Path, damages: list[str], monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    block, pread, error = Block(10, 7), os.pread, [errno.EMFILE]
    content = blockfile.content(block, chunks(block))
    blocks().write(block, chunks(block))
    at = {"head": 3, "table": len(content[0]) + 3, "chunk": len(b"".join(content)) - 3}[bad]

    def failing(file: int, size: int, offset: int) -> bytes:
        if offset <= at < offset + size:
            raise OSError(error[0], os.strerror(error[0]))
        return pread(file, size, offset)

    found = blocks()
    found.close()
    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(OSError, match="Too many open files"):
        found.read(Stretch(10, 7), NUMBERS)
    error[0] = errno.EIO
    for _ in range(2):
        numbers = found.read(Stretch(10, 7), NUMBERS).numbers.tolist()
    assert numbers == ([0, 5, 127, 128] if bad == "chunk" else [])
    found.write(block, found.raw(block))
    monkeypatch.undo()
    assert (tmp_path / "quarantine" / block.name).read_bytes() == b"".join(content)
    assert found.read(Stretch(10, 7), NUMBERS).numbers.tolist() == numbers
    assert len(damages) == 1
    assert "Input/output error" in damages[0]


def test_what_is_no_block_or_another_ones_is_set_aside(
    blocks: Callable[[], Blocks], tmp_path: Path, damages: list[str]
) -> None:
    block, other = Block(10, 7), tmp_path / "blocks" / Block(10, 8).name
    blocks().write(block, chunks(block))
    whole = (tmp_path / "blocks" / block.name).read_bytes()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for content in (b"", b"MXB1", whole[:30], bytes(100), whole):
        other.write_bytes(content)
        assert blocks().stretches() == [Stretch(10, 7)]
    assert len(damages) == 5
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors, "each is closed, once"
    other.with_suffix(".block.tmp").write_bytes(whole)
    strangers = ["notes.txt", block._replace(windows=3).name, block._replace(part=1).name, block._replace(frequency=0).name]
    for name in strangers:
        (tmp_path / "blocks" / name).write_bytes(b"")
    assert blocks().stretches() == [Stretch(10, 7)]
    assert {path.name for path in (tmp_path / "blocks").iterdir()} == {block.name, *strangers}


# The codec

numbers64 = st.floats(allow_nan=False)
rows = st.one_of(
    st.lists(numbers64 | st.just(float("nan")), min_size=SLOTS, max_size=SLOTS),
    st.lists(numbers64 | st.just(float("nan")), min_size=1, max_size=3).map(lambda few: (few * SLOTS)[:SLOTS]),
    st.tuples(st.integers(-(2**52), 2**52), st.integers(-1000, 1000), st.integers(0, 18)).map(
        lambda line: [(line[0] + n * line[1]) / 10.0 ** line[2] for n in range(SLOTS)]
    ),
    st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 3)).map(lambda value: round(value[0] / 1000, value[1])),
        min_size=SLOTS,
        max_size=SLOTS,
    ),
    st.sampled_from(
        [[0.0] * SLOTS, [-0.0] * SLOTS, [5e-324] * SLOTS, [float("nan")] * SLOTS, [float("inf"), -1.5] * (SLOTS // 2)]
    ),
)
chunk_rows = st.lists(rows, min_size=1, max_size=12)


def encoded(found: Sequence[Sequence[float]], members: Sequence[int]) -> tuple[codec.Rows, bytes]:
    phases = np.array([member * 7919 - 2**30 for member in members], np.int32)
    whole = codec.Rows(np.array(members, np.uint8), phases, np.array(found, np.float64))
    return whole, codec.encode(whole)


@given(chunk_rows, st.randoms(use_true_random=False))
def test_any_values_are_decoded_bit_for_bit(found: list[list[float]], rng: "np.random.Generator") -> None:
    members = sorted(rng.sample(range(256), len(found)))  # type: ignore[attr-defined]
    whole, chunk = encoded(found, members)
    wanted = sorted(rng.sample(range(256), 20) + members[:2])  # type: ignore[attr-defined]
    for asked in (None, wanted, []):
        decoded = codec.decode(chunk, asked)
        kept = [at for at, member in enumerate(members) if asked is None or member in asked]
        assert decoded.member.tolist() == [members[at] for at in kept]
        assert decoded.phase.tolist() == whole.phase[kept].tolist()
        missing = np.isnan(whole.values[kept])
        assert (np.isnan(decoded.values) == missing).all()
        assert decoded.values[~missing].tobytes() == whole.values[kept][~missing].tobytes()


@pytest.mark.parametrize("count", [1, 2, 127, 128, 255, 256])
def test_chunks_of_any_size_are_decoded(count: int) -> None:
    made = np.random.default_rng(count)
    values = np.round(made.normal(0, 1e3, (count, SLOTS)), made.integers(0, 5)) * 10.0 ** made.integers(-300, 300)
    values[made.random(values.shape) < 0.1] = np.nan
    whole, chunk = encoded(values.tolist(), range(count))
    assert codec.decode(chunk).values.tobytes() == codec.decode(codec.encode(codec.decode(chunk))).values.tobytes()
    found = codec.decode(chunk).values
    assert ((found == whole.values) | (np.isnan(found) & np.isnan(whole.values))).all()


def test_values_of_different_decimals_take_little_more_than_they_must() -> None:
    made = np.random.default_rng(1)
    values = [[round(made.uniform(100, 1000), made.integers(1, 4)) for _ in range(SLOTS)] for _ in range(128)]
    _, chunk = encoded(values, range(128))
    assert len(chunk) / (128 * SLOTS) < 2.45, "no codec needs less than 2.21 bytes for each"


def decode_or_refuse(chunk: bytes) -> None:
    try:
        codec.decode(chunk)
        codec.decode(chunk, [1, 200])
    except Malformed:
        pass


@given(st.binary(max_size=200))
def test_bytes_that_are_no_chunk_are_refused(chunk: bytes) -> None:
    decode_or_refuse(chunk)


@given(chunk_rows, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3), st.integers(0))
def test_a_damaged_chunk_is_refused_or_decoded_and_nothing_else(
    found: list[list[float]], changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(encoded(found, range(len(found)))[1])
    for at, value in changes:
        damaged[at % len(damaged)] = value
    decode_or_refuse(bytes(damaged))
    decode_or_refuse(bytes(damaged[: cut % len(damaged)]))
