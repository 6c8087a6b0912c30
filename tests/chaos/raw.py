"""HTTP as bytes on a socket: what no client library would send, and whatever comes back."""

import contextlib
import re
import socket
from typing import NamedTuple

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


MORE = 0.3  # seconds that are waited for more after an answer, unless it says that the connection ends
CLOSING = b"connection: close"


class Reply(NamedTuple):
    """All that came until the server closed, or nothing more did."""

    statuses: list[int]
    data: bytes
    closed: bool


def exchange(port: int, *pieces: bytes, seconds: float = 5.0) -> Reply:
    """Send the pieces, whatever the server says meanwhile, and read until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as one:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                one.sendall(piece)
        return rest(one)


def rest(one: socket.socket) -> Reply:
    """All that comes until the server closes or says nothing for the socket's time."""
    found, closed = bytearray(), True
    try:
        while data := one.recv(65536):
            found += data
            if CLOSING not in found.lower():
                one.settimeout(min(one.gettimeout() or MORE, MORE))
    except TimeoutError:
        closed = False
    except ConnectionError:
        pass
    return Reply([int(status) for status in STATUS.findall(found)], bytes(found), closed)
