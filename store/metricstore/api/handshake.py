"""TLS connections until both sides agree: they have a place in the room from their begin, and no longer than for a header."""

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any

from uvicorn.protocols.utils import get_remote_addr

from metricstore.api.protocol import BoundedProtocol, Room


class Handshake(asyncio.Protocol):
    """One connection: it goes on as a BoundedProtocol once TLS is spoken, and is closed where there is no room or time.

    A server that speaks TLS itself tells nobody of a connection before that.
    """

    def __init__(self, *args: Any, room: Room, tls: ssl.SSLContext, **more: Any) -> None:
        self._room, self._tls = room, tls
        self._spoken = _Spoken(*args, room=room, before=self, **more)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A place, or the end: in the clear there is nothing to say to this client."""
        client = get_remote_addr(transport)
        if self._room.enter(self, client[0] if client else ""):
            self._room.rests(self)
            self._shake(transport.get_extra_info("socket").fileno())
        transport.abort()  # closes its own descriptor alone, before it reads anything

    def _shake(self, descriptor: int) -> None:
        try:
            self._socket = socket.socket(fileno=os.dup(descriptor))
        except OSError:  # no descriptor is left
            self._room.leave(self)
        else:
            self._task = asyncio.get_running_loop().create_task(self._agree())

    async def _agree(self) -> None:
        loop, time = asyncio.get_running_loop(), self._room.bounds.head_time
        self._socket.setblocking(False)
        try:
            with contextlib.suppress(OSError):  # an SSLError, too late, or the connection was lost: it is closed
                await loop.connect_accepted_socket(
                    lambda: self._spoken, self._socket, ssl=self._tls, ssl_handshake_timeout=time
                )
        finally:
            self._room.leave(self)

    def abort(self) -> None:
        """End; the handshake fails by that."""
        with contextlib.suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)


class _Spoken(BoundedProtocol):
    """What comes after a handshake, and takes its place."""

    def __init__(self, *args: Any, before: Handshake, **more: Any) -> None:
        super().__init__(*args, **more)
        self._before = before

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """TLS is spoken."""
        self._room.leave(self._before)
        super().connection_made(transport)
