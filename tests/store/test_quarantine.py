"""Files that could not be read: kept, but not for ever."""

import os
from pathlib import Path

import pytest

from metricstore.disk.files import Files
from metricstore.disk.quarantine import Quarantine


@pytest.mark.parametrize(
    ("sizes", "left"),
    [((40, 60), {"0", "1"}), ((40, 60, 1), {"1", "2"}), ((40, 60, 90), {"2"}), ((40, 101), set())],
    ids=["there is room", "one too much", "two too much", "alone too large"],
)
def test_the_oldest_go_when_they_take_too_much(sizes: tuple[int, ...], left: set[str], tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", Files(), 100)
    for number, size in enumerate(sizes):
        path = tmp_path / "block"
        path.write_bytes(bytes(size))
        os.utime(path, (number, number))
        quarantine.take(path, str(number))
        assert not path.exists()
    assert {path.name for path in (tmp_path / "quarantine").iterdir()} == left


def test_a_file_that_is_about_to_go_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "block"
    path.write_bytes(b"x")
    Quarantine(tmp_path / "quarantine", Files(), 100).link(path, "block")
    path.unlink()
    assert (tmp_path / "quarantine" / "block").read_bytes() == b"x"


def test_what_cannot_be_kept_is_said_and_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "quarantine").write_bytes(b"a file")
    path = tmp_path / "block"
    path.write_bytes(b"x")
    Quarantine(tmp_path / "quarantine", Files(), 100).take(path, "block")
    assert path.exists()
    assert f"cannot keep {path} in the quarantine" in caplog.text
