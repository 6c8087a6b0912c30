"""How NATS is reached: servers, login, TLS. Files are read at each connection: a changed one needs no restart."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError, StaleConnectionError

from metricagent.tlsfiles import TlsFiles
from metricwire.errors import BadInput
from metricwire.natscredentials import Credentials

CONNECT_SECONDS = 5  # for each step of a connection
LOGIN_SECONDS = 20.0  # for all servers together
CLOSE_SECONDS = 2.0
PING_SECONDS = 20  # a server that answers two of them not is gone


class CannotLogIn(NatsError):
    """A file that the login needs cannot be used, or the server does not want TLS; nothing secret was sent."""


class Connection(Client):
    """One connection; it does not connect again by itself."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__()
        self.cause: Exception | None = None  # why there is no connection, or none any more
        self.refused = 0  # how often the server did not permit something,
        self.refusal = ""  # and what it said last
        self.ended = asyncio.Event()
        self._secure = secure

    def _connect_command(self) -> bytes:
        """The first thing sent, with the login. Only here is it known whether the connection became a secure one."""
        if self._secure and not self._server_info.get("tls_required"):
            raise CannotLogIn("the server does not speak TLS, which the settings ask for")
        return super()._connect_command()

    async def report(self, error: Exception) -> None:
        """The library's errors: what ends the connection, or what the server does not permit."""
        self.cause = error
        if self.is_connected and not isinstance(error, (StaleConnectionError, OSError)):
            self.refused += 1
            self.refusal = str(error).removeprefix("nats: ").strip("'")

    async def end(self) -> None:
        """The library has closed it."""
        self.ended.set()

    async def leave(self) -> None:
        """Close it. One that broke at the TLS handshake never says that it is closed."""
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close()


class Access:
    """The way to `servers`, by a credentials file, or a name and a password, or neither. `tls` None: without TLS."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        tls: TlsFiles | None = None,
        credentials_file: Path | None = None,
        username: str = "",
        password_file: Path | None = None,
    ) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._credentials_file = credentials_file
        self._username = username
        self._password_file = password_file

    async def connect(self) -> Connection:
        """A connection that is logged in. NatsError, CannotLogIn among them, OSError or TimeoutError when there is none."""
        options = self._login() | ({"tls": self._tls.context()} if self._tls else {})
        connection = Connection(secure=self._tls is not None)
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await connection.connect(
                    self._servers,
                    name="metricagent",
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

    def _login(self) -> dict[str, Any]:
        """The login, from files as they are now."""
        if self._credentials_file:
            try:
                credentials = Credentials(_read(self._credentials_file))
            except BadInput as error:
                raise CannotLogIn(f"cannot use {self._credentials_file}: {error}") from None
            return {"user_jwt_cb": credentials.jwt, "signature_cb": credentials.sign}
        if self._username and self._password_file:
            return {"user": self._username, "password": _read(self._password_file).decode(errors="replace").strip()}
        return {}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotLogIn(f"cannot read {path}: {error.strerror}") from None
