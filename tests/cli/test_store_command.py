"""`metricscluster store ...` against a real store that listens on a port."""

import csv
import io
import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metricscluster.__main__ import main
from metricscluster.client import Client
from metricscluster.moments import moment
from metricscluster.progress import Progress, size
from metricstore.disk import parquet
from metricstore.disk.archive import Archive
from metricstore.disk.archiverows import ArchiveRows
from metricstore.disk.files import Files
from metricwire.errors import BadInput, MetricsError, Unavailable
from metricwire.samples import Place, SeriesKey
from storeserver import Store

GOLDEN = Path(__file__).parents[1] / "golden" / "cc-metric-store-files.tar.gz"
NOW = 1_795_262_400
METRICS = {name: {"frequency": step} for name, step in (("load_one", 1), ("cpu_user", 2), ("mem_bw", 1))}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "data", METRICS).start()
    yield made
    made.stop()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metricscluster", "store", *map(str, arguments)])
        capsys.readouterr()
        status = main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path / "golden", filter="data")
    return tmp_path / "golden"


# import


def wanted(folder: Path) -> set[bytes]:
    samples = json.loads((folder / "sent.json").read_text())
    return {
        f"{m},cluster=fritz,hostname={host}{tags} value={value} {stamp}".encode() for m, host, tags, value, stamp in samples
    }


def test_import_brings_what_the_old_store_was_sent(store: Store, run: Run, golden: Path) -> None:
    status, out, _ = run("import", golden / "bin", "--url", store.url)
    assert status == 0
    assert out == "read 76 samples from 2 files, 0 of them damaged\nstored 76, refused 0, not to be sent 0\n"
    assert store.lines() == wanted(golden / "bin")
    assert run("import", golden / "bin", "--url", store.url)[0] == 0
    assert store.lines() == wanted(golden / "bin")


def test_import_names_what_is_damaged_and_goes_on(store: Store, run: Run, golden: Path) -> None:
    log = golden / "wal" / "checkpoints" / "fritz" / "n1" / "current.wal"
    content = log.read_bytes()
    log.write_bytes(content[:-3])
    status, out, err = run("import", golden / "wal", "--url", store.url)
    assert status == 1
    assert "read 75 samples from 2 files, 1 of them damaged\nstored 75," in out
    assert f"cannot read all of {log}: " in err
    assert len(store.lines()) == 75


def test_import_counts_what_the_store_refuses(store: Store, run: Run, tmp_path: Path) -> None:
    host = tmp_path / "old" / "checkpoints" / "fritz" / "n1"
    host.mkdir(parents=True)
    series = {"frequency": 60, "start": 4_000_000_000, "data": [1, 2, None]}
    (host / "1.json").write_text(json.dumps({"metrics": {"load_one": series, "bad\\": series}, "children": {}}))
    status, out, _ = run("import", tmp_path / "old", "--url", store.url)
    assert status == 1
    assert "read 4 samples from 1 files" in out
    assert "stored 0, refused 2, not to be sent 2" in out
    assert "2 x timestamp is N s ahead" in out


def test_import_without_sending(run: Run, golden: Path) -> None:
    assert run("import", golden, "--dry-run", "--url", "http://127.0.0.1:1")[:2] == (
        0,
        "read 304 samples from 7 files, 0 of them damaged\n",
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["import", "/nonexistent"], 2, "cannot read /nonexistent"),
        (["import", "."], 2, "cannot find checkpoints"),
        (["verify", "--directory", "."], 2, "cannot find a data folder"),
        (["restore", "--directory", ".", "x.tar"], 2, "the folder is not empty"),
        (["restore", "--directory", "new", "x.tar"], 1, "cannot restore to new: No such file"),
        (["export", "--cluster", "c", "--from", "yesterday", "x"], 2, "cannot read the time 'yesterday'"),
        (["backup", "x.tar", "--url", "ftp://x"], 2, "expected http://host:port"),
        (["backup", "x.tar", "--url", "http://127.0.0.1:1"], 1, "Connection refused"),
        (["backup", "x.tar", "--token-file", "none"], 2, "cannot read the token in none"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("file").touch()
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["file"]


# export

KEY = 'load_one,cluster=fritz,hostname=n1,type=core,type-id=0,zone=a\\ "b"'


def test_export_writes_all_formats(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(f"{KEY} value=0.1 {NOW}", f"{KEY} value=1e300 {NOW + 1}", f"mem_bw,cluster=fritz,hostname=n2 value=3 {NOW}")
    asked = ("--url", store.url, "--cluster", "fritz", "--from", NOW, "--to", NOW + 100)
    for form in ("lp", "csv", "parquet"):
        status, out, _ = run("export", *asked, "--format", form, tmp_path / form)
        assert (status, out) == (0, f"exported 3 samples to {tmp_path / form}\n")
    assert set((tmp_path / "lp").read_bytes().splitlines()) == store.lines()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv").read_text())))
    assert [row["value"] for row in rows] == ["0.1", "1e+300", "3.0"]
    assert rows[0]["tags"] == '{"zone": "a \\"b\\""}'
    (back,) = parquet.read(tmp_path / "parquet")
    assert back.values.tolist() == [0.1, 1e300, 3.0]
    assert back.keys[0] == SeriesKey(Place("fritz", "n1", "core", "0"), "load_one", (("zone", 'a "b"'),))
    assert back.frequencies.tolist() == [1, 1, 0]


def test_export_of_a_selection(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(
        *(f"{m},cluster=fritz,hostname={h} value=1 {NOW + t}" for m in ("load_one", "mem_bw") for h in "ab" for t in (0, 9))
    )
    asked = (
        "--url",
        store.url,
        "--cluster",
        "fritz",
        "--from",
        NOW,
        "--to",
        NOW + 9,
        "--host",
        "a",
        "--host",
        "z",
        "--metric",
        "mem_bw",
    )
    assert run("export", *asked, "--format", "lp", tmp_path / "out")[0] == 0
    assert (tmp_path / "out").read_text() == f"mem_bw,cluster=fritz,hostname=a value=1.0 {NOW}\n"
    status, _, err = run("export", *asked, tmp_path / "out")
    assert (status, err) == (2, f"cannot write {tmp_path / 'out'}: it exists\n")


def test_times() -> None:
    assert moment("now", 10.5) == 11
    assert moment("1767225600", 0) == moment("2026-01-01", 0) == moment("2026-01-01T01:00:00+01:00", 0) == 1767225600
    assert moment("48h", 1_000_000) == 1_000_000 - 48 * 3600
    for text in ("", "h", "12q", "2026-13-01"):
        with pytest.raises(BadInput):
            moment(text, 0)


# backup, restore, verify, stats


def test_a_backup_becomes_a_store_with_the_same_samples(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(*(f"load_one,cluster=fritz,hostname=n{h} value={h}.5 {NOW + t}" for h in range(5) for t in range(200)))
    store.seal()
    before = store.lines()
    assert run("verify", "--directory", tmp_path / "data")[0] == 1
    status, out, _ = run("backup", "--url", store.url, tmp_path / "b.tar")
    assert status == 0, out
    store.write(f"load_one,cluster=fritz,hostname=later value=1 {NOW}")
    while list((tmp_path / "data").glob("backup-*")):  # they go when all is sent
        time.sleep(0.01)
    assert run("restore", tmp_path / "b.tar", "--directory", tmp_path / "new")[0] == 0
    status, out, err = run("verify", "--directory", tmp_path / "new")
    assert (status, out, err) == (0, "read 5 series and 1000 samples: 0 damages\n", "")
    other = Store(tmp_path / "new", METRICS).start()
    try:
        assert other.lines() == before
    finally:
        other.stop()
    assert "is running on it" in run("verify", "--directory", tmp_path / "data")[2]


def test_a_pod_with_the_stores_image_restores_from_standard_input(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(f"load_one,cluster=fritz,hostname=n value=1 {NOW}")
    assert run("backup", "--url", store.url, tmp_path / "b.tar")[0] == 0
    backup = (tmp_path / "b.tar").read_bytes()
    status, out, err = in_image(backup, "restore", "-", "--directory", tmp_path / "new")
    assert (status, out, err) == (0, f"restored {len(list(files(tmp_path / 'new')))} files to {tmp_path / 'new'}\n", "")
    assert run("verify", "--directory", tmp_path / "new")[1] == "read 1 series and 1 samples: 0 damages\n"
    status, _, err = in_image(backup[:-4096], "restore", "-", "--directory", tmp_path / "cut")
    assert (status, err.startswith("cannot use standard input as a backup: ")) == (1, True)


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def in_image(given: bytes, *arguments: object) -> tuple[int, str, str]:
    """Status, output and errors of `metricscluster store ...` where libraries of the other parts are not installed."""
    absent = ["aiohttp", "kopf", "kubernetes", "pynvml", "yaml"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from metricscluster.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "store", *map(str, arguments)], input=given, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_backup_that_was_changed_or_cut_is_not_restored(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(f"load_one,cluster=fritz,hostname=n value=1 {NOW}")
    assert run("backup", "--url", store.url, tmp_path / "b.tar")[0] == 0
    content = (tmp_path / "b.tar").read_bytes()
    samples = content.index(b"MXR1")
    for broken in (
        content[:-4096],
        content[: len(content) // 2],
        content[:samples] + b"X" + content[samples + 1 :],
        b"",
        b"x" * 2000,
    ):
        (tmp_path / "broken.tar").write_bytes(broken)
        status, _, err = run("restore", tmp_path / "broken.tar", "--directory", tmp_path / "new")
        assert status == 1
        assert "cannot use" in err
        assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "log/../../evil", "a\nb"])
def test_a_backup_that_leads_outside_is_not_restored(run: Run, tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    status, _, err = run("restore", tmp_path / "b.tar", "--directory", tmp_path / "in" / "new")
    assert (status, "does not belong" in err) == (1, True)
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.addfile(link)
    assert "does not belong" in run("restore", tmp_path / "c.tar", "--directory", tmp_path / "in" / "new")[2]
    assert not list(tmp_path.rglob("evil"))


def test_verify_and_stats_read_every_part_and_change_nothing(store: Store, run: Run, tmp_path: Path) -> None:
    store.write(*(f"load_one,cluster=fritz,hostname=n{h} value={h}.5 {NOW + t}" for h in range(5) for t in range(200)))
    store.seal()
    store.write(f"load_one,cluster=fritz,hostname=n1 value=1 {NOW + 200}")
    store.stop()
    data = tmp_path / "data"
    key = SeriesKey(Place("fritz", "n1"), "load_one")
    columns = np.zeros(3, np.int64), np.arange(3), np.ones(3, np.int64), np.ones(3)
    Archive(data / "archive", None, Files()).write("fritz", [ArchiveRows([key], *columns)])
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert run("verify", "--directory", data) == (0, "read 5 series and 1004 samples: 0 damages\n", "")
    status, out, _ = run("stats", "--directory", data)
    assert status == 0
    shown = {line.split()[0]: line.split() for line in out.splitlines()}
    assert {name: shown[name][-4 if name != "names" else -3] for name in ("log", "blocks", "archive")} == {
        "log": "1",
        "blocks": "1000",
        "archive": "3",
    }
    for name in ("blocks/*.block", "log/*.log", "names/*.a", "archive/*/*.parquet"):
        for path in data.glob(name):
            content = path.read_bytes()
            if b"MXR1" in content or not path.suffix.startswith(".l"):
                path.write_bytes(content[: len(content) // 2])
    damaged = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    status, out, err = run("verify", "--directory", data)
    assert status == 1
    assert len(err.splitlines()) >= 3
    assert damaged == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert damaged.keys() == before.keys()


# the client and the bar


class Answering(BaseHTTPRequestHandler):
    """Gives the statuses of the list, one after the other."""

    statuses: list[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.statuses.pop(0))
        self.send_header("content-length", "0")
        self.send_header("retry-after", "7")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "10")
        self.end_headers()
        self.wfile.write(b"12345")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_client_tries_again_as_asked_and_not_for_ever(answering: str) -> None:
    waits: list[float] = []
    clock = iter(range(0, 10_000, 100))
    client = Client(answering, sleep=waits.append, clock=lambda: next(clock), patience=450)
    Answering.statuses = [503, 429, 200]
    assert client.post("/x", b"1").status == 200
    assert len(waits) == 2
    assert min(waits) >= 7
    Answering.statuses = [503] * 20
    with pytest.raises(Unavailable, match="given up after 450 s"):
        client.post("/x", b"1")
    Answering.statuses = [401]
    with pytest.raises(MetricsError, match="401"):
        client.post("/x", b"1")
    client.close()


def test_an_answer_that_breaks_off_is_an_error(answering: str) -> None:
    with pytest.raises(Unavailable, match="cannot read"):
        list(Client(answering).stream("/x"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals() -> None:
    seconds = iter(range(100))
    for stream, shown in ((Terminal(), "[###############...............]  50%  a.json"), (io.StringIO(), "")):
        with Progress("reading", 200, stream, lambda: next(seconds)) as progress:
            progress.add(100, "a.json")
        assert shown in stream.getvalue()
        assert bool(stream.getvalue()) == stream.isatty()
    times = iter([0.0, 9.0, 10.0])
    plain = io.StringIO()
    with Progress("reading", 0, plain, lambda: next(times)) as progress:
        progress.add(1000)
        progress.add(1000)
    assert plain.getvalue() == "reading: 2.0 KiB\n"
    assert [size(count) for count in (0, 1023, 1024, 1024**4)] == ["0 B", "1023 B", "1.0 KiB", "1.0 TiB"]
