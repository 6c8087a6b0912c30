"""Shares of cpu time of the host, its sockets, cores and threads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metricagent.collector import Reading
from metricagent.collectors import cpu
from metricagent.collectors.cpu import Times, passed, shares
from metricagent.collectors.topology import Seat, Topology, cores

ZERO = Times(0, 0, 0, 0, 0, 0, 0, 0)


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
        (Times(9, 9, 9, 9, 9, 9, 9, 9), ZERO, {}),
        (ZERO, ZERO, {}),
    ],
)
def test_shares_of_cpu_time(before: Times, after: Times, expected: dict[str, float]) -> None:
    assert shares(passed(before, after)) == expected


def test_threads_keep_their_numbers_when_one_is_offline(ticking: Callable[[str], list[Reading]]) -> None:
    found = {(r.type, r.type_id, r.metric): r.value for r in ticking("cpu")}
    assert found["", "", "cpu_user"] == 25
    assert found["hwthread", "0", "cpu_user"] == 50
    assert found["hwthread", "2", "cpu_idle"] == 75
    assert ("hwthread", "1", "cpu_user") not in found
    assert found["core", "1", "cpu_idle"] == found["socket", "1", "cpu_idle"] == 75
    assert ("core", "1", "cpu_irq") not in found


def test_a_thread_that_came_online_has_no_shares_yet(tmp_path: Path) -> None:
    after = {"cpu": Times(1, 0, 0, 1, 0, 0, 0, 0), "cpu0": Times(1, 0, 0, 1, 0, 0, 0, 0)}
    assert {r.type for r in cpu.readings({"cpu": ZERO}, after, Topology(tmp_path))} == {""}


def test_a_cores_share_is_of_all_its_threads(tmp_path: Path) -> None:
    topology = Topology(tmp_path)
    topology.core, topology.socket = {"0": "0", "1": "0"}, {"0": "3", "1": "3"}
    after = {
        "cpu": ZERO,
        "cpu0": ZERO._replace(user=30, idle=70),
        "cpu1": ZERO._replace(idle=60, iowait=40),
        "cpu2": ZERO._replace(system=9),  # where it is, is not known
    }
    found = {
        (r.type, r.type_id): r.value
        for r in cpu.readings(dict.fromkeys(after, ZERO), after, topology)
        if r.metric == "cpu_user"
    }
    assert found == {("hwthread", "0"): 30, ("hwthread", "1"): 0, ("hwthread", "2"): 0, ("core", "0"): 15, ("socket", "3"): 15}


def test_cores_are_counted_in_the_order_of_their_first_threads() -> None:
    one, other, far = Seat(0, 0, 0), Seat(0, 0, 8), Seat(1, 0, 0)
    seats = {"0": one, "1": other, "2": far, "10": one, "11": other, "12": far, "13": None}
    assert cores(seats) == {"0": "0", "1": "1", "2": "2", "10": "0", "11": "1", "12": "2"}


def test_a_thread_that_goes_offline_changes_no_cores_number(golden: Path) -> None:
    topology = Topology(golden / "sys/devices/system/cpu")
    topology.learn(["0", "2"])
    topology.learn(["2"])
    assert topology.core == {"0": "0", "2": "1"}
    assert topology.socket == {"0": "0", "2": "1"}


@pytest.mark.parametrize("text", [b"", b"intr 1\n", b"cpu  1 2\n", b"cpu a b c d e f g h\n"])
def test_a_broken_stat_is_an_error(text: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        cpu.parse(text)
