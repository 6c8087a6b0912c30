"""Disks, sensors, energy and InfiniBand ports, in sysfs as drivers show them."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metricagent.collector import Reading
from metricagent.collectors import disks
from metricagent.collectors.energy import Energy
from metricagent.collectors.infiniband import Infiniband
from metricagent.collectors.temperatures import Temperatures, sensors
from metricagent.host import Host

Ticking = Callable[[str], list[Reading]]


@pytest.fixture
def unprivileged(golden: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A sysfs whose energy is for root alone, and a process that is not root's."""
    caplog.set_level("INFO")
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        tree.chmod(0o755)
        shutil.copytree(golden / "sys/class/powercap", tree / "class/powercap")
        (tree / "class/powercap/intel-rapl:0/energy_uj").chmod(0)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65534)
        yield tree
        os.seteuid(me)


def test_disks_in_base_units_with_rates(ticking: Ticking) -> None:
    found = {(r.stype_id, r.metric): r.value for r in ticking("disks")}
    assert {(name, value) for (disk, name), value in found.items() if disk == "sda"} == {
        ("io_reads", 1100), ("io_read_bytes", (80000 + 20480) * 512), ("io_read_time", 2.05),
        ("io_writes", 510), ("io_write_bytes", (40000 + 2048) * 512), ("io_write_time", 3.02),
        ("io_time", 6.5), ("io_weighted_time", 5.07), ("io_discards", 7), ("io_flushes", 9), ("io_in_flight", 1),
        ("io_reads_rate", 10), ("io_writes_rate", 1), ("io_read_bw", 1048576), ("io_write_bw", 104857.6), ("io_busy", 25),
    }  # fmt: skip
    assert {disk for disk, _ in found} == {"sda", "nvme0n1", "cciss/c0d0"}
    assert ("cciss/c0d0", "io_discards") not in found  # an old kernel's line


def test_the_sum_over_disks_counts_nothing_twice(tmp_path: Path) -> None:
    for path in ("sda", "sda1", "md0/slaves/sda", "dm-0/slaves/md0", "dm-1/slaves", "loop0", "ram0", "zram0", "sr0", "vda"):
        (tmp_path / path).mkdir(parents=True)
    assert disks.disks(tmp_path) == {"sda", "sda1", "dm-1", "vda"}  # partitions are not in /sys/block


@pytest.mark.parametrize("text", [b"8 0 sda 1 2 3\n", b"8\n", b"8 0 sda a b c d e f g h i j k\n"])
def test_a_broken_diskstats_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot parse|unpack|invalid literal"):
        disks.parse(text)


def test_temperatures_by_chip_and_label(golden: Path) -> None:
    found = Temperatures(Host(sys=golden / "sys")).collect(0)
    assert {r.stype_id: r.value for r in found} == {
        "coretemp.0/Package id 0": 45.0,
        "coretemp.0/Core 0": 43.5,
        "k10temp-0000:00:18.3/Tctl": 51.125,
        "acpitz/temp1": -5.0,
    }
    assert {(r.metric, r.stype) for r in found} == {("temp", "sensor")}


def test_a_sensor_that_sleeps_costs_itself_alone(tmp_path: Path, golden: Path) -> None:
    shutil.copytree(golden / "sys", tmp_path, symlinks=True, dirs_exist_ok=True)
    collector = Temperatures(Host(sys=tmp_path))
    assert len(collector.collect(0)) == 4
    (tmp_path / "class/hwmon/hwmon1/temp1_input").unlink()
    assert len(collector.collect(1)) == 3
    shutil.rmtree(tmp_path / "class/hwmon/hwmon0")
    assert len(collector.collect(61)) == 1


def test_two_chips_of_a_kind_have_two_names(tmp_path: Path) -> None:
    for number in "01":
        chip, device = tmp_path / f"hwmon/hwmon{number}", tmp_path / f"nvme{number}"
        for folder in (chip, device):
            folder.mkdir(parents=True)
        (chip / "name").write_text("nvme\n")
        (chip / "temp1_label").write_text("Composite\n")
        (chip / "temp1_input").write_text("40000\n")
        (chip / "device").symlink_to(device)
    assert sorted(sensors(tmp_path / "hwmon")) == ["nvme0/Composite", "nvme1/Composite"]


def test_energy_by_socket_and_domain_also_when_a_counter_starts_again(ticking: Ticking) -> None:
    found = {(r.type_id, r.stype_id, r.metric): r.value for r in ticking("energy")}
    assert found == {
        ("0", "", "rapl_energy"): pytest.approx(1000), ("0", "", "rapl_average_power"): pytest.approx(100),
        ("0", "core", "rapl_energy"): pytest.approx(600), ("0", "core", "rapl_average_power"): pytest.approx(60),
        ("0", "dram", "rapl_energy"): pytest.approx(200), ("0", "dram", "rapl_average_power"): pytest.approx(20),
        ("1", "", "rapl_energy"): pytest.approx(1.999999), ("1", "", "rapl_average_power"): pytest.approx(0.1999999),
        ("1", "core", "rapl_energy"): pytest.approx(600), ("1", "core", "rapl_average_power"): pytest.approx(60),
        ("1", "dram", "rapl_energy"): pytest.approx(200), ("1", "dram", "rapl_average_power"): pytest.approx(20),
    }  # fmt: skip


def test_dies_count_to_their_socket(tmp_path: Path) -> None:
    for number in (0, 1):
        zone = tmp_path / f"class/powercap/intel-rapl:{number}"
        zone.mkdir(parents=True)
        (zone / "name").write_text(f"package-0-die-{number}\n")
        (zone / "max_energy_range_uj").write_text("1000000000\n")
        (zone / "energy_uj").write_text("0\n")
    collector = Energy(Host(sys=tmp_path))
    collector.collect(0)
    for number in (0, 1):
        (tmp_path / f"class/powercap/intel-rapl:{number}/energy_uj").write_text("10000000\n")
    assert [(r.type_id, r.stype_id, r.metric, r.value) for r in collector.collect(10)] == [
        ("0", "", "rapl_energy", 20.0),
        ("0", "", "rapl_average_power", 2.0),
    ]


def test_energy_that_may_not_be_read_is_said_once(unprivileged: Path, caplog: pytest.LogCaptureFixture) -> None:
    zone = unprivileged / "class/powercap/intel-rapl:0"
    collector = Energy(Host(sys=unprivileged))
    assert collector.collect(0) == collector.collect(100) == []
    assert caplog.messages == [f"cannot read {zone}/energy_uj: Permission denied; no energy is shown"]


def test_infiniband_in_bytes_with_rates(ticking: Ticking) -> None:
    found = ticking("infiniband")
    assert {r.stype_id for r in found} == {"mlx5_0:1"}  # the other port counts nothing
    assert {r.metric: r.value for r in found} == {
        "ib_recv": 5000000, "ib_xmit": 10000000, "ib_recv_pkts": 5100, "ib_xmit_pkts": 6200,
        "ib_recv_errors": 1, "ib_xmit_discards": 2, "ib_symbol_errors": 4, "ib_link_downed": 3,
        "ib_recv_bw": 100000, "ib_xmit_bw": 200000, "ib_recv_pkts_bw": 10, "ib_xmit_pkts_bw": 20,
    }  # fmt: skip


def test_a_port_that_goes_away_costs_itself_alone(tmp_path: Path, golden: Path) -> None:
    shutil.copytree(golden / "sys/class/infiniband", tmp_path / "class/infiniband")
    collector = Infiniband(Host(sys=tmp_path))
    assert collector.collect(0)
    shutil.rmtree(tmp_path / "class/infiniband/mlx5_0")
    assert collector.collect(1) == []
