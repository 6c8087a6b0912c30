"""What the kernel counts of the whole host: pressure, paging, sockets, open files, memory of NUMA domains."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metricagent.collector import Reading
from metricagent.collectors import handles, memory, numa, paging, pressure, sockets
from metricagent.collectors.pressure import Pressure
from metricagent.host import Host

Ticking = Callable[[str], list[Reading]]


def test_pressure_is_a_share_and_a_time(ticking: Ticking) -> None:
    assert {r.metric: r.value for r in ticking("pressure")} == {
        "pressure_cpu_some": 5.0, "pressure_cpu_some_time": 4.5,
        "pressure_io_some": 20.0, "pressure_io_some_time": 5.0,
        "pressure_io_full": 10.0, "pressure_io_full_time": 2.5,
        "pressure_memory_some": 0.0, "pressure_memory_some_time": 0.2,
        "pressure_memory_full": 0.0, "pressure_memory_full_time": 0.1,
    }  # fmt: skip


def test_pressure_that_comes_later_is_found_within_a_minute(tmp_path: Path) -> None:
    collector = Pressure(Host(proc=tmp_path))
    assert collector.collect(0) == []
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/io").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=5000000\n")
    assert collector.collect(59) == []
    assert [(r.metric, r.value) for r in collector.collect(60)] == [("pressure_io_some_time", 5.0)]


def test_paging_is_in_bytes(host: Host, golden: Path) -> None:
    assert {r.metric: r.value for r in paging.parse((golden / "proc/vmstat").read_bytes())} == {
        "vm_page_faults": 500000, "vm_major_page_faults": 70, "vm_paged_in": 1000 << 10, "vm_paged_out": 2000 << 10,
        "vm_swapped_in": 12 * paging.PAGE, "vm_swapped_out": 34 * paging.PAGE, "vm_oom_kills": 1,
    }  # fmt: skip


def test_sockets_of_both_versions_of_ip_together(ticking: Ticking) -> None:
    assert {r.metric: r.value for r in ticking("sockets")} == {
        "sockets_used": 245, "tcp_in_use": 19, "tcp_orphan": 1, "tcp_time_wait": 5, "tcp_mem": 3 * sockets.PAGE,
        "udp_in_use": 6, "udp_mem": 2 * sockets.PAGE,
    }  # fmt: skip


def test_a_host_without_ipv6_has_its_sockets_too(tmp_path: Path) -> None:
    (tmp_path / "1/net").mkdir(parents=True)
    (tmp_path / "1/net/sockstat").write_text("sockets: used 1\nTCP: inuse 1\n")
    collector = sockets.Sockets(Host(proc=tmp_path))
    for _ in range(2):
        assert {r.metric: r.value for r in collector.collect(0)} == {"sockets_used": 1, "tcp_in_use": 1}


def test_open_files(ticking: Ticking) -> None:
    assert [(r.metric, r.value) for r in ticking("handles")] == [("files_open", 1180.0), ("files_max", float(2**63 - 1))]


def test_memory_of_a_numa_domain(ticking: Ticking) -> None:
    found = {(r.type_id, r.metric): r.value for r in ticking("numa")}
    assert {type_id for type_id, _ in found} == {"0", "1"}
    assert found["0", "mem_total"] == 8192000 << 10
    assert found["1", "mem_free"] == 2048000 << 10
    assert found["0", "mem_used"] == (8192000 - 1024000 - 3000000 - 128000) << 10
    assert found["0", "mem_cached"] == (3100000 + 128000) << 10
    assert (found["1", "numastats_numa_hit"], found["1", "numastats_numa_hit_rate"]) == (105001, 500)
    assert (found["0", "numastats_numa_foreign"], found["0", "numastats_numa_foreign_rate"]) == (20, 0)


def test_domains_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("node10", "node2", "node0", "power", "nodex"):
        (tmp_path / name).mkdir()
    assert list(numa.domains(tmp_path)) == ["0", "2", "10"]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (memory.parse, b"MemTotal 5 kB\n"),
        (memory.parse, b"MemTotal: 5 pages\n"),
        (memory.parse, b"MemTotal: five kB\n"),
        (memory.parse, b"MemTotal:\n"),
        (numa.memory_of, b"Node 0 MemTotal\n"),
        (numa.allocations, b"numa_hit\n"),
        (paging.parse, b""),
        (paging.parse, b"pgfault x\n"),
        (sockets.parse, b""),
        (sockets.parse, b"sockets: used\n"),
        (handles.parse, b"1 2\n"),
        (pressure.parse, b"some avg10=0.00\n"),
    ],
)
def test_what_is_something_else_is_an_error(parse: Callable[[bytes], object], text: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot parse|invalid literal|not enough values|argument|unpack"):
        parse(text)
