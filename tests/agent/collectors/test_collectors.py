"""All collectors against the catalogue: what they give on the fixture trees is what it promises, name by name."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metricagent.collector import Reading
from metricagent.collectors import COLLECTORS, build
from metricagent.collectors.filesystems import Filesystems
from metricagent.host import Host
from metricwire.catalog.host import HOST
from metricwire.errors import SettingsError

STAT = os.statvfs_result((4096, 4096, 1000, 400, 300, 500, 200, 150, 0, 255))


def one(host: Host, name: str) -> dict[str, float]:
    return {reading.metric: reading.value for reading in COLLECTORS[name](host).collect(0)}


def test_each_metric_of_the_catalogue_is_measured_where_it_says(ticking: Callable[[str], list[Reading]], host: Host) -> None:
    found = [reading for name in COLLECTORS if name != "filesystems" for reading in ticking(name)]
    found += Filesystems(host, stat=lambda _: STAT).collect(0)
    assert {(r.metric, r.stype or r.type or "node") for r in found} == {(m.name, level) for m in HOST for level in m.at}
    assert len({reading[:1] + reading[2:] for reading in found}) == len(found)  # no series twice
    assert {type(reading.value) for reading in found} == {float}


def test_a_host_that_has_nothing_of_it_has_no_readings_and_no_failure(later: Path) -> None:
    for name in ("pressure", "disks", "numa", "temperatures", "energy", "infiniband", "nfs", "nfsmounts", "lustre", "nvidia"):
        collector = COLLECTORS[name](Host(proc=later / "none", sys=later / "none"))
        assert collector.collect(0) == collector.collect(100) == []


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
                "mem_shared": 128000 << 10,
                "mem_slab": 400000 << 10,
                "mem_active": 6000000 << 10,
                "mem_inactive": 4000000 << 10,
                "mem_dirty": 1200 << 10,
                "mem_writeback": 8 << 10,
                "mem_anon_pages": 5000000 << 10,
                "mem_mapped": 700000 << 10,
                "mem_locked": 21388 << 10,
                "mem_kernelstack": 16000 << 10,
                "mem_pagetables": 40000 << 10,
                "mem_hugepages_total": 4,
                "mem_hugepages_free": 3,
            },
        ),
        (
            "cpu",
            {
                "num_cpus": 2,
                "context_switches": 3840921,
                "interrupts": 1462898,
                "forks": 86031,
                "proc_running": 2,
                "proc_blocked": 0,
            },
        ),
    ],
)
def test_values(host: Host, name: str, values: dict[str, float]) -> None:
    assert one(host, name) == values


def test_collectors_are_switched_by_name(host: Host) -> None:
    assert set(build({"cpu": False, "load": True}, host)) == set(COLLECTORS) - {"cpu"}
    with pytest.raises(SettingsError, match="no collector 'gpu'; there are cpu, memory, swap, load, pressure, "):
        build({"gpu": True}, host)


def test_collectors_are_documented() -> None:
    text = (Path(__file__).parents[3] / "docs/agent.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \|.*\|$", text, re.MULTILINE)
    assert set(COLLECTORS) <= {name for row in rows for name in re.findall(r"\w+", row)}


def test_this_machine_has_all_of_it() -> None:
    """No fixture: procfs, sysfs and statvfs as they are here."""
    found: dict[str, Any] = {}
    for make in COLLECTORS.values():
        found |= {r.metric: r for r in make(Host()).collect(0)}
    assert found["proc_total"].value > 0
    assert found["mem_total"].value > found["mem_available"].value > 0
    assert isinstance(found["uptime"], Reading)
