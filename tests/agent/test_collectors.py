"""The collectors against fixture trees, and against the catalogue: what they give is what it promises, name by name."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from metricagent.collector import Reading
from metricagent.collectors import COLLECTORS, build, cpu, filesystems, network
from metricagent.collectors.cpu import Times, shares
from metricagent.collectors.filesystems import Filesystems, Patient
from metricagent.collectors.network import LEFT_OUT, Network, Traffic
from metricagent.host import Host
from metricwire.catalog import METRICS
from metricwire.errors import SettingsError

STAT = os.statvfs_result((4096, 4096, 1000, 400, 300, 500, 200, 150, 0, 255))
ZERO = Times(0, 0, 0, 0, 0, 0, 0, 0)


def one(host: Host, name: str) -> dict[str, float]:
    return {reading.metric: reading.value for reading in COLLECTORS[name](host).collect(0)}


@pytest.fixture
def later(tmp_path: Path, golden: Path) -> Path:
    """A procfs that can be made to be ten seconds later."""
    shutil.copytree(golden / "proc", tmp_path / "proc")
    return tmp_path / "proc"


def test_each_metric_of_the_catalogue_is_measured_where_it_says(host: Host, later: Path, golden: Path) -> None:
    made = {name: make(Host(proc=later)) for name, make in COLLECTORS.items() if name != "filesystems"}
    made["filesystems"] = Filesystems(host, stat=lambda _: STAT)
    for collector in made.values():
        collector.collect(0)
    shutil.copytree(golden / "proc-later", later, dirs_exist_ok=True)
    found = {(r.metric, r.stype or r.type or "node") for c in made.values() for r in c.collect(10)}
    assert found == {(metric.name, level) for metric in METRICS for level in metric.at}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("load", {"load_one": 0.5, "load_five": 1.25, "load_fifteen": 2.0}),
        ("uptime", {"uptime": 350735.47}),
        ("processes", {"proc_total": 3}),
        ("swap", {"swap_total": 1024000 << 10, "swap_free": 768000 << 10, "swap_used": 256000 << 10}),
        (
            "memory",
            {
                "mem_total": 16384000 << 10,
                "mem_free": 2048000 << 10,
                "mem_available": 8192000 << 10,
                "mem_used": 8192000 << 10,
                "mem_buffers": 512000 << 10,
                "mem_cached": 4352000 << 10,
            },
        ),
        ("cpu", {"num_cpus": 2}),
    ],
)
def test_values(host: Host, name: str, values: dict[str, float]) -> None:
    assert one(host, name) == values


def percent(**metrics: float) -> dict[str, float]:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "used")
    return {f"cpu_{name}": metrics.get(name, 0.0) for name in names}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (ZERO, Times(50, 0, 30, 20, 0, 0, 0, 0), percent(user=50, system=30, idle=20, used=80)),
        (
            ZERO,
            Times(10, 10, 10, 10, 10, 10, 20, 20),
            percent(**dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq"), 10), softirq=20, steal=20, used=20),
        ),
        (Times(5, 0, 0, 9, 9, 0, 0, 0), Times(10, 0, 0, 4, 14, 0, 0, 0), percent(user=50, iowait=50, used=50)),
        (Times(9, 9, 9, 9, 9, 9, 9, 9), ZERO, None),
        (ZERO, ZERO, None),
    ],
)
def test_shares_of_cpu_time(before: Times, after: Times, expected: dict[str, float] | None) -> None:
    assert shares(before, after) == expected


def test_threads_keep_their_numbers_when_one_is_offline(golden: Path) -> None:
    before, after = (cpu.parse((golden / tree / "stat").read_bytes()) for tree in ("proc", "proc-later"))
    found = {(r.type_id, r.metric): r.value for r in cpu.readings(before, after)}
    assert found["", "cpu_user"] == 25
    assert found["0", "cpu_user"] == 50
    assert found["2", "cpu_idle"] == 75
    assert ("1", "cpu_user") not in found


def test_a_thread_that_came_online_has_no_shares_yet() -> None:
    found = cpu.readings({"cpu": ZERO}, {"cpu": Times(1, 0, 0, 1, 0, 0, 0, 0), "cpu0": Times(1, 0, 0, 1, 0, 0, 0, 0)})
    assert {r.type for r in found} == {""}


@pytest.mark.parametrize("text", [b"", b"intr 1\n", b"cpu  1 2\n", b"cpu a b c d e f g h\n"])
def test_a_broken_stat_is_an_error(text: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        cpu.parse(text)


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
    import threading

    answer, asked = threading.Event(), []

    def stat(path: Path) -> os.statvfs_result:
        asked.append(path)
        answer.wait()
        return STAT

    patient = Patient(stat, patience=0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            patient(Path("/x"))
    assert len(asked) == 1
    answer.set()
    for thread in patient._waiting.values():
        thread.join()
    assert patient(Path("/x")) is STAT


def test_traffic_and_its_rates(host: Host, later: Path, golden: Path) -> None:
    collector = Network(Host(proc=later))
    first = collector.collect(100.0)
    shutil.copytree(golden / "proc-later", later, dirs_exist_ok=True)
    second = {(r.stype_id, r.metric): r.value for r in collector.collect(110.0)}
    assert {r.stype_id for r in first} == {"eth0", "ib0"}
    assert not [r for r in first if r.metric.endswith("_bw")]
    assert {metric: value for (interface, metric), value in second.items() if interface == "eth0"} == {
        "net_bytes_in": 10500000, "net_pkts_in": 20400, "net_errors_in": 1, "net_drops_in": 2,
        "net_bytes_out": 5020000, "net_pkts_out": 10100, "net_errors_out": 3, "net_drops_out": 4,
        "net_bytes_in_bw": 50000, "net_pkts_in_bw": 40, "net_bytes_out_bw": 2000, "net_pkts_out_bw": 10,
    }  # fmt: skip


def test_a_counter_that_started_again_has_no_rate() -> None:
    before, after = Traffic(100, 10, 0, 0, 100, 10, 0, 0), Traffic(5, 1, 0, 0, 200, 20, 0, 0)
    rates = {r.metric for r in network.readings({"e": before}, {"e": after}, 10) if r.metric.endswith("_bw")}
    assert rates == {"net_bytes_out_bw", "net_pkts_out_bw"}


@pytest.mark.parametrize(
    "name",
    [
        "lo",
        "veth12ab",
        "cali1",
        "lxc_health",
        "eni0a1b2c",
        "docker0",
        "br-0123456789ab",
        "cni-podman0",
        "cilium_vxlan",
        "tunl0",
        "ifb1",
        "kube-ipvs0",
        "tap1",
    ],
)
def test_interfaces_left_out(name: str) -> None:
    assert LEFT_OUT.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["eth0", "enp3s0f1", "eno1", "ens5", "wlan0", "ib0", "bond0", "eth0.100", "br0", "team0", "wg0", "lowlan", "lan0"]
)
def test_interfaces_shown(name: str) -> None:
    assert not LEFT_OUT.fullmatch(name)


def test_without_process_1_the_agents_own_view_is_shown_and_said_once(later: Path, caplog: pytest.LogCaptureFixture) -> None:
    (later / "1").rename(later / "self")
    collector = Network(Host(proc=later))
    assert {r.stype_id for r in collector.collect(0) + collector.collect(1)} == {"eth0", "ib0"}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("1/net/dev: No such file or directory; showing the agent's own view")


def test_collectors_are_switched_by_name(host: Host) -> None:
    assert set(build({"cpu": False, "load": True}, host)) == set(COLLECTORS) - {"cpu"}
    with pytest.raises(SettingsError, match="no collector 'gpu'; there are cpu, memory, swap, load, filesystems, network"):
        build({"gpu": True}, host)


def test_this_machine_has_all_of_it() -> None:
    """No fixture: psutil, procfs and statvfs as they are here."""
    found: dict[str, Any] = {}
    for make in COLLECTORS.values():
        found |= {r.metric: r for r in make(Host()).collect(0)}
    assert found["proc_total"].value > 0
    assert found["mem_total"].value > found["mem_available"].value > 0
    assert isinstance(found["uptime"], Reading)
