"""How the store gets into NATS: passwords, permissions, credentials files, TLS; with a real nats-server."""

import asyncio
import base64
import binascii
import datetime
import ipaddress
import json
import logging
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.js import api

import natsserver
from metricwire.errors import BadInput
from metricwire.natscredentials import Credentials
from natsfeed import CORE, STREAM, MakeServer, MakeStore, line, messages, until
from storeapp import MakeApp


@natsserver.needed
def test_a_wrong_password_is_said_without_it(
    make_server: MakeServer,
    make_store: MakeStore,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The file is read again at each try: a corrected one lets the store in."""
    caplog.set_level(logging.DEBUG)
    server = make_server("authorization {user: store, password: right-secret}").start()
    file = tmp_path / "password"
    file.write_text("wrong-secret\n")
    store = make_store(server.url, CORE, nats={"username": "store", "password-file": str(file)})
    refused = f"no NATS at 127.0.0.1:{server.port}: Authorization Violation; trying again"

    async def play() -> None:
        await until(lambda: refused in messages(caplog))
        file.write_text("right-secret\n")
        await until(lambda: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(0)], user="store", password="right-secret")
        await until(lambda: store.nats("messages_total", outcome="stored") == 1)

    loop.run_until_complete(play())
    assert messages(caplog).count(refused) == 1
    assert "-secret" not in caplog.text


@natsserver.needed
def test_a_password_in_the_address_works_and_is_not_logged(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = make_server("authorization {user: store, password: right-secret}").start()
    store = make_store(server.url.replace("//", "//store:right-secret@"), CORE)
    loop.run_until_complete(until(lambda: store.nats("connected") == 1))
    assert "-secret" not in caplog.text


@natsserver.needed
def test_a_subject_that_may_not_be_read_is_said(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server('authorization {users: [{user: s, password: p, permissions: {subscribe: "_INBOX.>"}}]}').start()
    make_store(server.url, CORE, nats={"username": "s", "password": "p"})
    said = f'NATS at 127.0.0.1:{server.port} says: permissions violation for subscription to "hpc-nats"'
    loop.run_until_complete(until(lambda: any(text.lower() == said.lower() for text in messages(caplog)), said))


@natsserver.needed
@pytest.mark.parametrize("made", [True, False])
def test_the_permissions_that_the_documentation_names_are_enough(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, made: bool
) -> None:
    """Where the site has made the consumer, and where the store has to."""
    text = (Path(__file__).parents[2] / "docs" / "nats.md").read_text()
    users = text.partition("authorization {")[2].partition("\n}\n")[0].replace("$STORE_PASSWORD", "p")
    server = make_server("authorization {" + users.replace("users: [", "users: [{user: site, password: p}, ") + "\n}").start()
    site = {"user": "site", "password": "p"}

    async def prepare() -> None:
        async with server.client(**site) as connection:
            await connection.jetstream().add_stream(name="METRICS", subjects=["hpc-nats"])
            if made:
                config = api.ConsumerConfig(durable_name="metricstore", filter_subject="hpc-nats")
                await connection.jsm().add_consumer("METRICS", config)
            await connection.jetstream().publish("hpc-nats", line(0))

    loop.run_until_complete(prepare())
    store = make_store(server.url, STREAM, nats={"username": "metricstore", "password": "p"})
    loop.run_until_complete(until(lambda: store.nats("acknowledged_total") == 1))


class Nkey:
    """An Ed25519 key as NATS writes it: prefix, key, CRC, base32. One for each number."""

    def __init__(self, kind: str, number: int = 0) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))
        self._prefix = {"O": 14 << 3, "A": 0, "U": 20 << 3}[kind]
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = self._encoded(bytes([self._prefix]) + raw)
        seed = bytes([18 << 3 | self._prefix >> 5, (self._prefix & 31) << 3]) + self._key.private_bytes_raw()
        self.seed = self._encoded(seed)

    @staticmethod
    def _encoded(raw: bytes) -> str:
        raw += binascii.crc_hqx(raw, 0).to_bytes(2, "little")
        return base64.b32encode(raw).decode().rstrip("=")

    def sign(self, name: str, subject: str, **claims: Any) -> str:
        """A JWT of NATS about `subject`."""

        def part(content: bytes) -> str:
            return base64.urlsafe_b64encode(content).decode().rstrip("=")

        body = {"jti": name, "iat": int(time.time()), "iss": self.public, "name": name, "sub": subject, "nats": claims}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(part(json.dumps(content).encode()) for content in (head, body))
        return f"{text}.{part(self._key.sign(text.encode()))}"


def creds(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


@natsserver.needed
def test_a_credentials_file_lets_the_store_in(
    make_server: MakeServer,
    make_store: MakeStore,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    operator, account, system, user = (Nkey(kind, number) for number, kind in enumerate("OAAU"))
    limits = dict.fromkeys(("subs", "data", "payload"), -1)
    more = dict.fromkeys(("conn", "leaf", "imports", "exports"), -1)
    accounts = {
        one.public: operator.sign(name, one.public, type="account", version=2, limits=limits | more | {"wildcards": True})
        for name, one in (("hpc", account), ("SYS", system))
    }
    signed = operator.sign("site", operator.public, type="operator", version=2, system_account=system.public)
    server = make_server(f"operator: {signed}\nresolver: MEMORY\nresolver_preload: {json.dumps(accounts)}\n").start()
    jwt = account.sign("store", user.public, type="user", version=2, **limits)
    file = tmp_path / "store.creds"
    stranger = Nkey("U", 9)
    file.write_text(creds(jwt, stranger.seed))
    store = make_store(server.url, CORE, nats={"creds-file-path": str(file)})

    async def play() -> None:
        await until(lambda: any("Authorization Violation" in text for text in messages(caplog)))
        file.write_text(creds(jwt, "SUANONSENSE"))
        await until(lambda: any("its NKEY seed is not base32" in text for text in messages(caplog)))
        file.write_text(creds(jwt, user.seed))
        await until(lambda: store.nats("connected") == 1)

    loop.run_until_complete(play())
    assert not any(secret in caplog.text for secret in (jwt, user.seed, stranger.seed, "NONSENSE"))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it holds no NATS user JWT and NKEY seed"),
        (creds("a.b.c", "SU0"), "it holds no NATS user JWT and NKEY seed"),
        (creds("a.b.c", "S"), "its NKEY seed is not base32"),
        (creds("a.b.c", Nkey("U", 1).seed.replace("AE", "EA", 1)), "its NKEY seed is damaged"),
        (creds("a.b.c", Nkey("A").seed), "its NKEY seed is not that of a user"),
    ],
)
def test_what_is_no_credentials_file_is_said(text: str, cause: str) -> None:
    with pytest.raises(BadInput) as refused:
        Credentials(text.encode())
    assert str(refused.value) == cause


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "nats.crt", folder / "nats.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


@natsserver.needed
def test_tls_with_a_certificate_authority_of_ones_own(
    make_server: MakeServer,
    make_store: MakeStore,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    file, key = certificate(tmp_path)
    server = make_server(f'tls {{cert_file: "{file}", key_file: "{key}"}}').start()
    store = make_store(server.url, CORE, nats={"ca-file": str(file)})
    stranger = make_store(server.url, CORE, directory=str(tmp_path / "stranger"))

    async def play() -> None:
        await until(lambda: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(0)], tls=ssl.create_default_context(cafile=str(file)))
        await until(lambda: store.nats("messages_total", outcome="stored") == 1)
        await until(lambda: any("self-signed certificate" in text for text in messages(caplog)))

    loop.run_until_complete(play())
    assert stranger.nats("connected") == 0


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_a_server_without_tls_does_not_hear_the_password(
    make_app: MakeApp, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture, tmp_path: Path, scheme: str
) -> None:
    file, _ = certificate(tmp_path)
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id": "x", "version": "2.9.10", "auth_required": true, "headers": true, "max_payload": 1024}\r\n'
        )
        while data := await reader.read(1000):
            heard.extend(data)
        writer.close()

    async def play() -> None:
        plain = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = plain.sockets[0].getsockname()[1]
        nats = {"username": "store", "password": "right-secret"} | ({"ca-file": str(file)} if scheme == "nats" else {})
        address = {"address": f"{scheme}://127.0.0.1:{port}"}
        feed = make_app({"nats": nats | address, "metric-store": {"nats-subscriptions": [CORE]}}).feed
        feed.start()
        await until(lambda: any("does not speak TLS" in text for text in messages(caplog)))
        await feed.stop()
        plain.close()
        await plain.wait_closed()

    loop.run_until_complete(play())
    assert b"secret" not in heard
