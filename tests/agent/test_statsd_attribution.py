"""Whose a packet is: the sender's address decides, claims only choose among what is the sender's."""

import pytest

from metricagent.attribution import NOBODY, Attribution, Owner, Sender, parse_gateways
from statsdpods import DB, NODE, ON_HOST, PENDING, SIX, STARTING, WEB, Pods, cid

GATEWAY = "10.244.1.1"
STRANGER = "10.244.2.9"  # a pod of another node


def of(pod: str, letter: str, *, by_name: bool = False) -> Sender:
    return Sender(Owner(cid(letter), pod), by_name)


@pytest.mark.parametrize(
    ("address", "container", "pod", "name", "expected"),
    [
        # A pod's address: the pod's container, whatever is said.
        (WEB.ip, "", "", "", of(WEB.uid, "a")),
        (WEB.ip, cid("a"), "", "", of(WEB.uid, "a")),
        (WEB.ip, cid("c"), DB.uid, "db", of(WEB.uid, "a")),
        (WEB.ip, cid("0"), ON_HOST.uid, "", of(WEB.uid, "a")),
        (WEB.ip, "x" * 8000, "\x00", "..", of(WEB.uid, "a")),
        (SIX.ip, "", "", "", of(SIX.uid, "f")),
        # Several containers: the one that is named, if it is the pod's; else the first that is no init container.
        (DB.ip, "", "", "", of(DB.uid, "c")),
        (DB.ip, cid("d"), "", "", of(DB.uid, "d")),
        (DB.ip, cid("b"), "", "", of(DB.uid, "b")),
        (DB.ip, "", "", "sidecar", of(DB.uid, "d", by_name=True)),
        (DB.ip, cid("d"), "", "db", of(DB.uid, "d")),
        (DB.ip, cid("d"), "", "sidecar", of(DB.uid, "d", by_name=True)),
        (DB.ip, cid("a"), "", "sidecar", of(DB.uid, "d", by_name=True)),
        (DB.ip, cid("a"), WEB.uid, "app", of(DB.uid, "c")),
        # What has not started cannot have sent.
        (STARTING.ip, "", "", "", of(STARTING.uid, "e")),
        (STARTING.ip, "", "", "app", of(STARTING.uid, "e")),
        (PENDING.ip, "", "", "app", NOBODY),
        # The node: pods on its network say who they are, and can say nothing else.
        (ON_HOST.ip, "", "", "", NOBODY),
        (ON_HOST.ip, cid("0"), "", "", of(ON_HOST.uid, "0")),
        (ON_HOST.ip, "", ON_HOST.uid, "", of(ON_HOST.uid, "0")),
        (ON_HOST.ip, "", ON_HOST.uid, "kube-proxy", of(ON_HOST.uid, "0", by_name=True)),
        (GATEWAY, cid("0"), "", "", of(ON_HOST.uid, "0")),
        ("127.0.0.1", cid("0"), "", "", of(ON_HOST.uid, "0")),
        ("::1", cid("0"), "", "", of(ON_HOST.uid, "0")),
        (ON_HOST.ip, cid("a"), "", "", NOBODY),
        (ON_HOST.ip, "", WEB.uid, "", NOBODY),
        (GATEWAY, cid("a"), ON_HOST.uid, "", NOBODY),
        ("127.0.0.1", "", "", "app", NOBODY),
        # Nobody we know.
        (STRANGER, "", "", "", NOBODY),
        (STRANGER, cid("a"), WEB.uid, "app", NOBODY),
        (STRANGER, cid("0"), ON_HOST.uid, "", NOBODY),
        ("fd00::1", cid("0"), "", "", NOBODY),
    ],
)
def test_whose(address: str, container: str, pod: str, name: str, expected: Sender) -> None:
    assert Attribution(Pods(*NODE), [GATEWAY]).sender(address, container, pod, name) == expected


def test_without_pods_all_are_unknown() -> None:
    assert Attribution(Pods()).sender("127.0.0.1", cid("a"), "u", "n") is NOBODY


def test_gateways() -> None:
    routes = (
        b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        b"eth0\t00000000\t0101F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        b"eth0\t0001F40A\t0101F40A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        b"eth0\t0101F40A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"
    )
    assert parse_gateways(routes) == [GATEWAY]
    assert parse_gateways(b"") == []
