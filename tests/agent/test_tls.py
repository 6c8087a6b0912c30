"""TLS between agent and store: both sides are checked, with files that are renewed while the agent runs."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from certificates import check_as_newer_pythons, write_pair
from chaos.program import free_port
from metricagent import httpstore
from metricagent.answers import Decision, Later, Taken
from metricagent.encoding import Encoding
from metricagent.httpstore import HttpStore
from metricagent.parcels import Parcel
from metricagent.spoolfile import Packed
from metricagent.tlsfiles import TlsFiles
from metricwire.errors import SettingsError

PARCEL = Parcel((Packed(Encoding.PLAIN, 1, 2, b"x\n"),))
Send = Callable[[], Awaitable[Decision]]


class SecureStore:
    """Takes everything from clients whose certificate is in the folder, and notes their names; one port all along."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.names: list[str] = []
        self._runner: web.AppRunner | None = None

    async def restart(self) -> None:
        """Serve with the certificates that are in the folder now; all connections are new ones."""
        await self.stop()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.folder / "client.crt"))
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app.router.add_post("/api/write", self._write)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _write(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.names.append(request.transport.get_extra_info("peercert")["subject"][0][0][1])
        return web.Response(content_type="application/json")


def test_renewed_certificates_are_used_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "metricagent")
    for name in ("server", "client"):
        write_pair(tmp_path, name, f"{name} 1")
    (tmp_path / "token").write_text("secret")

    async def scene(store: SecureStore, send: Send) -> None:
        assert await send() == Taken()
        for name in ("server", "client"):
            write_pair(tmp_path, name, f"{name} 2")
        await store.restart()
        assert await send() == Taken()
        key = (tmp_path / "client.key").read_bytes()
        write_pair(tmp_path, "client", "client 3")
        later_key = (tmp_path / "client.key").read_bytes()
        (tmp_path / "client.key").write_bytes(key)  # half of a renewal
        assert await send() == Taken()
        (tmp_path / "client.key").write_bytes(later_key)
        await store.restart()
        assert await send() == Taken()
        assert store.names == ["client 1", "client 2", "client 2", "client 3"]

    play(tmp_path, scene)
    messages = [message.replace(str(tmp_path), "F").rpartition(": ")[0] or message for message in caplog.messages]
    assert messages == [
        "certificates of store were renewed",
        "cannot use store.ca-file F/server.crt, store.cert-file F/client.crt, store.key-file F/client.key",
        "certificates of store were renewed",
    ]


def test_a_store_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    for name in ("server", "client"):
        write_pair(tmp_path, name, name)
    (tmp_path / "token").write_text("secret")

    async def scene(store: SecureStore, send: Send) -> None:
        ca = (tmp_path / "server.crt").read_bytes()
        write_pair(tmp_path, "server", "impostor")
        await store.restart()
        (tmp_path / "server.crt").write_bytes(ca)
        decision = await send()
        assert isinstance(decision, Later)
        assert decision.reason.startswith("its certificate is not accepted: ")
        assert store.names == []

    play(tmp_path, scene)


def play(folder: Path, scene: Callable[[SecureStore, Send], Awaitable[None]]) -> None:
    async def run() -> None:
        store = SecureStore(folder)
        await store.restart()
        tls = TlsFiles("store", *(str(folder / name) for name in ("server.crt", "client.crt", "client.key")))
        try:
            async with httpstore.session() as session:
                url = f"https://127.0.0.1:{store.port}"
                agent = HttpStore(url=url, token_file=folder / "token", session=session, tls=tls)
                await scene(store, lambda: agent.send(PARCEL))
        finally:
            await store.stop()

    asyncio.run(run())


def test_unusable_files_are_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"cannot use store.ca-file .*/ca.crt: "):
        TlsFiles("store", str(tmp_path / "ca.crt"), None, None)
    certificate, key = write_pair(tmp_path, "one", "one")
    _, other = write_pair(tmp_path, "two", "two")
    with pytest.raises(SettingsError, match=r"cannot use nats.cert-file .*one.crt, nats.key-file .*two.key: "):
        TlsFiles("nats", None, str(certificate), str(other))
    TlsFiles("nats", None, str(certificate), str(key))


def test_an_authority_is_taken_as_openssl_and_go_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that `openssl req -x509` made, say, which writes no key usage."""
    check_as_newer_pythons(monkeypatch)
    certificate, _ = write_pair(tmp_path, "ca", "authority")
    assert not TlsFiles("store", str(certificate), None, None).context().verify_flags & ssl.VERIFY_X509_STRICT


def test_an_authority_that_may_be_missing(tmp_path: Path) -> None:
    """A Secret may have no ca.crt, and get one later."""
    path = tmp_path / "ca.crt"
    with pytest.raises(SettingsError, match=r"cannot use store.ca-file .*/ca.crt: "):
        TlsFiles("store", str(path), None, None)
    files = TlsFiles("store", str(path), None, None, ca_optional=True)
    system = len(files.context().get_ca_certs())
    write_pair(tmp_path, "ca", "authority")
    assert [one["subject"][0][0][1] for one in files.context().get_ca_certs()] == ["authority"]
    path.unlink()
    assert len(files.context().get_ca_certs()) == system
