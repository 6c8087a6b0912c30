"""How NATS is reached: servers, login, TLS. Files are read at each connection: a changed one needs no restart."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError, StaleConnectionError

from metricstore.feeds.notice import cause_of
from metricstore.settings import Nats
from metricwire.errors import BadInput, MetricsError, SettingsError
from metricwire.natscredentials import Credentials
from metricwire.trust import as_others_check

PORT = 4222
CONNECT_SECONDS = 5  # for each step of a connection
LOGIN_SECONDS = 30  # for all servers together
CLOSE_SECONDS = 2
PING_SECONDS = 20  # a server that answers two of them not is gone


class NoAccess(MetricsError):
    """NATS cannot be asked in with what the settings and their files say now."""


class NotSecure(NatsError):
    """The server does not want TLS, and we do: raised before anything secret is sent."""


class Connection(Client):
    """One connection; it does not connect again by itself. `on_error` hears what the server refuses while it lasts."""

    def __init__(self, *, secure: bool, on_error: Callable[[str], None]) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.cause: Exception | None = None  # why there is no connection, or none any more
        self._secure, self._on_error = secure, on_error

    def _connect_command(self) -> bytes:
        """The first thing sent, with the login. Only here is it known whether the connection became a secure one."""
        if self._secure and not self._server_info.get("tls_required"):
            raise NotSecure("the server does not speak TLS, which the settings ask for")
        return super()._connect_command()

    async def report(self, error: Exception) -> None:
        """The library's errors: what ends the connection, or what the server does not permit."""
        self.cause = error
        if self.is_connected and not isinstance(error, (StaleConnectionError, OSError)):
            self._on_error(cause_of(error))

    async def end(self) -> None:
        """The library has closed it."""
        self.ended.set()

    async def leave(self) -> None:
        """Send what waits and close it. One that broke at the TLS handshake never says that it is closed."""
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close()


class Access:
    """The settings of `nats`, ready for use. SettingsError for an address that is none."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self._servers = [_server(text.strip()) for text in nats.address.split(",") if text.strip()]
        self.name = ", ".join(f"{one.hostname}:{one.port or PORT}" for one in self._servers)  # fit for a log
        self._secure = bool(nats.ca_file or nats.cert_file) or any(one.scheme == "tls" for one in self._servers)
        if nats.password and nats.password_file:
            raise SettingsError("cannot use settings: nats.password and nats.password-file exclude each other")

    def __bool__(self) -> bool:
        """Whether there is a server to go to."""
        return bool(self._servers)

    async def connect(self, on_error: Callable[[str], None]) -> Connection:
        """A connection that is logged in. NoAccess for unusable files; else NatsError, OSError or TimeoutError."""
        options = self._options()
        connection = Connection(secure=self._secure, on_error=on_error)
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await connection.connect(
                    [one.geturl() for one in self._servers],
                    name="metricstore",
                    allow_reconnect=False,  # a new connection is made by us, from files read again
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    ping_interval=PING_SECONDS,
                    error_cb=connection.report,
                    closed_cb=connection.end,
                    **options,
                )
        except BaseException as error:
            await connection.leave()
            if isinstance(error, NoServersError) and connection.cause:
                raise connection.cause from None
            raise
        return connection

    def _options(self) -> dict[str, Any]:
        """The login, from files as they are now."""
        nats = self._nats
        options: dict[str, Any] = {"tls": self._tls()}
        if nats.creds_file_path:
            credentials = self._credentials()
            options |= {"user_jwt_cb": credentials.jwt, "signature_cb": credentials.sign}
        password = _read("nats.password-file", nats.password_file).decode().strip() if nats.password_file else nats.password
        if nats.username and password:
            options |= {"user": nats.username, "password": password}
        return options

    def _credentials(self) -> Credentials:
        try:
            return Credentials(_read("nats.creds-file-path", self._nats.creds_file_path))
        except BadInput as error:
            raise NoAccess(f"cannot use nats.creds-file-path {self._nats.creds_file_path}: {error}") from None

    def _tls(self) -> ssl.SSLContext:
        nats = self._nats
        try:
            context = as_others_check(ssl.create_default_context(cafile=nats.ca_file or None))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if nats.cert_file or nats.key_file:
                context.load_cert_chain(nats.cert_file, nats.key_file or None, password="")
        except (OSError, ValueError) as error:  # SSLError is an OSError
            files = ", ".join(name for name in (nats.ca_file, nats.cert_file, nats.key_file) if name)
            raise NoAccess(f"cannot speak TLS with {files}: {getattr(error, 'strerror', None) or error}") from None
        return context


def _server(text: str) -> SplitResult:
    """An address; what is wrong with it is said without its text, which may hold a password."""
    try:
        found = urlsplit(text if "://" in text else f"nats://{text}")
        usable = found.scheme in {"nats", "tls"} and bool(found.hostname) and found.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError("cannot use settings: nats.address is not of the form nats://host:port or tls://host:port")
    return found


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NoAccess(f"cannot read {setting} {path}: {error.strerror}") from None
