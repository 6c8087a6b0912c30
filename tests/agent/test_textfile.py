"""Files of a directory as samples of the host, good ones, bad ones and hostile ones."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from metricagent.collector import Reading
from metricagent.textfile import FILES, Textfile
from metricwire.samples import Place

HERE = Place("fritz", "n1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def files(folder: Path, registry: CollectorRegistry) -> Textfile:
    return Textfile(folder, HERE, bytes=4096, series=100, registry=registry)


@pytest.fixture
def count(registry: CollectorRegistry) -> Callable[..., float | None]:
    """A metric of the agent's own."""

    def count(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"metricagent_textfile_{name}", labels)

    return count


def put(folder: Path, name: str, text: str | bytes) -> None:
    """As people are told to: whole or not at all."""
    part = folder / f"{name}.part"
    part.write_bytes(text if isinstance(text, bytes) else text.encode())
    part.rename(folder / name)


def test_prom_files_are_samples_of_the_host(files: Textfile, folder: Path, count: Callable[..., float | None]) -> None:
    put(
        folder,
        "raid.prom",
        '# HELP raid_disks Disks.\n# TYPE raid_disks gauge\nraid_disks{array="md0",state=""} 2\nraid_disks{array="md1"} 4\n'
        "# TYPE wait histogram\n"
        'wait_bucket{le="0.1"} 3\nwait_bucket{le="+Inf"} 5\nwait_sum 1.5\nwait_count 5\nbroken NaN\nx{hostname="n2"} 7\n',
    )
    os.utime(folder / "raid.prom", (1_700_000_000, 1_700_000_000))
    assert files.collect(0) == [
        Reading("raid_disks", 2.0, tags=(("array", "md0"),)),
        Reading("raid_disks", 4.0, tags=(("array", "md1"),)),
        Reading("wait_bucket", 3.0, tags=(("le", "0.1"),)),
        Reading("wait_bucket", 5.0, tags=(("le", "+Inf"),)),
        Reading("wait_sum", 1.5),
        Reading("wait_count", 5.0),
        Reading("x", 7.0, tags=(("exported_hostname", "n2"),)),
    ]
    assert count("mtime_seconds", file="raid.prom") == 1_700_000_000
    assert count("scrape_error") == 0


def test_what_is_not_finite_is_counted_and_the_rest_is_taken(
    files: Textfile, folder: Path, count: Callable[..., float | None], caplog: pytest.LogCaptureFixture
) -> None:
    assert count("samples_left_out_total", reason="not-finite") == 0
    put(folder, "a.prom", "a NaN\nb +Inf\nc 1\n")
    for _ in range(2):
        assert files.collect(0) == [Reading("c", 1.0)]
    put(folder, "a.prom", "a nan\nb 22\nc 1\n")
    assert files.collect(0) == [Reading("b", 22.0), Reading("c", 1.0)]
    said = "cannot take 2 samples of textfile a.prom: they are NaN or infinite"
    assert caplog.messages == [said]
    assert count("samples_left_out_total", reason="not-finite") == 3
    assert count("scrape_error") == 0
    put(folder, "a.prom", "a 333\n")
    assert files.collect(0) == [Reading("a", 333.0)]
    put(folder, "a.prom", "a -inf\nb Inf\n")
    assert files.collect(0) == []
    assert caplog.messages == [said, said]


def test_line_protocol_files_are_of_this_host(files: Textfile, folder: Path) -> None:
    put(
        folder,
        "a.lp",
        "# by hand\n\npower value=210.5\n  fan,type=node value=3i\r\n\r\n"
        "gpu\\ temp,type=accelerator,type-id=0,slot=a\\,b value=55\ndisk_errors,stype=disk,stype-id=sda,hostname=n1 value=0\n"
        "both,cluster=fritz,host=n1 value=1",
    )
    assert files.collect(0) == [
        Reading("power", 210.5),
        Reading("fan", 3.0),
        Reading("gpu temp", 55.0, "accelerator", "0", tags=(("slot", "a,b"),)),
        Reading("disk_errors", 0.0, stype="disk", stype_id="sda"),
        Reading("both", 1.0),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason", "said"),
    [
        ("a.prom", "ok 1\nbad\n", "format", "line 2: not of the form"),
        ("a.prom", "ok 12", "format", "cut short"),
        ("a.prom", "ok 1\nok 1 1700000000000\n", "format", "line 2: it has a timestamp"),
        ("a.prom", "info 1\n", "format", "1 samples have names that no line can carry"),
        ("a.prom", "ok 1\nok 2\n", "duplicate", "it has a series twice"),
        ("a.prom", "net_bytes_in 1\n", "format", "net_bytes_in of a host is the sum of its parts"),
        ("a.prom", "".join(f"m{i} 1\n" for i in range(101)), "series", "line 101: more than 100 samples"),
        ("a.lp", "".join(f"m{i} value=1\n" for i in range(101)), "series", "more than 100 series (textfile.series)"),
        ("a.prom", "# " + "x" * 4096 + "\n", "bytes", "more than 4096 bytes (textfile.file-bytes)"),
        ("a.lp", "ok value=1\nbad\n", "format", "line 2: not of the form"),
        ("a.lp", "ok value=1\nold value=1 1700000000\n", "format", "line 2: it has a timestamp"),
        ("a.lp", "ok value=1\n\nx,hostname=n2 value=1\n", "format", "line 3: it is of another host or cluster"),
        ("a.lp", "x,host=n2 value=1\n", "format", "line 1: it is of another host or cluster"),
        ("a.lp", "x,cluster=other value=1\n", "format", "line 1: it is of another host or cluster"),
        ("a.lp", "info,label=x value=1\n", "format", "it has labels (info), events or logs"),
        ("a.lp", 'x event="a\nb,hostname=n2 value=1\nc"\n', "format", "it has labels (info), events or logs"),
        ("a.lp", "net_bytes_in value=1\n", "format", "net_bytes_in of a host is the sum of its parts"),
    ],
)  # fmt: skip
def test_a_bad_file_is_left_out_whole_and_named_once(
    files: Textfile,
    folder: Path,
    count: Callable[..., float | None],
    caplog: pytest.LogCaptureFixture,
    name: str,
    text: str,
    reason: str,
    said: str,
) -> None:
    caplog.set_level(logging.INFO)
    put(folder, name, text)
    put(folder, "z.prom", "good 1\n")
    for _ in range(3):
        assert files.collect(0) == [Reading("good", 1.0)]
    assert count("refused_total", reason=reason) == 1
    assert count("scrape_error") == 1
    assert count("mtime_seconds", file=name) is None
    (record,) = caplog.messages
    assert record.startswith(f"cannot take textfile {name}: ")
    assert said in record
    put(folder, name, "better 2\n" if name.endswith("prom") else "better value=2\n")
    assert files.collect(0) == [Reading("better", 2.0), Reading("good", 1.0)]
    assert count("scrape_error") == 0
    assert caplog.messages[1:] == [f"textfile {name} is no longer refused"]


def test_of_two_files_with_a_series_the_first_by_name_has_it(
    files: Textfile, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, "b.prom", 'x{a="1"} 1\nother 1\n')
    put(folder, "a.lp", "x,a=1 value=2\n")
    assert files.collect(0) == [Reading("x", 2.0, tags=(("a", "1"),))]
    assert caplog.messages == ["cannot take textfile b.prom: a file before it has the series x too; nothing of it is taken"]
    (folder / "a.lp").unlink()
    assert files.collect(0) == [Reading("x", 1.0, tags=(("a", "1"),)), Reading("other", 1.0)]


def test_a_file_beyond_the_limit_of_all_series_is_left_out(files: Textfile, folder: Path) -> None:
    for name in ("a", "b", "c"):
        put(folder, f"{name}.prom", "".join(f"{name}{i} 1\n" for i in range(40 if name != "b" else 90)))
    assert {reading.metric[0] for reading in files.collect(0)} == {"a", "c"}


def test_changes_are_seen_and_what_is_gone_is_gone(files: Textfile, folder: Path, count: Callable[..., float | None]) -> None:
    assert files.collect(0) == []
    put(folder, "a.prom", "x 1\n")
    put(folder, "a.txt", "y 1\n")
    put(folder, ".prom", "hidden 1\n")
    assert files.collect(0) == [Reading("hidden", 1.0), Reading("x", 1.0)]
    put(folder, "a.prom", "x 2\n")
    (folder / ".prom").unlink()
    assert files.collect(0) == [Reading("x", 2.0)]
    (folder / "a.prom").unlink()
    assert files.collect(0) == []
    assert count("mtime_seconds", file="a.prom") is None


def test_a_directory_that_is_not_there_is_a_failing_collector(
    files: Textfile, folder: Path, count: Callable[..., float | None]
) -> None:
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        files.collect(0)
    assert count("scrape_error") == 1
    folder.mkdir()
    assert files.collect(0) == []
    assert count("scrape_error") == 0


def test_only_regular_files_within_the_directory_are_read(
    files: Textfile, folder: Path, tmp_path: Path, count: Callable[..., float | None], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret").write_text("secret 1\n")
    (tmp_path / "files2").mkdir()
    (tmp_path / "files2" / "x.prom").write_text("beside 1\n")
    (folder / "out.prom").symlink_to(tmp_path / "secret")
    (folder / "beside.prom").symlink_to("../files2/x.prom")
    (folder / "loop.prom").symlink_to("loop.prom")
    (folder / "null.prom").symlink_to("/dev/null")
    (folder / "gone.prom").symlink_to("nothing")
    (folder / "folder.prom").mkdir()
    os.mkfifo(folder / "fifo.prom")
    (folder / "..data").mkdir()  # as a ConfigMap is mounted
    (folder / "..data" / "in.prom").write_text("within 1\n")
    (folder / "in.prom").symlink_to("..data/in.prom")
    for _ in range(2):
        assert files.collect(0) == [Reading("within", 1.0)]
    assert count("refused_total", reason="unreadable") == 7
    assert len(caplog.messages) == 7
    assert not any("secret 1" in message for message in caplog.messages)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(files: Textfile, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(folder, "a.prom", "x 1\n")
    (folder / "a.prom").chmod(0)
    assert files.collect(0) == []
    assert caplog.messages == ["cannot take textfile a.prom: Permission denied; nothing of it is taken"]
    (folder / "a.prom").chmod(0o644)
    assert files.collect(0) == [Reading("x", 1.0)]


def test_there_is_a_limit_of_files(files: Textfile, folder: Path, count: Callable[..., float | None]) -> None:
    for number in range(FILES + 2):
        (folder / f"{number:04}.prom").write_text("")
    (folder / "z.prom").write_text("x 1\n")
    assert files.collect(0) == []
    assert count("refused_total", reason="files") == 3
    (folder / "0000.prom").unlink()
    (folder / "0001.prom").unlink()
    (folder / "0002.prom").unlink()
    assert files.collect(0) == [Reading("x", 1.0)]


def test_files_beyond_the_limit_are_one_line_in_the_log(
    files: Textfile, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(FILES + 9):
        (folder / f"{number:04}.prom").write_text("")
    files.collect(0)
    (folder / "9999.prom").write_text("")
    files.collect(0)
    assert caplog.messages == [f"cannot take 9 textfiles: there are more than {FILES} files; nothing of them is taken"]
    for number in range(10):
        (folder / f"{number:04}.prom").unlink()
    files.collect(0)
    assert caplog.messages[1:] == [f"there are no more than {FILES} textfiles any longer"]


def test_what_is_not_taken_is_not_kept(folder: Path, registry: CollectorRegistry) -> None:
    files = Textfile(folder, HERE, bytes=4096, series=3, registry=registry)
    put(folder, "a.prom", "a 1\nb 1\n")
    put(folder, "b.prom", "b 2\n")
    put(folder, "c.prom", "c 3\nd 3\n")
    assert [reading.metric for reading in files.collect(0)] == ["a", "b"]
    assert sum(len(file.readings) for file in files._files.values()) == 2
    (folder / "a.prom").unlink()
    assert files.collect(0) == [Reading("b", 2.0), Reading("c", 3.0), Reading("d", 3.0)]


def test_names_that_are_not_utf8_are_shown_somehow(files: Textfile, folder: Path, registry: CollectorRegistry) -> None:
    for name in (b"\xff.prom", b"\xfe.prom"):
        put(folder, os.fsdecode(name), f"m{name[0]} 1\n")
    assert len(files.collect(0)) == 2
    assert 'file="\N{REPLACEMENT CHARACTER}.prom"' in generate_latest(registry).decode()
    (folder / os.fsdecode(b"\xff.prom")).unlink()
    assert files.collect(0) == [Reading("m254", 1.0)]
    (folder / os.fsdecode(b"\xfe.prom")).unlink()
    assert files.collect(0) == []
    assert "file=" not in generate_latest(registry).decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"m value=1\n", b"m,a=b value=1\n", b"\\, value=1\n", b'x log="\n', b'"\n', b",hostname=n2", b" "]
            ),
            st.text('m,= \n"\\#1v', max_size=8).map(str.encode),
            st.binary(max_size=8),
        ),
        max_size=8,
    ).map(b"".join)
)
def test_no_bytes_are_of_another_host(files: Textfile, folder: Path, body: bytes) -> None:
    """The tags are put into the text; whatever is there, nothing may come out that was not in it as this host's."""
    put(folder, "a.lp", body)
    for reading in files.collect(0):
        assert reading.metric.encode()[:1] in body
        assert not {"hostname", "cluster", "host"} & dict(reading.tags).keys()
