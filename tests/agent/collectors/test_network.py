"""Traffic of the interfaces that are the host's own."""

import shutil
from pathlib import Path

import pytest

from metricagent.collectors import network
from metricagent.collectors.network import LEFT_OUT, Network, Traffic
from metricagent.host import Host


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
    shutil.rmtree(later / "self")
    (later / "1").rename(later / "self")
    collector = Network(Host(proc=later))
    assert {r.stype_id for r in collector.collect(0) + collector.collect(1)} == {"eth0", "ib0"}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("1/net/dev: No such file or directory; showing the agent's own view")
