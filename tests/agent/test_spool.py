"""The spool: what goes in comes out, oldest first, within its limit, whatever happened to its files."""

import errno
import gzip
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from metricagent import spoolfile
from metricagent.books import Books
from metricagent.encoding import Encoding
from metricagent.spool import Batch, Spool, SpoolUnusable
from metricagent.spoolfile import Damaged, measure, pack, unpack

BIG = 1 << 20


def text(number: int, lines: int = 2) -> bytes:
    return b"".join(b"m,batch=%d value=%d\n" % (number, line) for line in range(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def reopen(folder: Path, books: Books) -> Callable[[], Spool]:
    def reopen() -> Spool:
        return Spool(folder, BIG, books)

    return reopen


def dropped(registry: CollectorRegistry, reason: str) -> float | None:
    return registry.get_sample_value("metricagent_samples_dropped_total", {"reason": reason})


def texts(batches: list[Batch]) -> list[bytes]:
    return [batch.packed.text() for batch in batches]


def waiting(spool: Spool) -> list[bytes]:
    """The texts of all batches, oldest first."""
    batches = spool.oldest(BIG) + spool.newest()
    spool.release(batches)
    return texts(batches)


def deliver(spool: Spool, batches: list[Batch]) -> None:
    """The store has taken them whole."""
    spool.settle(batches, rejected=0, too_large=0)


@given(st.binary(max_size=2000), st.sampled_from(Encoding))
def test_a_batch_comes_back(body: bytes, encoding: Encoding) -> None:
    samples = body.count(b"\n")
    data = pack(body, samples, encoding)
    assert unpack(data) == (encoding, samples, len(body), data[spoolfile.HEADER.size :])
    assert unpack(data).text() == body
    assert measure(data[: spoolfile.HEADER.size], len(data)) == (encoding, samples, len(body))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_batch_or_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        unpack(data)


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    packed = bytearray(pack(text(1), 2))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        unpack(bytes(packed))


@given(st.integers(0))
def test_a_cut_batch_is_noticed(length: int) -> None:
    packed = pack(text(1), 2)
    with pytest.raises(Damaged):
        unpack(packed[: length % len(packed)])


def test_batches_wait_in_order_and_survive_a_restart(
    reopen: Callable[[], Spool], registry: CollectorRegistry, folder: Path
) -> None:
    spool = reopen()
    for number in range(3):
        spool.append(text(number), 2)
    deliver(spool, spool.oldest(1))
    spool.close()
    spool = reopen()
    assert waiting(spool) == [text(1), text(2)]
    assert registry.get_sample_value("metricagent_samples_restored_total") == 4
    spool.append(text(3), 2)
    assert waiting(spool) == [text(1), text(2), text(3)]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    spool.close()


def test_at_least_one_batch_and_no_more_than_asked(reopen: Callable[[], Spool]) -> None:
    spool = reopen()
    for number in range(5):
        spool.append(text(number), 2)
    size = len(text(0))
    for most, count in ((0, 1), (1, 1), (size, 1), (2 * size, 2), (2 * size + 1, 2), (BIG, 4)):
        batches = spool.oldest(most)
        assert len(batches) == count
        spool.release(batches)
    spool.close()


def test_the_newest_goes_its_own_way(reopen: Callable[[], Spool]) -> None:
    spool = reopen()
    assert (spool.newest(), spool.oldest(BIG), spool.behind) == ([], [], False)
    spool.append(text(0), 2)
    assert spool.oldest(BIG) == []
    assert not spool.behind
    fresh = spool.newest()
    assert texts(fresh) == [text(0)]
    assert spool.newest() == [], "it is being sent"
    spool.append(text(1), 2)
    assert (spool.oldest(BIG), spool.behind) == ([], True)
    spool.release(fresh)
    assert texts(spool.oldest(BIG)) == [text(0)]
    assert texts(spool.newest()) == [text(1)]
    spool.close()
    spool = reopen()
    assert texts(spool.newest()) == [text(1)], "after a restart as well"
    spool.close()


def test_the_oldest_go_first_and_are_counted(
    folder: Path, books: Books, registry: CollectorRegistry, closes: Callable[[], bool]
) -> None:
    spool = Spool(folder, 3 * spoolfile.BLOCK, books)
    for number in range(5):
        books.took(2)
        spool.append(text(number), 2)
    assert waiting(spool) == [text(2), text(3), text(4)]
    assert dropped(registry, "spool-full") == 4
    assert registry.get_sample_value("metricagent_samples_spooled") == 6
    assert registry.get_sample_value("metricagent_spool_bytes") == 3 * spoolfile.BLOCK
    assert closes()
    spool.close()


def test_what_is_being_sent_is_not_dropped(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    spool = Spool(folder, 2 * spoolfile.BLOCK, books)
    spool.append(text(0), 2)
    sending = spool.newest()
    spool.append(text(1), 2)
    spool.append(text(2), 2)
    assert dropped(registry, "spool-full") == 2
    deliver(spool, sending)
    assert waiting(spool) == [text(2)]
    spool.close()


def test_what_was_given_up_while_it_was_sent_is_counted_once(
    folder: Path, books: Books, registry: CollectorRegistry, closes: Callable[[], bool]
) -> None:
    spool = Spool(folder, spoolfile.BLOCK, books)
    books.took(4)
    spool.append(text(0), 2)
    batches = spool.newest()
    spool.release(batches)
    spool.append(text(1), 2)
    spool.settle(batches, rejected=1, too_large=1)
    assert dropped(registry, "spool-full") == 2
    assert registry.get_sample_value("metricagent_samples_delivered_total") == 0
    assert closes()
    spool.close()


def test_a_batch_larger_than_the_spool_is_dropped(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    spool = Spool(folder, 10, books)
    spool.append(text(0), 2)
    assert len(spool) == 0
    assert dropped(registry, "spool-full") == 2
    spool.close()


def test_a_batch_larger_than_the_spool_costs_no_other(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    spool = Spool(folder, spoolfile.BLOCK, books)
    spool.append(text(0), 2)
    spool.append(os.urandom(2 * spoolfile.BLOCK) + b"\n", 1)
    assert waiting(spool) == [text(0)]
    assert dropped(registry, "spool-full") == 1
    spool.close()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda data: b"", 0),
        (lambda data: data[:10], 0),
        (lambda data: b"XXXX" + data[4:], 0),
        (lambda data: data[:4] + b"\x00\x02" + data[6:], 0),
        (lambda data: data[:-1], 0),
        (lambda data: data + data, 0),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), 2),
    ],
    ids=["emptied", "header cut", "other magic", "newer version", "cut", "doubled", "bit flipped"],
)
def test_a_damaged_file_costs_itself_alone(
    reopen: Callable[[], Spool], folder: Path, damage: Callable[[bytes], bytes], lost: int
) -> None:
    spool = reopen()
    for number in range(3):
        spool.append(text(number), 2)
    spool.close()
    victim = folder / spoolfile.name(2, spoolfile.BATCH)
    victim.write_bytes(damage(victim.read_bytes()))
    registry_of_the_restart = CollectorRegistry()
    spool = Spool(folder, BIG, Books(registry_of_the_restart))
    assert waiting(spool) == [text(0), text(2)]
    assert registry_of_the_restart.get_sample_value("metricagent_spool_damaged_files_total") == 1
    assert dropped(registry_of_the_restart, "damaged") == lost
    assert victim.with_suffix(spoolfile.DAMAGED).exists()
    spool.append(text(3), 2)
    assert waiting(spool)[-1] == text(3)
    spool.close()


def sealed(body: bytes, samples: int, length: int) -> bytes:
    """A batch whose checksum is right, whatever is in it."""
    checked = spoolfile.HEADER.pack(spoolfile.MAGIC, 1, 0, samples, length, len(body), 0)[:-4]
    return checked + zlib.crc32(body, zlib.crc32(checked)).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"no gzip at all", 9),
        (gzip.compress(text(1), mtime=0)[:-9], len(text(1))),
        (gzip.compress(text(1), mtime=0), len(text(1)) - 1),
        (gzip.compress(text(1), mtime=0), len(text(1)) + 1),
        (gzip.compress(text(1), mtime=0), 0),
        (gzip.compress(text(1, lines=3), mtime=0), len(text(1, lines=3))),
    ],
    ids=["no gzip", "cut", "longer", "shorter", "length 0", "other lines"],
)
def test_a_good_checksum_over_nonsense_costs_itself_alone(
    reopen: Callable[[], Spool], folder: Path, registry: CollectorRegistry, closes: Callable[[], bool], body: bytes, length: int
) -> None:
    folder.mkdir()
    victim = folder / spoolfile.name(1, spoolfile.BATCH)
    victim.write_bytes(sealed(body, 2, length))
    (folder / spoolfile.name(2, spoolfile.BATCH)).write_bytes(pack(text(2), 2))
    spool = reopen()
    assert waiting(spool) == [text(2)]
    assert dropped(registry, "damaged") == 2
    assert registry.get_sample_value("metricagent_spool_damaged_files_total") == 1
    assert victim.with_suffix(spoolfile.DAMAGED).exists()
    assert closes()
    spool.close()


def test_a_file_that_cannot_be_read_at_the_start_costs_itself_alone(
    reopen: Callable[[], Spool], folder: Path, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    for number in (1, 2):
        (folder / spoolfile.name(number, spoolfile.BATCH)).write_bytes(pack(text(number), 2))
    broken = iter([OSError(5, "Input/output error")])

    def measure_or_fail(header: bytes, size: int) -> tuple[int, int]:
        for error in broken:
            raise error
        return measure(header, size)

    monkeypatch.setattr(spoolfile, "measure", measure_or_fail)
    spool = reopen()
    assert waiting(spool) == [text(2)]
    assert registry.get_sample_value("metricagent_spool_damaged_files_total") == 1
    spool.close()


@pytest.mark.parametrize("name", ["f" * 16, "7" + "f" * 15, "8" + "0" * 15, "f" * 15 + "e"])
@pytest.mark.parametrize("suffix", [spoolfile.DAMAGED, spoolfile.BATCH, spoolfile.TMP])
def test_no_name_of_a_file_can_hide_later_batches(
    reopen: Callable[[], Spool], folder: Path, closes: Callable[[], bool], name: str, suffix: str
) -> None:
    folder.mkdir()
    (folder / (name + suffix)).write_bytes(pack(text(0), 2))
    wanted = {text(0)} if suffix == spoolfile.BATCH else set()
    for number in range(1, 4):
        spool = reopen()
        spool.append(text(number), 2)
        wanted.add(text(number))
        assert set(waiting(spool)) == wanted
        spool.close()
    assert all(len(path.stem) == 16 for path in folder.iterdir() if path.name != "lock")


def test_foreign_things_are_left_alone_and_said_once(
    reopen: Callable[[], Spool], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    for name in ("lost+found", spoolfile.name(0, ".tmp"), spoolfile.name(1, ".batch"), spoolfile.name(1, ".tmp"), "x.damaged"):
        (folder / name).mkdir()
    (folder / spoolfile.name(2, ".batch")).symlink_to("/dev/zero")
    os.mkfifo(folder / spoolfile.name(3, ".batch"))
    os.mkfifo(folder / spoolfile.name(4, ".damaged"))
    before = sorted(path.name for path in folder.iterdir())
    spool = reopen()
    assert [message.replace(str(folder), "F") for message in caplog.messages] == [
        f"spool F holds 8 things that are not this agent's; they are left alone: {', '.join(map(repr, before[:3]))} ..."
    ]
    for number in range(10, 16):
        spool.append(text(number), 2)
    assert waiting(spool) == [text(number) for number in range(10, 16)]
    deliver(spool, spool.oldest(BIG) + spool.newest())
    assert sorted(path.name for path in folder.iterdir() if path.name != "lock") == before
    spool.close()


def test_few_damaged_files_are_kept(reopen: Callable[[], Spool], folder: Path) -> None:
    folder.mkdir()
    for number in range(1, 11):
        (folder / spoolfile.name(number, spoolfile.BATCH)).write_bytes(b"?")
    spool = reopen()
    assert sorted(path.name for path in folder.glob("*.damaged")) == [f"{number:016x}.damaged" for number in (7, 8, 9, 10)]
    spool.close()


def test_half_written_and_foreign_files_are_no_batches(reopen: Callable[[], Spool], folder: Path) -> None:
    folder.mkdir()
    for name in (spoolfile.name(7, spoolfile.TMP), "notes.batch", "README", "ffffffff.batch"):
        (folder / name).write_bytes(b"?")
    spool = reopen()
    assert sorted(path.name for path in folder.iterdir()) == ["README", "ffffffff.batch", "lock", "notes.batch"]
    spool.close()


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_refuses_costs_nothing_while_memory_lasts(
    reopen: Callable[[], Spool],
    folder: Path,
    books: Books,
    registry: CollectorRegistry,
    closes: Callable[[], bool],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    spool = reopen()

    def append(number: int) -> None:
        books.took(2)
        spool.append(text(number), 2)
        assert closes()

    with monkeypatch.context() as patch:
        patch.setattr(spoolfile.os, "fdatasync", no_space)
        for number in range(4):
            append(number)
        assert registry.get_sample_value("metricagent_samples_in_memory") == 8
        assert [path.name for path in folder.iterdir()] == ["lock"]
        deliver(spool, spool.newest())
        assert waiting(spool) == [text(0), text(1), text(2)]
        assert closes()
        patch.setattr("metricagent.spool.MEMORY", 2 * len(pack(text(2), 2)))
        append(4)
        assert waiting(spool) == [text(2), text(4)]
        assert dropped(registry, "disk") == 4
    append(5)
    assert registry.get_sample_value("metricagent_samples_in_memory") == 0
    spool.close()
    spool = reopen()
    assert waiting(spool) == [text(2), text(4), text(5)], "on the disk, in order"
    assert [message.split("; ")[0].replace(str(folder), "F") for message in caplog.messages] == [
        "cannot write spool F: No space left on device",
        "spool F can be written again",
    ]
    spool.close()


def test_an_agent_starts_on_a_full_disk(
    reopen: Callable[[], Spool], registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen().close()
    with monkeypatch.context() as patch:
        patch.setattr(spoolfile, "probe", no_space)
        patch.setattr(spoolfile, "write", no_space)
        spool = reopen()
        spool.append(text(0), 2)
        assert waiting(spool) == [text(0)]
    spool.close()


def test_a_folder_that_cannot_be_synced_keeps_no_half_truth(
    reopen: Callable[[], Spool], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = reopen()
    with monkeypatch.context() as patch:
        patch.setattr(spoolfile, "sync", no_space)
        spool.append(text(0), 2)
    assert [path.name for path in folder.iterdir()] == ["lock"]
    spool.append(text(1), 2)
    assert waiting(spool) == [text(0), text(1)]
    spool.close()


def test_two_agents_cannot_share_it(reopen: Callable[[], Spool], folder: Path) -> None:
    spool = reopen()
    with pytest.raises(SpoolUnusable, match=r"cannot use spool .*: another agent uses it"):
        reopen()
    spool.close()
    reopen().close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, books: Books) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnusable, match=r"cannot write spool .*/file/spool: Not a directory"):
        Spool(tmp_path / "file/spool", BIG, books)


class SpoolMachine(RuleBasedStateMachine):
    """A spool against a list: any order of appending, delivering in two lanes, damage to files, a full disk and restarts."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.limit = 20 * spoolfile.BLOCK
        self.model: list[bytes] = []
        self.next = 1000
        self.full = False
        self.open()

    def open(self) -> None:
        self.registry = CollectorRegistry()
        self.books = Books(self.registry)
        self.spool = Spool(Path(self.folder.name), self.limit, self.books)

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        with mock.patch.object(spoolfile, "write", no_space if self.full else spoolfile.write):
            for _ in range(count):
                self.next += 1
                self.books.took(2)
                self.spool.append(text(self.next), 2)
                self.model.append(text(self.next))
        self.model = self.model[-20:]

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        self.full = full

    @rule(most=st.integers(0, 200), arrives=st.booleans(), late=st.booleans())
    def deliver(self, most: int, arrives: bool, late: bool) -> None:
        batches = self.spool.oldest(most) if late else self.spool.newest()
        assert texts(batches) == (self.model[: len(batches)] if late else self.model[len(self.model) - len(batches) :])
        if arrives:
            deliver(self.spool, batches)
            self.model = [body for body in self.model if body not in texts(batches)]
        else:
            self.spool.release(batches)

    @rule()
    def restart(self) -> None:
        files = {unpack(path.read_bytes()).text() for path in Path(self.folder.name).glob("*.batch")}
        self.model = [body for body in self.model if body in files]  # what was in memory alone is gone
        self.spool.close()
        self.open()

    @rule(which=st.integers(0))
    def damage(self, which: int) -> None:
        files = sorted(Path(self.folder.name).glob("*.batch"))
        if files:
            victim = files[which % len(files)]
            self.model.remove(unpack(victim.read_bytes()).text())
            victim.write_bytes(b"")
            waiting(self.spool)

    @invariant()
    def samples_are_counted(self) -> None:
        value = self.registry.get_sample_value
        spooled, in_memory = value("metricagent_samples_spooled"), value("metricagent_samples_in_memory")
        assert spooled + in_memory == 2 * len(self.model)  # type: ignore[operator]

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=20)
