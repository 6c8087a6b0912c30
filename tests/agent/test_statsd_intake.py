"""Packets to readings: whose they are, what waits for the API server, and the books."""

import logging
import socket
import sys

import pytest

from metricagent.attribution import Attribution
from metricagent.statsd.aggregation import Aggregation, Limits
from metricagent.statsd.datagrams import Datagram, address_text
from metricagent.statsd.intake import WAITING_MOST, Intake
from statsdpods import DB, STARTING, WEB, Pods, cid


def sockaddr(ip: str) -> bytes:
    """As the kernel writes it."""
    if ":" in ip:
        family, rest = socket.AF_INET6, bytes(6) + socket.inet_pton(socket.AF_INET6, ip) + bytes(4)
    else:
        family, rest = socket.AF_INET, bytes(2) + socket.inet_aton(ip) + bytes(8)
    return family.to_bytes(2, sys.byteorder) + rest


class Scene:
    """An intake, and who is on the node."""

    def __init__(self) -> None:
        self.pods = Pods(WEB, DB, STARTING)
        self.aggregation = Aggregation(Limits(5000, 5000, 100_000, 300), lambda: 0.5)
        self.intake = Intake(Attribution(self.pods), self.aggregation)

    def send(self, ip: str, *packets: bytes | None) -> None:
        self.intake.take([Datagram(packet, sockaddr(ip)) for packet in packets])

    def shown(self, now: float = 0) -> dict[tuple[str, str], float]:
        """Values by container and metric."""
        return {(r.type_id, r.metric): r.value for r in self.intake.collect(now)}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("ip", ["10.244.1.7", "::ffff:10.244.1.7", "fd00:10:244::7", "::1", "127.0.0.1"])
def test_addresses(ip: str) -> None:
    assert address_text(sockaddr(ip)) == ip.removeprefix("::ffff:")


def test_a_pod_is_found_by_its_address_alone(scene: Scene) -> None:
    scene.send(WEB.ip, b"a:1|c", b"a:1|c|c:" + cid("c").encode(), b"a:1|c|#dd.internal.entity_id:uid-db")
    scene.send(f"::ffff:{WEB.ip}", b"a:1|c")
    assert scene.shown() == {(cid("a"), "a"): 4}
    assert scene.intake.unknown == 0


def test_the_containers_name_is_a_tag_unless_it_names_one(scene: Scene) -> None:
    scene.send(DB.ip, b"a:1|c|#container_name:sidecar,k:v", b"a:1|c|#container_name:other")
    readings = {(r.type_id, r.tags): r.value for r in scene.intake.collect(0)}
    assert readings == {(cid("d"), (("k", "v"),)): 1, (cid("c"), (("container_name", "other"),)): 1}


def test_who_sends_before_it_is_known_is_known_at_the_end(scene: Scene) -> None:
    scene.pods.pods = [DB]
    scene.send(WEB.ip, b"a:1|c", b"g:7|g")
    scene.pods.pods = [DB, WEB]
    assert scene.shown() == {(cid("a"), "a"): 1, (cid("a"), "g"): 7}


def test_what_waited_comes_before_what_did_not(scene: Scene) -> None:
    scene.pods.pods = []
    scene.send(WEB.ip, b"g:7|g")
    scene.send(DB.ip, b"g:5|g")
    scene.pods.pods = [WEB]
    scene.send(WEB.ip, b"g:+1|g")
    assert scene.shown() == {(cid("a"), "g"): 8, ("unknown", "g"): 5}
    assert scene.intake.unknown == 1


def test_few_wait(scene: Scene) -> None:
    scene.pods.pods = []
    scene.send(WEB.ip, *([b"a:1|c"] * (WAITING_MOST + 10)))
    scene.pods.pods = [WEB]
    assert scene.shown() == {("unknown", "a"): WAITING_MOST + 10}, "with too many nobody waits"
    scene.pods.pods = []
    scene.send(DB.ip, b"a:1|c")
    scene.pods.pods = [DB]
    assert scene.shown()[cid("c"), "a"] == 1, "in the next interval some may again"


def test_an_address_may_change_hands(scene: Scene) -> None:
    scene.send(WEB.ip, b"a:1|c")
    scene.pods.pods = [DB._replace(ip=WEB.ip)]
    scene.send(WEB.ip, b"a:1|c")
    assert scene.shown() == {(cid("a"), "a"): 1, (cid("c"), "a"): 1}


def test_the_books(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scene.send(WEB.ip, b"a:1|c\nb:1|c", b"a:1|c\nb", b"", None, None, b"\x1b[2J", b"_e{1,1}:a|b", b"_sc|a|0\n_sc|b|1")
    assert scene.intake.packets == {"parsed": 3, "bad": 3, "dropped": 2}
    assert {reason: count for reason, count in scene.intake.bad.items() if count} == {"form": 2, "empty": 1}
    assert scene.intake.left_out == {"event": 1, "service-check": 2}
    assert scene.aggregation.taken == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"statsd: {what}, from {WEB.ip}; others of this kind are only counted"
        for what in (
            "form: 'b' is not understood",
            "empty: '' is not understood",
            "dropped: a packet of more than 8192 bytes",
        )
    ]
