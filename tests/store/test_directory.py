"""The data folder: ours alone, and readable after damage."""

from pathlib import Path

import pytest

from metricstore.disk.directory import Directory
from metricstore.disk.files import Files
from metricstore.disk.formats import IDENTITY_NAME


def test_the_data_folder_is_for_us_only_though_those_above_are_not(tmp_path: Path) -> None:
    path = tmp_path / "above" / "data"
    opened = Directory(path, "c", Files())
    opened.close()
    assert [folder.stat().st_mode & 0o777 for folder in (path, opened.log)] == [0o700, 0o700]


@pytest.mark.parametrize("content", [b"", b"{", b'{"cluster":"\xff"}', b'{"\xff":"c"}', b"[" * 100_000, b"[]"])
def test_a_damaged_identity_is_named_and_written_anew(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Directory(tmp_path, "c", Files()).close()
    (tmp_path / IDENTITY_NAME).write_bytes(content)
    Directory(tmp_path, "c", Files()).close()
    assert "is damaged" in caplog.text
    caplog.clear()
    Directory(tmp_path, "c", Files()).close()
    assert not caplog.text


def test_no_flipped_bit_of_the_identity_prevents_the_start(tmp_path: Path) -> None:
    Directory(tmp_path, "c", Files()).close()
    content = (tmp_path / IDENTITY_NAME).read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / IDENTITY_NAME).write_bytes(damaged)
        Directory(tmp_path, "c", Files()).close()


def test_what_a_killed_backup_and_archiving_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    Directory(data, "c", Files()).close()
    left = [data / "backup-01ab.tmp" / "0", data / "archive" / "c" / "2026" / "new.parquet.tmp"]
    mine = [data / "archive" / "c" / "2026" / "a.parquet", data / "notes.tmp.txt"]
    for path in left + mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    Directory(data, "c", Files()).close()
    assert not any(path.exists() for path in left)
    assert not left[0].parent.exists()
    assert all(path.exists() for path in mine)
