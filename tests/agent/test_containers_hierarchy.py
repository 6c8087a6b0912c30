"""The walk: every layout that kubelets and runtimes make, what changes from tick to tick, and much of it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metricagent.containers.hierarchy import Cgroup, Hierarchy

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
UID = "3f1c8a52-7d0e-4b6a-9c11-0a2b3c4d5e6f"
SLICE = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        ([f"kubepods/burstable/pod{UID}/{A}", f"kubepods/besteffort/pod{UID}/{B}"], {A: UID, B: UID}),
        ([f"kubepods/pod{UID}/{A}"], {A: UID}),
        ([f"kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{A}.scope"], {A: UID}),
        (
            [f"kubepods.slice/{SLICE}/crio-{A}.scope/container", f"kubepods.slice/{SLICE}/crio-conmon-{A}.scope"],
            {A: UID},
        ),
        ([f"kubepods.slice/{SLICE}/docker-{A}.scope"], {A: UID}),
        ([f"docker/{A}", f"docker/{B}"], {A: "", B: ""}),
        ([f"system.slice/docker-{A}.scope", "system.slice/docker.service"], {A: ""}),
        ([f"machine.slice/libpod-{A}.scope/container", f"machine.slice/libpod-conmon-{A}.scope"], {A: ""}),
        ([f"system.slice/{SLICE}:cri-containerd:{A}"], {A: UID}),
        # What a container makes within itself is the container's.
        ([f"kubepods/pod{UID}/{A}/docker/{B}", f"kubepods/pod{UID}/{A}/kubepods/pod{UID}/{C}"], {A: UID}),
        ([f"docker/{A}/docker/{B}"], {A: ""}),
        # A container that is a node (kind).
        ([f"docker/{A}/kubepods/pod{UID}/{B}", f"docker/{C}"], {B: UID, C: ""}),
        ([f"docker/{A}/kubelet.slice/kubelet-kubepods.slice/kubelet-{SLICE}/cri-containerd-{B}.scope"], {B: UID}),
        # Of two of one name that in a pod counts: users may make cgroups of their own.
        ([f"user.slice/docker-{A}.scope", f"kubepods/pod{UID}/{A}", f"zz/{A}"], {A: UID}),
        ([f"user.slice/{SLICE}/cri-containerd-{A}.scope", f"user.slice/kubepods.slice/{SLICE}:crio:{B}"], {A: "", B: ""}),
        ([f"kubepods/pod{UID}/{A[:-1]}", f"kubepods/pod{UID}/{A.upper()}", f"kubepods/pod{UID}/{A}a"], {}),
        ([], {}),
    ],
)
def test_layouts(tmp_path: Path, folders: list[str], found: dict[str, str]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    walked = Hierarchy(str(tmp_path)).walk()
    assert {cgroup.id: cgroup.pod for cgroup in walked.values()} == found
    for container, cgroup in walked.items():
        assert cgroup.id == container
        assert (tmp_path / cgroup.path[1:]).is_dir()


@pytest.mark.parametrize("start", ["", "/node"])
@pytest.mark.parametrize(
    "users",
    [
        f"user.slice/u.service/{SLICE}/cri-containerd-{A}.scope",
        f"user.slice/u.service/kubepods.slice/{SLICE}/cri-containerd-{A}.scope",
        f"zz.slice/u.service/kubepods.slice/{SLICE}/cri-containerd-{A}.scope",
        f"zz.slice/kubepods.slice/{SLICE}/cri-containerd-{A}.scope",
        f"docker/{B}/kubepods/pod{UID}/{A}",
        f"user.slice/u.service/{SLICE}:cri-containerd:{A}",
    ],
)
@pytest.mark.parametrize("kubelets", [f"kubepods.slice/{SLICE}/cri-containerd-{A}.scope", f"kubepods/burstable/pod{UID}/{A}"])
def test_a_users_cgroup_is_not_taken_for_a_pods(tmp_path: Path, start: str, kubelets: str, users: str) -> None:
    for folder in (users, kubelets):
        (tmp_path / f"{start}/{folder}".lstrip("/")).mkdir(parents=True)
    assert Hierarchy(str(tmp_path), start).walk()[A] == Cgroup(A, f"{start}/{kubelets}", UID)


def test_a_node_sees_its_own(tmp_path: Path) -> None:
    for node, container in (("node-1", A), ("node-2", B)):
        (tmp_path / f"{node}/kubepods/pod{UID}/{container}").mkdir(parents=True)
    assert Hierarchy(str(tmp_path), "/node-2").walk() == {B: Cgroup(B, f"/node-2/kubepods/pod{UID}/{B}", UID)}


Counted = Callable[[], int]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed from now on."""
    folders: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        folders.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return folders


def test_only_what_changed_is_listed_again(tmp_path: Path, listed: list[str]) -> None:
    if tmp_path.stat().st_nlink < 2:
        pytest.skip("this filesystem does not count the folders in a folder, as cgroups do")
    pods = [tmp_path / f"kubepods/pod{UID[:-1]}{n}" for n in range(4)]
    for pod in pods:
        pod.joinpath(A[:-1] + pod.name[-1]).mkdir(parents=True)
    walk = Hierarchy(str(tmp_path)).walk
    assert len(walk()) == 4
    assert len(listed) == 6
    listed.clear()
    assert len(walk()) == 4
    assert listed == []
    (pods[1] / B).mkdir()
    assert B in walk()
    assert listed == [str(pods[1])]
    listed.clear()
    (pods[2] / (A[:-1] + "2")).rmdir()  # one goes, one comes: a restart
    (pods[2] / C).mkdir()
    assert set(walk()) == {A[:-1] + "0", A[:-1] + "1", A[:-1] + "3", B, C}
    assert listed == [str(pods[2])]
    shutil.rmtree(pods[0])
    pods[0].joinpath(A).mkdir(parents=True)  # of the same name, and another
    found = walk()
    assert A in found
    assert A[:-1] + "0" not in found
    shutil.rmtree(tmp_path / "kubepods")
    assert walk() == {}


def test_a_folder_that_is_not_for_us_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (f"secret/{A}", f"docker/{B}"):
        (tmp_path / folder).mkdir(parents=True)
    real = os.scandir

    def scandir(path: str) -> object:  # chmod would not keep root out
        if path.endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert set(Hierarchy(str(tmp_path)).walk()) == {B}


def test_ten_thousand_cgroups(tmp_path: Path, listed: list[str]) -> None:
    for n in range(100):
        for m in range(100):
            (tmp_path / f"system.slice/s{n}.slice/{m}.service").mkdir(parents=True)
    (tmp_path / f"docker/{A}").mkdir(parents=True)
    hierarchy = Hierarchy(str(tmp_path))
    assert set(hierarchy.walk()) == {A}
    assert len(listed) == 10_000 + 100 + 3
    assert set(hierarchy.walk()) == {A}


def test_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Hierarchy(str(tmp_path / "none")).walk()
