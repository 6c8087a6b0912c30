"""What names of cgroups say; names that look like containers and are none; paths as other namespaces show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.containers import names

ID, OTHER = "a1" * 32, "b2" * 32
UID = "3f1c8a52-7d0e-4b6a-9c11-0a2b3c4d5e6f"
STATIC = "0123456789abcdef0123456789abcdef"  # of a static pod: the hash of its file


@pytest.mark.parametrize(
    "name",
    [
        ID,
        f"cri-containerd-{ID}.scope",
        f"crio-{ID}.scope",
        f"crio-{ID}",
        f"docker-{ID}.scope",
        f"libpod-{ID}.scope",
        f"nerdctl-{ID}.scope",
        f"kubepods-burstable-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}",
    ],
)
def test_containers(name: str) -> None:
    assert names.container(name) == ID


@pytest.mark.parametrize(
    "name",
    [
        ID[:-1],
        ID + "a",
        ID.upper(),
        ID[:-1] + "g",
        ID[:-1] + "\u0661",
        f"crio-conmon-{ID}.scope",
        f"libpod-conmon-{ID}.scope",
        f"x{ID}",
        f"docker-{ID}.service",
        f"docker-{ID}.scope.d",
        f"docker-{ID}\n",
        f"build-{ID}.scope",
        "",
        "docker",
    ],
)
def test_what_looks_like_a_container(name: str) -> None:
    assert names.container(name) is None


@given(st.text())
def test_any_name_is_a_container_or_none(name: str) -> None:
    found = names.container(name)
    assert found is None or found in name
    names.pod(name)
    names.containers_in(name)
    names.node_root(name)


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        (f"pod{UID}", UID),
        (f"pod{STATIC}", STATIC),
        (f"kubepods-burstable-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubepods-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubelet-kubepods-besteffort-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubepods-pod{STATIC}.slice", STATIC),
        (f"kubepods-pod{UID.replace('-', '_')}.slice:crio:{ID}", UID),
        ("kubepods", ""),
        ("pods.service", ""),
        (f"pod{UID}x", ""),
    ],
)
def test_pods(name: str, uid: str) -> None:
    assert names.pod(name) == uid


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"0::/kubepods/pod{UID}/{ID}\n", (ID,)),
        (f"0::/../cri-containerd-{ID}.scope\n", (ID,)),
        (f"9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n", (ID,)),
        (f"0::/docker/{OTHER}/kubepods/pod{UID}/{ID}\n", (OTHER, ID)),
        (f"0::/kubepods.slice/crio-{ID}.scope/container\n", (ID,)),
        (f"0::/kubepods.slice/crio-conmon-{ID}.scope\n", ()),
        (f"0::/system.slice/kubepods-pod{UID}.slice:cri-containerd:{ID}\n", (ID,)),
        ("0::/\n", ()),
        (f"0::/x{ID}\n0::/{ID}0\n", ()),
    ],
)
def test_the_containers_of_a_process(text: str, found: tuple[str, ...]) -> None:
    containers = names.containers_in(text)
    assert tuple(container for container, _ in containers) == found
    assert all(f":{path}" in text and path.removesuffix(".scope").endswith(container) for container, path in containers)


@pytest.mark.parametrize(
    ("seen", "own", "is_at"),
    [
        (f"/kubepods/pod{UID}/{ID}", "/", True),
        (f"/../../pod{UID}/{ID}", "/", True),
        (f"/../{ID}", "/", True),
        (f"/../../../kubepods/pod{UID}/{ID}", "/", True),
        (f"/docker/{OTHER}/kubepods/pod{UID}/{ID}", f"/docker/{OTHER}/kubepods/pod{UID}/{STATIC}", True),  # kind
        (f"/user.slice/kubepods/pod{UID}/{ID}", f"/kubepods/pod{UID}/{STATIC}", False),
        (f"/user.slice/kubepods/pod{UID}/{ID}", "/", False),
        (f"/user.slice/{ID}", "/", False),
        (f"/../../../user.slice/kubepods/pod{UID}/{ID}", "/", False),
        (f"/../../../user.slice/pod{UID}/{ID}", "/", False),
        (f"/../../x/{ID}", "/", False),
        (f"/{ID}", "/", False),
    ],
)
def test_the_cgroup_of_a_process(seen: str, own: str, is_at: bool) -> None:
    assert names.is_at(f"/kubepods/pod{UID}/{ID}", seen, own) == is_at


@pytest.mark.parametrize(
    ("text", "root"),
    [
        (f"4:memory:/kubepods/burstable/pod{UID}/{ID}\n", ""),
        (f"9:name=systemd:/\n4:memory:/node-3/kubepods/burstable/pod{UID}/{ID}\n", "/node-3"),
        (
            f"0::/docker/{OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{STATIC}.slice/{ID}\n",
            f"/docker/{OTHER}/kubelet.slice",
        ),
        (f"0::/kubepods/pod{UID}/{OTHER}/kubepods/pod{STATIC}/{ID}\n", f"/kubepods/pod{UID}/{OTHER}"),
        ("0::/\n", ""),
        (f"0::/../../kubepods/pod{UID}/{ID}\n", ""),
        ("0::/user.slice/user-1000.slice\n", ""),
    ],
)
def test_where_a_nodes_own_pods_are(text: str, root: str) -> None:
    assert names.node_root(text) == root
