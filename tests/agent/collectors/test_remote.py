"""Clients of NFS and Lustre."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metricagent.collector import Reading
from metricagent.collectors import lustre, nfs, nfsmounts
from metricagent.collectors.lustre import Lustre
from metricagent.host import Host

Ticking = Callable[[str], list[Reading]]


def test_calls_of_nfs_by_version(ticking: Ticking) -> None:
    found = {r.metric: r.value for r in ticking("nfs")}
    assert (found["nfs_calls"], found["nfs_resent"]) == (5100, 3)
    assert (found["nfs3_getattr"], found["nfs3_read"], found["nfs3_mknod"], found["nfs3_commit"]) == (100, 650, 0, 20)
    assert found["nfs3_total"] == sum(
        value for name, value in found.items() if name.startswith("nfs3_") and name != "nfs3_total"
    )
    four = {name: found[f"nfs4_{name}"] for name in ("read", "open", "close", "lock", "getattr", "statfs", "readdir")}
    assert four == {"read": 240, "open": 60, "close": 55, "lock": 4, "getattr": 90, "statfs": 4, "readdir": 6}


def test_a_version_that_is_not_used_is_not_shown() -> None:
    text = b"net 0 0 0 0\nrpc 0 0 0\nproc2 18" + b" 0" * 18 + b"\nproc3 22" + b" 0" * 22 + b"\nproc4 2 0 0\n"
    assert nfs.parse(text) == []
    assert {r.metric for r in nfs.parse(text.replace(b"proc4 2 0 0", b"proc4 2 0 7"))} == {"nfs4_total", "nfs4_read"}


@pytest.mark.parametrize("text", [b"", b"net 0 0\n", b"rpc 1\n", b"rpc 1 0 0\nproc3 2 1 1\n"])
def test_a_broken_rpc_file_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot parse|unpack|zip"):
        nfs.parse(text)


def test_an_export_counts_once_however_often_it_is_mounted(ticking: Ticking) -> None:
    found = ticking("nfsmounts")
    assert {(r.stype, r.stype_id) for r in found} == {("filesystem", "filer:/export/home")}
    assert {r.metric: r.value for r in found} == {
        "nfsio_nread": 1100000, "nfsio_nwrite": 2050000, "nfsio_oread": 4096, "nfsio_owrite": 8192,
        "nfsio_nfsread": 3200000, "nfsio_nfswrite": 4000010,
        "nfsio_nread_bw": 10000, "nfsio_nwrite_bw": 5000, "nfsio_oread_bw": 0, "nfsio_owrite_bw": 0,
        "nfsio_nfsread_bw": 20000, "nfsio_nfswrite_bw": 1,
    }  # fmt: skip


def test_mounts_of_other_kinds_have_no_bytes() -> None:
    text = b"device s:/a mounted on /a with fstype nfs4 statvers=1.1\ndevice x mounted on /x with fstype ext4\n\tbytes: 1 2\n"
    assert nfsmounts.parse(text) == {}


def test_lustre_by_filesystem(ticking: Ticking) -> None:
    found = ticking("lustre")
    assert {(r.stype, r.stype_id) for r in found} == {("filesystem", "scratch")}
    assert {r.metric: r.value for r in found} == {
        "lustre_read_requests": 110, "lustre_read_bytes": 62914560, "lustre_write_requests": 55,
        "lustre_write_bytes": 125829120,
        "lustre_open": 32, "lustre_close": 32, "lustre_getattr": 71, "lustre_setattr": 0, "lustre_statfs": 9,
        "lustre_inode_permission": 440,
        "lustre_read_bw": 1048576, "lustre_write_bw": 2097152,
        "lustre_read_requests_rate": 1, "lustre_write_requests_rate": 0.5,
    }  # fmt: skip


def test_older_lustre_counts_in_procfs(tmp_path: Path) -> None:
    stats = tmp_path / "proc/fs/lustre/llite/work-ffff0001/stats"
    stats.parent.mkdir(parents=True)
    stats.write_text("snapshot_time 1.2 secs.usecs\nopen 5 samples [regs]\n")
    collector = Lustre(Host(proc=tmp_path / "proc", sys=tmp_path / "sys"))
    assert {(r.stype_id, r.value) for r in collector.collect(0) if r.metric == "lustre_open"} == {("work", 5.0)}
    stats.unlink()
    assert collector.collect(1) == collector.collect(2) == []


def test_a_lustre_filesystem_that_is_mounted_twice_is_the_sum_of_its_mounts(tmp_path: Path) -> None:
    new, old = tmp_path / "sys/kernel/debug/lustre/llite", tmp_path / "proc/fs/lustre/llite"
    (tmp_path / "sys/fs/lustre").mkdir(parents=True)

    def count(place: Path, mount: str, requests: int) -> Path:
        (place / f"work-{mount}").mkdir(parents=True, exist_ok=True)
        (place / f"work-{mount}/stats").write_text(f"read_bytes {requests} samples [bytes] 1 1 {requests}\n")
        return place / f"work-{mount}/stats"

    def collect(now: float) -> dict[str, float]:
        return {r.metric: r.value for r in collector.collect(now) if r.stype_id == "work" and "read_requests" in r.metric}

    gone = count(new, "ffff1", 1000)
    for place in (new, old):  # a version that shows it in both
        count(place, "ffff2", 7)
    collector = Lustre(Host(proc=tmp_path / "proc", sys=tmp_path / "sys"))
    assert collect(0) == {"lustre_read_requests": 1007}
    count(new, "ffff1", 1001)
    count(old, "ffff2", 9)
    assert collect(1) == {"lustre_read_requests": 1010, "lustre_read_requests_rate": 3}
    gone.unlink()
    count(old, "ffff2", 10)
    assert collect(2) == {"lustre_read_requests": 10, "lustre_read_requests_rate": 1}


def test_lustre_leaves_out_what_did_not_happen_yet() -> None:
    assert set(lustre.parse(b"").values()) == {0.0}
    assert lustre.parse(b"read_bytes 3 samples [bytes]\n")["lustre_read_bytes"] == 0
