"""The spool: what goes in comes out, oldest first, within its limit, whatever happened to its files."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from metricagent import spoolfile
from metricagent.books import Books
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
    return [batch.text for batch in batches]


@given(st.binary(max_size=2000), st.integers(0, 2**32 - 1))
def test_a_batch_comes_back(body: bytes, samples: int) -> None:
    data = pack(body, samples)
    assert unpack(data) == body
    assert measure(data[: spoolfile.HEADER.size], len(data)) == (samples, len(body))


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
    spool.remove(spool.oldest(1))
    spool.close()
    spool = reopen()
    assert texts(spool.oldest(BIG)) == [text(1), text(2)]
    assert registry.get_sample_value("metricagent_samples_restored_total") == 4
    spool.append(text(3), 2)
    assert texts(spool.oldest(BIG)) == [text(1), text(2), text(3)]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    spool.close()


def test_at_least_one_batch_and_no_more_than_asked(reopen: Callable[[], Spool]) -> None:
    spool = reopen()
    for number in range(4):
        spool.append(text(number), 2)
    size = len(text(0))
    assert [len(spool.oldest(most)) for most in (0, 1, size, 2 * size, 2 * size + 1, BIG)] == [1, 1, 1, 2, 2, 4]
    spool.close()


def test_the_oldest_go_first_and_are_counted(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    size = len(pack(text(0), 2))
    spool = Spool(folder, 3 * size, books)
    for number in range(5):
        spool.append(text(number), 2)
    assert texts(spool.oldest(BIG)) == [text(2), text(3), text(4)]
    assert dropped(registry, "spool-full") == 4
    assert registry.get_sample_value("metricagent_samples_spooled") == 6
    spool.close()


def test_what_is_being_sent_is_not_dropped(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    spool = Spool(folder, 2 * len(pack(text(0), 2)), books)
    spool.append(text(0), 2)
    (sending,) = spool.oldest(1)
    spool.append(text(1), 2)
    spool.append(text(2), 2)
    assert dropped(registry, "spool-full") == 2
    spool.remove([sending])
    assert texts(spool.oldest(BIG)) == [text(2)]
    spool.close()


def test_a_batch_larger_than_the_spool_is_dropped(folder: Path, books: Books, registry: CollectorRegistry) -> None:
    spool = Spool(folder, 10, books)
    spool.append(text(0), 2)
    assert len(spool) == 0
    assert dropped(registry, "spool-full") == 2
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
    assert texts(spool.oldest(BIG)) == [text(0), text(2)]
    assert registry_of_the_restart.get_sample_value("metricagent_spool_damaged_files_total") == 1
    assert dropped(registry_of_the_restart, "damaged") == lost
    assert victim.with_suffix(spoolfile.DAMAGED).exists()
    spool.append(text(3), 2)
    assert texts(spool.oldest(BIG))[-1] == text(3)
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
    assert texts(spool.oldest(BIG)) == [text(2)]
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
    assert texts(spool.oldest(BIG)) == [text(2)]
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
        assert set(texts(spool.oldest(BIG))) == wanted
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
    assert texts(spool.oldest(BIG)) == [text(number) for number in range(10, 16)]
    spool.remove(spool.oldest(BIG))
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


def test_a_disk_that_refuses_costs_samples_but_not_the_agent(
    reopen: Callable[[], Spool],
    folder: Path,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    spool = reopen()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spoolfile.os, "fdatasync", full)
        for number in range(2):
            spool.append(text(number), 2)
    spool.append(text(2), 2)
    assert texts(spool.oldest(BIG)) == [text(2)]
    assert dropped(registry, "disk") == 4
    assert [path.suffix for path in folder.iterdir() if path.name != "lock"] == [".batch"]
    assert [message.split("; ")[0].replace(str(folder), "F") for message in caplog.messages] == [
        "cannot write spool F: No space left on device",
        "spool F can be written again",
    ]
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
    """A spool against a list: any order of appending, delivering, damage to files and restarts."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.limit = 20 * len(pack(text(1000), 2))
        self.registry = CollectorRegistry()
        self.spool = Spool(Path(self.folder.name), self.limit, Books(self.registry))
        self.model: list[bytes] = []
        self.next = 1000

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.next += 1
            self.spool.append(text(self.next), 2)
            self.model.append(text(self.next))
            if sum(len(pack(body, 2)) for body in self.model) > self.limit:
                self.model.pop(0)

    @rule(most=st.integers(0, 200), arrives=st.booleans())
    def deliver(self, most: int, arrives: bool) -> None:
        batches = self.spool.oldest(most)
        assert texts(batches) == self.model[: len(batches)]
        if arrives:
            self.spool.remove(batches)
            del self.model[: len(batches)]
        else:
            self.spool.remove([])

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.registry = CollectorRegistry()
        self.spool = Spool(Path(self.folder.name), self.limit, Books(self.registry))

    @rule(which=st.integers(0))
    def damage(self, which: int) -> None:
        files = sorted(Path(self.folder.name).glob("*.batch"))
        if files:
            files[which % len(files)].write_bytes(b"")
            del self.model[which % len(files)]
            self.spool.oldest(1 << 20)
            self.spool.remove([])

    @invariant()
    def samples_are_counted(self) -> None:
        assert self.registry.get_sample_value("metricagent_samples_spooled") == 2 * len(self.model)

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=20)
