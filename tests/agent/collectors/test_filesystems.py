"""Which filesystems are shown, how full they are, and those that do not answer."""

import os
import threading
from pathlib import Path

import pytest

from metricagent.collectors import filesystems
from metricagent.collectors.filesystems import Filesystems
from metricagent.collectors.patience import Patient
from metricagent.host import Host

STAT = os.statvfs_result((4096, 4096, 1000, 400, 300, 500, 200, 150, 0, 255))


def test_mounts_that_are_shown(golden: Path) -> None:
    assert filesystems.parse((golden / "proc/1/mounts").read_bytes()) == ["/", "/boot/efi", "/mnt/fast scratch"]


@pytest.mark.parametrize(
    ("mounts", "shown"),
    [
        ("/dev/a / ext4 rw 0 0", ["/"]),
        ("/dev/a /x ext4 rw 0 0\n/dev/a /x/y ext4 rw 0 0", ["/x"]),
        ("/dev/a /var/b ext4 rw 0 0\n/dev/a /c ext4 rw 0 0", ["/c"]),
        ("/dev/a /x ext4 rw 0 0\n/dev/b /x xfs rw 0 0", ["/x"]),
        ("/dev/a /x ext4 rw 0 0\ntmpfs /x tmpfs rw 0 0", []),
        ("overlay / overlay rw 0 0\n/dev/a /var ext4 rw 0 0\n/dev/a /etc/hosts ext4 rw 0 0", ["/var"]),
        ("pool/a /a zfs rw 0 0\npool/b /b zfs rw 0 0", ["/a", "/b"]),
        (r"/dev/a /tab\011lf\012backslash\134 ext4 rw 0 0", ["/tab\tlf\nbackslash\\"]),
        ("", []),
    ],
)
def test_each_filesystem_is_shown_once(mounts: str, shown: list[str]) -> None:
    assert filesystems.parse(mounts.encode()) == shown


def test_sizes_are_those_below_the_hosts_root(host: Host) -> None:
    asked = []

    def stat(path: Path) -> os.statvfs_result:
        asked.append(str(path))
        return STAT

    found = {r.metric: r.value for r in Filesystems(host, stat).collect(0) if r.stype_id == "/mnt/fast scratch"}
    assert asked == ["/host/root", "/host/root/boot/efi", "/host/root/mnt/fast scratch"]
    assert found == {
        "disk_total": 4096000.0,
        "disk_used": 2457600.0,
        "disk_free": 1228800.0,
        "disk_inodes_total": 500.0,
        "disk_inodes_used": 300.0,
        "disk_inodes_free": 200.0,
    }


def test_a_filesystem_that_cannot_be_read_costs_itself_alone(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    def stat(path: Path) -> os.statvfs_result:
        if path.name == "efi":
            raise PermissionError(13, "Permission denied")
        return STAT

    collector = Filesystems(host, stat)
    for _ in range(2):
        assert {r.stype_id for r in collector.collect(0)} == {"/", "/mnt/fast scratch"}
    assert caplog.messages == ["cannot read filesystem /boot/efi: Permission denied"]


def test_a_hanging_filesystem_is_given_up_and_asked_again_once_it_answers() -> None:
    answer, asked = threading.Event(), []

    def stat(path: Path) -> os.statvfs_result:
        asked.append(path)
        answer.wait()
        return STAT

    patient = Patient[Path, os.statvfs_result](stat, patience=0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            patient(Path("/x"))
    answer.set()
    for thread in patient._waiting.values():
        thread.join()
    assert len(asked) == 1
    patient._patience = 60
    assert patient(Path("/x")) is STAT
