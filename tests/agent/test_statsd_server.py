"""The socket and its thread, for real: packets over loopback, what the kernel dropped, the metrics."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from metricagent import app
from metricagent.attribution import Attribution
from metricagent.server import CannotListen
from metricagent.settings import parse
from metricagent.statsd import server
from metricagent.statsd.aggregation import Aggregation, Limits
from metricagent.statsd.datagrams import AT_ONCE, PACKET_MOST, Datagrams, address_text
from metricagent.statsd.intake import Intake
from metricwire.errors import SettingsError
from statsdpods import WEB, Pods, cid


@pytest.fixture(params=["127.0.0.1", "::"])
def datagrams(request: pytest.FixtureRequest) -> Iterator[Datagrams]:
    one = Datagrams(request.param, 0)
    yield one
    one.close()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.3", 0))
        yield one


def kernel_count(port: int) -> int:
    """The drops of the socket at a port in the kernel's table."""
    for table in ("udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}"):
                return int(fields[-1])
    raise AssertionError("no such socket")


def test_packets_in_order_with_their_sender(datagrams: Datagrams, sender: socket.socket) -> None:
    sent = [b"x" * length for length in (0, 1, PACKET_MOST, PACKET_MOST + 1, 65507, 5)]
    for packet in sent:
        sender.sendto(packet, ("127.0.0.1", datagrams.port))
    found = datagrams.read()
    assert [one.packet for one in found] == [packet if len(packet) <= PACKET_MOST else None for packet in sent]
    assert {address_text(one.address) for one in found} == {"127.0.0.3"}
    assert datagrams.read() == []


def test_more_than_one_read(datagrams: Datagrams, sender: socket.socket) -> None:
    for number in range(AT_ONCE + 3):
        sender.sendto(b"%d" % number, ("127.0.0.1", datagrams.port))
    first, second = datagrams.read(), datagrams.read()
    assert [one.packet for one in first + second] == [b"%d" % number for number in range(AT_ONCE + 3)]
    assert len(first) == AT_ONCE


def test_what_the_kernel_drops_is_counted(datagrams: Datagrams, sender: socket.socket) -> None:
    sent = datagrams.buffer // 256
    for _ in range(sent):
        sender.sendto(b"a:1|c", ("127.0.0.1", datagrams.port))
    read = 0
    while found := datagrams.read():
        read += len(found)
    assert 0 < datagrams.dropped == sent - read == kernel_count(datagrams.port)


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1"])
def test_an_address_that_is_none(host: str) -> None:
    with pytest.raises(OSError, match=r"not known|assign"):
        Datagrams(host, 0)


def test_a_server(
    datagrams: Datagrams, sender: socket.socket, registry: CollectorRegistry, until: Callable[[Callable[[], bool]], None]
) -> None:
    limits = Limits(100, 100, 10_000, 300)
    aggregation = Aggregation(limits, random.Random(1).random)
    intake = Intake(Attribution(Pods(WEB._replace(ip="127.0.0.3"))), aggregation)
    one = server.build(datagrams, intake, aggregation, limits, registry)
    one.start()
    for packet in (b"a:1|c", b"a:2|c\nb:1:2|ms", b"nothing", b"_sc|a|0", b"x" * 9000):
        sender.sendto(packet, ("127.0.0.1", datagrams.port))
    until(lambda: sum(intake.packets.values()) == 5)
    readings = {(r.type_id, r.metric): r.value for r in intake.collect(0)}
    assert readings[cid("a"), "a"] == 3
    assert readings[cid("a"), "b.sum"] == 3

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"metricagent_statsd_{name}", labels)

    assert [value("packets_total", outcome=o) for o in ("parsed", "bad", "dropped", "kernel-dropped")] == [3, 1, 1, 0]
    assert value("values_total", outcome="taken", reason="") == 4
    assert value("values_total", outcome="bad", reason="form") == 1
    assert value("values_total", outcome="refused", reason="series") == 0
    assert value("values_total", outcome="left-out", reason="service-check") == 1
    assert value("unknown_total") == 0
    assert value("series") == 1 + 8
    assert value("series_limit") == 100
    assert value("bugs_total") == 0
    for _ in range(AT_ONCE * 2):
        sender.sendto(b"a:1|c", ("127.0.0.1", datagrams.port))
    one.stop()
    assert intake.collect(1)[0].value == 3 + AT_ONCE * 2, "what had come is taken before the end"


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)

    return wait


def test_a_port_in_use_names_the_setting(write_settings: Callable[..., Path]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = write_settings("http://127.0.0.1:1", statsd={"address": address})
        with pytest.raises(CannotListen) as raised:
            asyncio.run(app.run(parse(path.read_bytes(), str(path))))
    assert str(raised.value) == f"cannot listen on {address} (statsd.address): Address already in use"


def test_no_address_names_the_setting(write_settings: Callable[..., Path]) -> None:
    path = write_settings("http://127.0.0.1:1", statsd={"address": "8125"})
    with pytest.raises(SettingsError, match=r"statsd\.address: expected host:port, found '8125'"):
        parse(path.read_bytes(), str(path))
