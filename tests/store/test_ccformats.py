"""Files of a retired cc-metric-store: those that a real one (1.5.4) wrote, and made-up ones, whole and damaged."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import arro3.core as arrow
import numpy as np
import pytest
from arro3.io import write_parquet
from hypothesis import given
from hypothesis import strategies as st

from metricstore.disk.formats import Damaged
from metricstore.legacy import folder, snapshots, wal
from metricstore.legacy.levels import Series, place
from metricwire.lineprotocol import Limits, parse_head
from metricwire.samples import Place, SeriesKey

GOLDEN = Path(__file__).parents[1] / "golden" / "cc-metric-store-files.tar.gz"
Found = dict[tuple[tuple[str, ...], str, int], float]
SELECTORS = [(), ("hwthread0",), ("socket1",), ("accelerator00000000:49:00.0",), ("socket0", "filesystem/var")]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(made, filter="data")
    return made


def found(series: Iterable[Series]) -> Found:
    """Samples by path, metric and time."""
    return {
        ((*one.key.place.path,), one.key.metric, stamp): value
        for one in series
        for stamp, value in zip(one.timestamps.tolist(), one.values.tolist(), strict=True)
    }


def sent(golden: Path) -> Found:
    samples = json.loads((golden / "sent.json").read_text())
    heads = [(f"{metric},cluster=fritz,hostname={host}{tags}", value, stamp) for metric, host, tags, value, stamp in samples]
    keys = [(parse_head(head.encode(), "", Limits()), value, stamp) for head, value, stamp in heads]
    return {(key.place.path, key.metric, stamp): value for key, value, stamp in keys}


def read_all(path: Path) -> Found:
    return {key: value for source in folder.find(path) for key, value in found(folder.read(source)).items()}


@pytest.mark.parametrize("kind", ["bin", "wal"])
def test_what_a_real_one_wrote_is_what_it_was_sent(golden: Path, kind: str) -> None:
    assert read_all(golden / kind) == sent(golden / kind)


def test_its_json_has_one_decimal(golden: Path) -> None:
    wanted = sent(golden / "json")
    got = read_all(golden / "json")
    assert got.keys() == wanted.keys()
    assert all(abs(got[key] - wanted[key]) <= 0.0501 for key in wanted)


def test_its_parquet_forgets_what_a_sublevel_is_below_of(golden: Path) -> None:
    wanted = {
        ((*path[:2], *path[-1:][len(path) == 2 :]), *more): value for (path, *more), value in sent(golden / "parquet").items()
    }
    assert read_all(golden / "parquet") == wanted


def test_types_and_ids_are_told_apart(golden: Path) -> None:
    keys = {one.key for source in folder.find(golden / "bin") for one in folder.read(source)}
    assert SeriesKey(Place("fritz", "n1", "accelerator", "00000000:49:00.0"), "mem_bw") in keys
    assert SeriesKey(Place("fritz", "n1", "socket", "0", "filesystem", "/var"), "load_one") in keys


@pytest.mark.parametrize(
    ("level", "kind", "number"),
    [
        ("hwthread12", "hwthread", "12"),
        ("nic3", "nic", "3"),
        ("memoryDomain0", "memoryDomain", "0"),
        ("odd", "odd", ""),
        ("7", "7", ""),
    ],
)
def test_a_level_keeps_its_path(level: str, kind: str, number: str) -> None:
    where = place("c", "h", [level])
    assert (where.type, where.type_id) == (kind, number)
    assert where.path == ("c", "h", level)


def metric(start: int = 100, frequency: int = 10, data: Iterable[float | None] = (1.5, None, 2.0)) -> dict[str, Any]:
    return {"frequency": frequency, "start": start, "data": list(data)}


def as_json(level: dict[str, Any]) -> bytes:
    return json.dumps({"from": 0, "to": 0, **level}).encode()


def as_binary(level: dict[str, Any]) -> bytes:
    def text(name: str) -> bytes:
        return struct.pack("<H", len(name.encode())) + name.encode()

    def one(level: dict[str, Any]) -> bytes:
        parts = [struct.pack("<I", len(level.get("metrics", {})))]
        for name, m in level.get("metrics", {}).items():
            data = [np.nan if value is None else value for value in m["data"]]
            parts += [text(name), struct.pack("<qqI", m["frequency"], m["start"], len(data)), np.array(data, "<f4").tobytes()]
        parts.append(struct.pack("<I", len(level.get("children", {}))))
        parts += [text(name) + one(child) for name, child in level.get("children", {}).items()]
        return b"".join(parts)

    return struct.pack("<Iqq", snapshots.BINARY_MAGIC, 0, 0) + one(level)


def as_log(records: Iterable[tuple[str, tuple[str, ...], int, float]]) -> bytes:
    made = [wal.FILE_MAGIC]
    for name, levels, stamp, value in records:
        payload = struct.pack("<qH", stamp, len(name.encode())) + name.encode() + bytes([len(levels)])
        payload += b"".join(bytes([len(level.encode())]) + level.encode() for level in levels) + struct.pack("<f", value)
        made.append(wal.RECORD_MAGIC + struct.pack("<I", len(payload)) + payload + struct.pack("<I", zlib.crc32(payload)))
    return b"".join(made)


LEVEL = {"metrics": {"load": metric()}, "children": {"core1": {"metrics": {"ipc": metric(data=[0.1])}, "children": {}}}}
WANTED = {(("c", "h"), "load", 100): 1.5, (("c", "h"), "load", 120): 2.0, (("c", "h", "core1"), "ipc", 100): 0.1}


def test_both_forms_of_a_checkpoint_hold_the_same() -> None:
    assert found(snapshots.from_json(as_json(LEVEL), "c", "h")) == WANTED
    assert found(snapshots.from_binary(as_binary(LEVEL), "c", "h")) == WANTED
    assert found(snapshots.from_json(b'{"metrics":null,"children":null}', "c", "h")) == {}


@pytest.mark.parametrize(
    "level",
    [
        {"metrics": {"load": metric(frequency=0)}},
        {"metrics": {"load": metric(frequency=-1)}},
        {"metrics": {"load": metric(start=2**62)}},
        {"children": {"a": {"children": {"b": {"children": {"c": {}}}}}}},
    ],
)
def test_a_checkpoint_that_cannot_be_is_damaged(level: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        found(snapshots.from_json(as_json(level), "c", "h"))
    with pytest.raises(Damaged):
        found(snapshots.from_binary(as_binary(level), "c", "h"))


def until_damage(series: Iterable[Series]) -> list[Series]:
    got = []
    try:
        for one in series:
            got.append(one)  # noqa: PERF402 what came before the damage counts
    except Damaged:
        pass
    return got


@given(st.integers(0, 200))
def test_a_binary_checkpoint_cut_short_gives_what_is_whole(kept: int) -> None:
    whole = as_binary(LEVEL)
    assert found(until_damage(snapshots.from_binary(whole[:kept], "c", "h"))).items() <= WANTED.items()


@given(st.binary(max_size=100), st.sampled_from([b"", struct.pack("<I", snapshots.BINARY_MAGIC), wal.FILE_MAGIC, b"{"]))
def test_any_bytes_are_samples_or_damage(data: bytes, front: bytes) -> None:
    for read in (snapshots.from_json, snapshots.from_binary, wal.read):
        until_damage(read(front + data, "c", "h"))


RECORDS = [("load", levels, 100 + number, number / 10) for number in range(50) for levels in SELECTORS]
LOGGED = {(("c", "h", *levels), name, stamp): value for name, levels, stamp, value in RECORDS}


def test_a_log_gives_exact_times_and_the_decimals_that_were_sent() -> None:
    assert found(wal.read(as_log(RECORDS), "c", "h")) == LOGGED
    assert found(wal.read(b"", "c", "h")) == {}


def test_records_behind_a_damaged_one_are_read() -> None:
    whole = as_log(RECORDS)
    for at in range(4, len(whole), 97):
        broken = whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :]
        got = found(until_damage(wal.read(broken, "c", "h")))
        assert got.items() <= LOGGED.items()
        assert len(got) == len(LOGGED) - 1
        with pytest.raises(Damaged, match="no records"):
            list(wal.read(broken, "c", "h"))


def test_files_are_found_below_any_folder_and_read_in_order(tmp_path: Path) -> None:
    host = tmp_path / "checkpoints" / "fritz" / "n1"
    packed = tmp_path / "archive" / "fritz" / "n1"
    for made in (host, packed, packed / "60"):
        made.mkdir(parents=True)
    (host / "200.json").write_bytes(as_json(LEVEL))
    (host / "100.bin").write_bytes(as_binary(LEVEL))
    (host / "100.bin.tmp").write_bytes(b"")
    (host / "notes.json").write_bytes(b"{}")
    (host / "300.json").symlink_to("/etc/passwd")
    (host / "current.wal").write_bytes(as_log([("load", (), 100, 9.0)]))
    with zipfile.ZipFile(packed / "90.zip", "w") as archive:
        archive.writestr("80.json", as_json({"metrics": {"load": metric(start=80, data=[8.0])}}))
        archive.writestr("85.json", b"[")
    (packed / "60" / "70.avro").write_bytes(b"Obj")
    sources = folder.find(tmp_path)
    assert [source.path.name for source in sources] == ["90.zip", "70.avro", "200.json", "100.bin", "current.wal"]
    with pytest.raises(Damaged, match=r"85\.json"):
        list(folder.read(sources[0]))
    assert found(until_damage(folder.read(sources[0]))) == {(("fritz", "n1"), "load", 80): 8.0}
    with pytest.raises(Damaged, match="Avro"):
        list(folder.read(sources[1]))
    assert found(folder.read(sources[4])) == {(("fritz", "n1"), "load", 100): 9.0}
    assert [source.path for source in folder.find(host)] == [source.path for source in sources[2:]]


def test_damaged_packages_are_damaged(tmp_path: Path) -> None:
    host = tmp_path / "fritz" / "n1"
    host.mkdir(parents=True)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("80.json", as_json(LEVEL) * 2)
    for name, content in (
        ("1.zip", b"PK"),
        ("2.zip", whole.getvalue()[:50]),
        ("3.parquet", b"PAR1PAR1"),
        ("4.zip", whole.getvalue()),
    ):
        (host / name).write_bytes(content)
        with pytest.raises(Damaged):
            list(folder.read(next(source for source in folder.find(host) if source.path.name == name)))


def test_another_parquet_file_is_damaged(tmp_path: Path) -> None:
    batch = arrow.RecordBatch.from_arrays([arrow.Array.from_numpy(np.arange(3))], names=["x"])
    write_parquet(batch, tmp_path / "5.parquet")
    with pytest.raises(Damaged, match="no column"):
        list(folder.read(folder.find(tmp_path)[0]))
