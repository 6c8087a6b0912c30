"""The store as a program: how it starts, ends and refuses to. `tests/chaos` kills and abuses it."""

import asyncio
import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chaos.program import Program, free_port
from metricstore import settings
from metricstore.app import OPERATIONS_CONNECTIONS, App, Server
from metricwire.tokens import PUBLISHED_KEY


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def make(**store: Any) -> Program:
        programs.append(Program(tmp_path, store=store, arguments=()))
        return programs[-1]

    yield make
    for one in programs:
        one.kill()
        one.check_logs()


def test_sigterm_ends_it_cleanly(program: Callable[..., Program]) -> None:
    store = program()
    store.start("--insecure-no-auth")
    store.ready()
    assert store.ask("POST", "/api/write", "m,cluster=c,hostname=h value=1")[0] == 200
    status, log = store.end(signal.SIGTERM)
    assert status == 0
    assert [line["message"].split(" on ")[0] for line in log] == ["ready", "stopped"]
    store.start("--insecure-no-auth")
    store.ready()
    assert '"data":[1.0]' in store.ask("POST", "/api/query", query(store))[1]


def query(store: Program) -> str:
    now = int(time.time())
    return json.dumps(
        {"cluster": "c", "from": now - 600, "to": now + 60, "queries": [{"metric": "m", "host": "h"}], "with-padding": False}
    )


def test_a_port_in_use_is_named(program: Callable[..., Program]) -> None:
    store = program()
    with socket.create_server(("127.0.0.1", store.port)):
        status, message = store.refusal("--insecure-no-auth")
    assert (status, message) == (1, f"cannot listen on 127.0.0.1:{store.port}: Address already in use")


def test_a_second_store_on_the_folder_is_refused(program: Callable[..., Program]) -> None:
    first, second = program(), program()
    first.start("--insecure-no-auth")
    first.ready()
    status, message = second.refusal("--insecure-no-auth")
    assert status == 1
    assert message.endswith("another store is running on it")


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/version").exists(), reason="needs a folder nobody can write")
def test_a_folder_that_cannot_be_written_is_named(program: Callable[..., Program]) -> None:
    status, message = program(directory="/proc/store").refusal("--insecure-no-auth")
    assert status == 1
    assert message.startswith("cannot use data folder /proc/store:")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"main": {"addr": "8082"}}, "cannot use address '8082': expected host:port - at `$.main.addr`"),
        ({"metric-store": {"limits": {"series": 0}}}, "Expected `int` >= 1 - at `$.metric-store.limits.series`"),
        ({"metric-store": {"retention-in-memory": "2 days"}}, "at `$.metric-store.retention-in-memory`"),
        ({"metrics": {"m": {"frequency": "60"}}}, "Expected `int`, got `str` - at `$.metrics[...].frequency`"),
        ({"metrics": []}, "Expected `object`, got `array` - at `$.metrics`"),
    ],
)
def test_wrong_settings_are_named_with_file_and_field(program: Callable[..., Program], change: Any, wanted: str) -> None:
    store = program()
    store.settings |= change
    status, message = store.refusal("--insecure-no-auth")
    assert status == 2
    assert str(store.config) in message
    assert wanted in message


def test_it_refuses_to_start_without_keys(program: Callable[..., Program]) -> None:
    store = program()
    status, message = store.refusal()
    assert status == 1
    assert "--insecure-no-auth" in message
    store.settings["main"]["jwt-public-key"] = PUBLISHED_KEY
    assert "which everybody has; --dev allows it" in store.refusal()[1]
    store.settings["main"]["jwt-public-key"] = "abc"
    assert "cannot use public key" in store.refusal()[1]


def test_a_certificate_that_cannot_be_read_is_named_before_anything_is_opened(program: Callable[..., Program]) -> None:
    store = program()
    for cert, key, cause in (
        ("nope.pem", "", "No such file"),
        (str(store.config), "", "PEM lib"),
        ("", "key.pem", "No such file"),
    ):
        store.settings["main"] |= {"https-cert-file": cert, "https-key-file": key}
        status, message = store.refusal("--insecure-no-auth")
        assert status == 1
        assert message.startswith(f"cannot speak TLS with main.https-cert-file {cert!r} and main.https-key-file {key!r}: ")
        assert cause in message
    assert not Path(store.settings["metric-store"]["directory"]).exists()


def certificate(path: Path) -> None:
    """Our own, with its key, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))


def test_the_api_speaks_tls(program: Callable[..., Program], tmp_path: Path) -> None:
    certificate(tmp_path / "store.pem")
    store = program()
    store.settings["main"] |= {"https-cert-file": str(tmp_path / "store.pem")}
    store.start("--insecure-no-auth")
    store.ready()
    trust = ssl.create_default_context(cafile=str(tmp_path / "store.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", store.port, timeout=10, context=trust)
    connection.request("POST", "/api/write", "m,cluster=c,hostname=h value=1")
    assert connection.getresponse().status == 200
    connection.close()
    shown = ssl.get_server_certificate(("127.0.0.1", store.port))
    (tmp_path / "store.pem").write_text("half of a renewal")
    assert ssl.get_server_certificate(("127.0.0.1", store.port)) == shown
    certificate(tmp_path / "store.pem")
    renewed = ssl.get_server_certificate(("127.0.0.1", store.port))
    assert renewed != shown
    assert renewed in (tmp_path / "store.pem").read_text()
    status, log = store.end(signal.SIGTERM)
    assert status == 0
    assert [line["level"] for line in log if "https-cert-file" in line["message"] or "renewed" in line["message"]] == [
        "warning",
        "info",
    ]


def test_a_crowd_of_silent_connections_shuts_nobody_out(program: Callable[..., Program]) -> None:
    store = program(limits={"connections": 4})
    store.start("--insecure-no-auth")
    store.ready()
    with contextlib.ExitStack() as crowd:
        for port, count in ((store.port, 12), (store.ops, OPERATIONS_CONNECTIONS + 12)):
            for _ in range(count):
                one = crowd.enter_context(socket.create_connection(("127.0.0.1", port)))
                one.sendall(b"POST /api/write HTTP/1.1\r\nhost: x\r\nx")
        for path in ("/healthz", "/readyz"):
            assert store.ask("GET", path, port=store.ops)[0] == 200
        assert store.ask("POST", "/api/write", "m,cluster=c,hostname=h value=1")[0] == 200
        status, log = store.end(signal.SIGTERM)
    assert (status, len(log)) == (0, 2)


def test_a_header_without_end_is_refused(program: Callable[..., Program]) -> None:
    store = program()
    store.start("--insecure-no-auth")
    store.ready()
    for port in (store.port, store.ops):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(b"GET / HTTP/1.1\r\nx: ".ljust(32 * 1024 + 1, b"y"))
            assert one.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("which", [0, 1])
def test_a_server_that_ends_by_itself_ends_the_store(
    which: int,
    tmp_path: Path,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    main, ops = (f"127.0.0.1:{free_port()}" for _ in range(2))
    loaded, _ = settings.load({"main": {"addr": main}, "metric-store": {"directory": str(tmp_path), "ops-addr": ops}}, "test")
    app = App(loaded, open_to_all=True)
    serve, name = Server.serve, ("API", "health, metrics")[which]

    async def dying(self: Server, sockets: list[socket.socket] | None = None) -> None:
        assert sockets
        if f"127.0.0.1:{sockets[0].getsockname()[1]}" == (main, ops)[which]:
            sockets[0].close()
            raise OSError("gone")
        await serve(self, sockets)

    monkeypatch.setattr(Server, "serve", dying)
    loop.run_until_complete(app.run())
    assert app.failed
    (line,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert line.getMessage() == f"cannot go on: the server for {name} ({(main, ops)[which]}) ended: gone"


def test_settings_that_nobody_knows_are_a_warning(program: Callable[..., Program]) -> None:
    store = program(**{"strict-role": True})
    store.start("--insecure-no-auth")
    store.ready()
    _, log = store.end(signal.SIGTERM)
    assert log[0]["level"] == "warning"
    assert log[0]["message"].endswith("are not known and have no effect: metric-store.strict-role")


def test_cc_metric_stores_own_settings_are_accepted(program: Callable[..., Program]) -> None:
    """Shape of the config.json that cc-metric-store 1.5 ships; what we do not need is named once."""
    store = program()
    store.settings["main"] |= {"jwt-public-key": PUBLISHED_KEY, "https-cert-file": "", "user": "x"}
    store.settings["nats"] = {"address": "nats://0.0.0.0:4222", "username": "root"}
    store.settings["metric-store"] |= {
        "checkpoints": {"file-format": "wal", "directory": "./var/checkpoints"},
        "memory-cap": 100,
        "retention-in-memory": "48h",
        "cleanup": {"mode": "archive", "directory": "./var/archive"},
        "nats-subscriptions": [{"subscribe-to": "hpc-nats", "cluster-tag": "fritz"}],
    }
    store.settings["metrics"] |= {
        "clock": {"frequency": 60, "aggregation": "avg"},
        "cpu_load": {"frequency": 60, "aggregation": ""},
    }
    store.start("-dev")
    store.ready()
    assert store.ask("POST", "/api/query", "{}")[0] == 401
    _, log = store.end(signal.SIGTERM)
    assert log[0]["message"].endswith("are not used here: main.user, metric-store.checkpoints, metric-store.memory-cap")
