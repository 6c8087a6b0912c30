"""The collector of containers on fixture trees of both versions of cgroups, as kubelets make them."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.collector import Reading
from metricagent.containers import Containers, files, network, version1, version2
from metricagent.containers.containers import NoCgroups
from metricagent.containers.devices import Devices
from metricagent.containers.processes import EVERY, Processes
from metricagent.host import AGAIN, Host
from metricwire.catalog import BY_NAME

WEB, DB, PAUSE = "a1" * 32, "b2" * 32, "c3" * 32
POD = "3f1c8a52-7d0e-4b6a-9c11-0a2b3c4d5e6f"
NETWORK = {
    "container_network_receive_bytes_total": 1500,
    "container_network_receive_packets_total": 15,
    "container_network_receive_errors_total": 1,
    "container_network_receive_packets_dropped_total": 2,
    "container_network_transmit_bytes_total": 3600,
    "container_network_transmit_packets_total": 36,
    "container_network_transmit_errors_total": 3,
    "container_network_transmit_packets_dropped_total": 4,
}
BOTH = NETWORK | {
    "container_processes": 2,
    "container_threads": 9,
    "container_cpu_limit": 1.5,
    "container_cpu_cfs_periods_total": 400,
    "container_cpu_cfs_throttled_periods_total": 25,
    "container_cpu_cfs_throttled_seconds_total": 1.5,
    "container_memory_usage_bytes": 104857600,
    "container_memory_working_set_bytes": 104857600 - 20971520,
    "container_memory_memsw_usage_bytes": 104861696,
    "container_memory_cache": 41943040,
    "container_memory_rss": 52428800,
    "container_memory_mapped_file": 8388608,
    "container_memory_swap": 4096,
    "container_memory_unevictable_bytes": 12288,
    "container_spec_memory_limit_bytes": 268435456,
    "container_memory_failcnt": 5,
    "container_oom_events_total": 1,
}
SDA = {
    "container_fs_reads_bytes_total": 1048576,
    "container_fs_writes_bytes_total": 2097152,
    "container_fs_reads_total": 64,
    "container_fs_writes_total": 128,
}


def nothing(_: str) -> None:
    return None


def containers(tree: Path, known: tuple[str, ...] = (), limits: dict[str, float] | None = None) -> Containers:
    return Containers(Host(proc=tree / "proc", sys=tree / "sys"), known.__contains__, (limits or {}).get)


@pytest.mark.parametrize(
    ("path", "known", "measured"),
    [
        ("user.slice/user-1000.slice/{}", (), False),
        ("system.slice/a.service/cri-containerd-{}.scope", (), False),
        ("docker/{}", (), False),
        ("docker/{}", (WEB,), True),
        ("kubepods.slice/kubepods-burstable.slice/{}", (), False),
    ],
)
def test_on_a_node_of_kubernetes_a_container_is_one_of_a_pod(
    tree: Path, path: str, known: tuple[str, ...], measured: bool
) -> None:
    host = Host(proc=tree / "proc", sys=tree / "sys")
    collector = Containers(host, known.__contains__, {}.get, only_pods=True)
    assert WEB in {each.type_id for each in collector.collect(0)}, "below the kubelet's, with nobody to ask"
    new = tree / "sys/fs/cgroup" / path.format(WEB)
    new.parent.mkdir(parents=True, exist_ok=True)
    web(tree).rename(new)
    assert (
        WEB in {each.type_id for each in Containers(host, known.__contains__, {}.get, only_pods=True).collect(0)}
    ) == measured
    assert WEB in {each.type_id for each in containers(tree).collect(0)}, "on other machines it is one"


def values(readings: list[Reading], container: str, device: str = "") -> dict[str, float]:
    tags = (("device", device),) if device else ()
    found = [each for each in readings if each.type_id == container and each.tags == tags]
    assert all(each.type == "container" and not each.stype and each.metric in BY_NAME for each in found)
    assert len({each.metric for each in found}) == len(found)
    return {each.metric: each.value for each in found}


@pytest.fixture
def tree(golden: Path, tmp_path: Path) -> Path:
    """A copy of the tree of version 2, to change."""
    return Path(shutil.copytree(golden / "cgroup2", tmp_path / "cgroup2", symlinks=True))


def web(tree: Path) -> Path:
    return next(tree.rglob(f"cri-containerd-{WEB}.scope"))


def test_version_2(golden: Path) -> None:
    readings = containers(golden / "cgroup2", limits={WEB: 1e9}).collect(0)
    assert values(readings, WEB) == BOTH | {
        "container_cpu_usage_seconds_total": 12.345678,
        "container_cpu_user_seconds_total": 10.0,
        "container_cpu_system_seconds_total": 2.345678,
        "container_spec_memory_reservation_limit_bytes": 201326592,
        "container_memory_high_events_total": 7,
        "container_disk_limit_bytes": 1e9,
    }
    assert values(readings, WEB, "sda") == SDA
    assert values(readings, WEB, "259:3") == {
        "container_fs_reads_bytes_total": 4096,
        "container_fs_writes_bytes_total": 0,
        "container_fs_reads_total": 1,
        "container_fs_writes_total": 0,
    }
    assert {each.type_id for each in readings} == {WEB, DB}


def test_no_limits_no_swap_no_controller(golden: Path) -> None:
    """What is not there has no value; the working set is not below 0."""
    assert values(containers(golden / "cgroup2").collect(0), DB) == NETWORK | {
        "container_processes": 1,
        "container_threads": 1,
        "container_cpu_usage_seconds_total": 1.0,
        "container_cpu_user_seconds_total": 0.6,
        "container_cpu_system_seconds_total": 0.4,
        "container_memory_usage_bytes": 4096,
        "container_memory_working_set_bytes": 0,
        "container_memory_cache": 2048,
        "container_memory_rss": 1024,
        "container_memory_mapped_file": 0,
        "container_memory_unevictable_bytes": 0,
    }


def test_version_1(golden: Path) -> None:
    readings = containers(golden / "cgroup1").collect(0)
    assert values(readings, WEB) == BOTH | {
        "container_cpu_usage_seconds_total": 12.345678901,
        "container_cpu_user_seconds_total": 10.0,
        "container_cpu_system_seconds_total": 2.34,
    }
    assert values(readings, WEB, "8:0") == SDA


def test_a_sandbox_is_no_container_unless_the_api_server_says_so(golden: Path) -> None:
    found = containers(golden / "cgroup2", known=(PAUSE,)).collect(0)
    assert {each.type_id for each in found} == {WEB, DB, PAUSE}


def test_a_sandbox_that_was_seen_before_it_began_is_none_later_either(tree: Path) -> None:
    (comm,) = [path for path in tree.glob("proc/*/comm") if path.read_text() == "pause\n"]
    comm.write_text("runc:[2:INIT]\n")
    collector = containers(tree)
    assert PAUSE in {each.type_id for each in collector.collect(0)}
    comm.write_text("pause\n")
    for _ in range(2):
        assert {each.type_id for each in collector.collect(0)} == {WEB, DB}


def test_every_metric_of_a_container_is_measured_somewhere(golden: Path) -> None:
    """All but the accelerators', which nvidia.py measures, and what scrape.py says of a pod."""
    found = containers(golden / "cgroup2", limits={WEB: 1.0}).collect(0)
    named = {metric.name for metric in BY_NAME.values() if metric.at == ("container",) and "accelerator" not in metric.name}
    assert {each.metric for each in found} == named - {"scrape_up"}


def test_on_the_hosts_network_there_is_none_of_its_own(tree: Path) -> None:
    for path in (tree / "proc/101/net/dev", tree / "proc/102/net/dev"):
        path.unlink()
        os.link(tree / "proc/1/net/dev", path)  # one namespace, one inode
    found = containers(tree).collect(0)
    assert not values(found, WEB).keys() & NETWORK.keys()
    assert values(found, DB).keys() > NETWORK.keys()


def test_processes_that_may_not_be_seen(tree: Path) -> None:
    """hidepid, or another user's: no count, no network; and no sandbox can be told."""
    for path in tree.glob("proc/[0-9]*"):
        shutil.rmtree(path)
    found = values(containers(tree).collect(0), WEB)
    assert found["container_threads"] == 9
    assert not found.keys() & (NETWORK.keys() | {"container_processes"})


def test_a_users_process_in_a_cgroup_of_a_containers_name_is_not_the_containers(tree: Path) -> None:
    path = f"user.slice/user-1000.slice/{web(tree).parent.name}/{web(tree).name}"
    (tree / "sys/fs/cgroup" / path).mkdir(parents=True)
    (tree / "sys/fs/cgroup" / path / "memory.current").write_text("666\n")
    for pid, up in ((50, ""), (51, "/../../../..")):
        (tree / f"proc/{pid}/net").mkdir(parents=True)
        (tree / f"proc/{pid}/cgroup").write_text(f"0::{up}/{path}\n")
        (tree / f"proc/{pid}/net/dev").write_text("h\nh\n  eth0: 666 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n")
    found = values(containers(tree).collect(0), WEB)
    assert found.items() >= (NETWORK | {"container_processes": 2, "container_memory_usage_bytes": 104857600}).items()


def test_an_empty_cgroup_is_what_a_runtime_left(tree: Path) -> None:
    (web(tree) / "pids.current").write_text("0\n")
    assert {each.type_id for each in containers(tree).collect(0)} == {DB}


@pytest.mark.parametrize("name", [name for _, name, _ in version2.FILES] + ["io.stat"])
def test_a_container_that_goes_while_it_is_read_gives_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def read(path: str) -> bytes:
        if path.endswith(f"{WEB}.scope/{name}"):
            web(tree).rename(tree / "gone")
        return files.read(path)

    monkeypatch.setattr("metricagent.containers.containers.read", read)
    collector = containers(tree)
    assert {each.type_id for each in collector.collect(0)} == {DB}
    assert {each.type_id for each in collector.collect(10)} == {DB}


def test_a_read_that_fails_halfway(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open file of a cgroup that is removed answers ENODEV."""

    def read(path: str) -> bytes:
        if path.endswith(f"{WEB}.scope/memory.stat"):
            raise OSError(errno.ENODEV, "No such device")
        return files.read(path)

    monkeypatch.setattr("metricagent.containers.containers.read", read)
    found = values(containers(tree).collect(0), WEB)
    assert "container_memory_rss" not in found
    assert found["container_memory_usage_bytes"] == 104857600


def test_a_garbled_file_costs_its_own_values_and_is_said_once(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    (web(tree) / "memory.stat").write_text("anon\n")
    (web(tree) / "cpu.max").write_text("1 2 3\n")
    collector = containers(tree)
    for now in (0, 10):
        found = values(collector.collect(now), WEB)
        assert "container_memory_rss" not in found
        assert "container_cpu_limit" not in found
        assert found["container_memory_usage_bytes"] == 104857600
    assert len(caplog.messages) == 2


def test_two_nodes_in_one_machine(golden: Path, tmp_path: Path) -> None:
    """The agent's own cgroup says which of the two is its node."""
    tree = shutil.copytree(golden / "cgroup1", tmp_path / "cgroup1")
    for controller in tree.glob("sys/fs/cgroup/*"):
        (controller / "node-1").mkdir()
        shutil.copytree(controller / "kubepods", controller / "node-2/kubepods")
        (controller / "kubepods").rename(controller / "node-1/kubepods")
        (controller / f"node-2/kubepods/burstable/pod{POD}/{WEB}").rename(
            controller / f"node-2/kubepods/burstable/pod{POD}/{DB}"
        )
    for cgroup in tree.glob("proc/[0-9]*/cgroup"):
        cgroup.write_text(cgroup.read_text().replace(":/kubepods", ":/node-1/kubepods"))
    (tree / "proc/self/cgroup").write_text(f"4:memory:/node-2/kubepods/besteffort/pod{POD}/{PAUSE}\n")
    assert {each.type_id for each in containers(tree).collect(0)} == {DB}
    (tree / "proc/self/cgroup").write_text("4:memory:/system.slice/agent.service\n")
    assert {each.type_id for each in containers(tree).collect(0)} == {WEB, DB}
    (tree / "proc/self/cgroup").write_text(f"4:memory:/gone/kubepods/besteffort/pod{POD}/{PAUSE}\n")
    assert {each.type_id for each in containers(tree).collect(0)} == {WEB, DB}


def test_no_cgroups_is_a_failure_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(NoCgroups, match="has neither cgroup"):
        containers(tmp_path).collect(0)


def test_what_came_later_is_found(tree: Path) -> None:
    collector = containers(tree)
    collector.collect(0)
    new = "d4" * 32
    shutil.copytree(web(tree), web(tree).with_name(f"cri-containerd-{new}.scope"))
    (tree / "proc/777").mkdir()
    (tree / "proc/777/cgroup").write_text(f"0::/../cri-containerd-{new}.scope\n")
    found = values(collector.collect(10), new)
    assert found["container_processes"] == 1


def test_processes_are_looked_at_again(tree: Path) -> None:
    """A process that changed its cgroup is noticed: in the second tick, since most do at their start, or within EVERY."""
    processes = Processes(str(tree / "proc"))
    paths = {name: str(next(tree.rglob(f"*{name}.scope"))).removeprefix(str(tree / "sys/fs/cgroup")) for name in (WEB, DB)}
    assert {name: sorted(pids) for name, pids in processes.by_container(paths).items()} == {WEB: [101, 102], DB: [201]}
    text = (tree / "proc/101/cgroup").read_text().replace(WEB, DB)
    (tree / "proc/101/cgroup").write_text(text)
    assert sorted(processes.by_container(paths)[DB]) == [101, 201]
    (tree / "proc/102/cgroup").write_text(text)
    found = [len(processes.by_container(paths)[DB]) for _ in range(EVERY)]
    assert found == sorted(found)
    assert found[-1] == 3
    shutil.rmtree(tree / "proc/201")
    assert sorted(processes.by_container(paths)[DB]) == [101, 102]
    assert processes.command(101) == "nginx"
    assert processes.command(999) == ""


def test_interfaces_that_are_not_the_pods_traffic() -> None:
    head = b"Inter-|\n face |\n"
    numbers = b": 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"
    assert network.parse(head + b"    lo" + numbers + b"veth12ab" + numbers + b"docker0" + numbers + b" tunl0" + numbers) == {}
    assert (
        network.parse(head + b"  eth0" + numbers + b"    lo" + numbers)["container_network_transmit_packets_dropped_total"] == 8
    )
    assert network.parse(head) == {}
    with pytest.raises(ValueError, match="cannot parse net/dev"):
        network.parse(head + b"eth0: 1 2\n")


def test_a_process_that_got_the_id_of_another_is_looked_at_at_once(tree: Path) -> None:
    paths = {name: str(next(tree.rglob(f"*{name}.scope"))).removeprefix(str(tree / "sys/fs/cgroup")) for name in (WEB, DB)}
    processes = Processes(str(tree / "proc"))
    for _ in range(2):
        processes.by_container(paths)
    for pid in (101, 102):
        (tree / f"proc/{pid}").rename(tree / f"gone-{pid}")
        shutil.copytree(tree / "proc/201", tree / f"proc/{pid}")
    assert {name: sorted(pids) for name, pids in processes.by_container(paths).items()} == {DB: [101, 102, 201]}


def test_names_of_devices(golden: Path, tmp_path: Path) -> None:
    devices = Devices(golden / "cgroup2/sys")
    assert [devices.name(number, 0) for number in ("8:0", "8:0", "7:1")] == ["sda", "sda", "7:1"]
    assert Devices(tmp_path).name("8:0", 0) == "8:0"


def test_a_device_that_got_the_number_of_another_has_its_own_name(tmp_path: Path) -> None:
    link = tmp_path / "dev/block/259:3"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../devices/nvme1/nvme1n1")
    devices = Devices(tmp_path)
    assert devices.name("259:3", 0) == "nvme1n1"
    link.unlink()
    link.symlink_to("../../devices/nvme4/nvme4n1")
    assert devices.name("259:3", AGAIN) == "nvme4n1"


IDLE = st.lists(st.sampled_from([b"7:7 ", b"7:6 ", b"1:15 "]), max_size=3).map(b"".join)


@given(IDLE, IDLE, IDLE)
def test_devices_that_did_nothing_cost_the_others_nothing(first: bytes, second: bytes, last: bytes) -> None:
    """Linux 5.15 names them before the next device, on its line, and at the end."""
    sda = b"8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
    nvme = b"259:3 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0 cost.usage=7\n"
    assert version2.io_stat(first + sda + second + nvme + last) == {
        device: dict(zip(SDA, counts, strict=True)) for device, counts in (("8:0", (4096, 8192, 1, 2)), ("259:3", (1, 2, 3, 4)))
    }


WORDS = st.sampled_from([b"8:0", b"7:7", b"\xff", b"rbytes=1", b"wios=2", b"rbytes=", b"rios=x", b"=", b"rios=1=2", b"\n", b""])


@given(st.lists(WORDS).map(b" ".join))
def test_any_words_of_io_stat_give_values_or_an_error(text: bytes) -> None:
    with suppress(ValueError):
        version2.io_stat(text)


def test_files_larger_than_a_piece(tmp_path: Path) -> None:
    data = os.urandom(3 * files.PIECE + 1)
    (tmp_path / "f").write_bytes(data)
    assert files.read(str(tmp_path / "f")) == data


PARSERS = [
    *(parse for _, _, parse in (*version1.FILES, *version2.FILES)),
    *(parse for _, _, parse in (*version1.DEVICE_FILES, *version2.DEVICE_FILES)),
    network.parse,
]


@given(st.sampled_from(PARSERS), st.binary())
def test_any_bytes_give_values_or_one_of_two_errors(parse, data: bytes) -> None:  # type: ignore[no-untyped-def]
    try:
        parse(data)
    except (ValueError, KeyError, ArithmeticError):
        return
