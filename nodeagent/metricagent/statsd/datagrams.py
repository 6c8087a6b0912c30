"""A UDP socket that is read many packets at a time (recvmmsg): one system call, one turn of the interpreter for all of them.

Python's own calls take one packet each and give the interpreter away every time: beside a busy thread that is a packet every
few milliseconds.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from typing import NamedTuple

PACKET_MOST = 8192  # bytes; a larger one is not taken
AT_ONCE = 128  # packets of one read
BUFFER = 8 * 1024**2  # bytes asked of the kernel for packets that wait; it grants net.core.rmem_max
_NAME = 28  # bytes of the largest address, sockaddr_in6
_SO_MEMINFO = 55  # asm-generic/socket.h; an array of u32, the last of which are packets dropped (SK_MEMINFO_DROPS)
_MEMINFO = struct.Struct("=9I")
_NOTHING = (errno.EAGAIN, errno.EINTR)
_MAPPED = bytes(10) + b"\xff\xff"  # what an IPv4 address has in front in an IPv6 socket


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    _fields_ = [  # struct msghdr of recvmsg(2)
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Message(ctypes.Structure):
    _fields_ = [("header", _Header), ("length", ctypes.c_uint)]  # struct mmsghdr of recvmmsg(2)


_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.POINTER(_Message), ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]


class Datagram(NamedTuple):
    """A packet, None if it was too large; and the address it came from, which `address_text` reads."""

    packet: bytes | None
    address: bytes


class Datagrams:
    """A socket bound to host and port. OSError when it cannot be. One thread reads it."""

    def __init__(self, host: str, port: int) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self._packets = mmap.mmap(-1, AT_ONCE * PACKET_MOST)  # what no packet came to takes no memory
        self._names = bytearray(AT_ONCE * _NAME)
        self._array = self._prepared()
        self._messages = list(self._array)
        self._headers = [message.header for message in self._messages]

    def _prepared(self) -> "ctypes.Array[_Message]":
        """Messages that point into the two buffers."""
        packets = ctypes.addressof(ctypes.c_char.from_buffer(self._packets))
        names = ctypes.addressof(ctypes.c_char.from_buffer(self._names))
        self._vectors = (_Vector * AT_ONCE)(*[_Vector(packets + at * PACKET_MOST, PACKET_MOST) for at in range(AT_ONCE)])
        messages = (_Message * AT_ONCE)()
        for at, message in enumerate(messages):
            header = message.header
            header.name, header.name_length = names + at * _NAME, _NAME
            header.vectors, header.vector_count = ctypes.pointer(self._vectors[at]), 1
        return messages

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The port it is bound to."""
        return int(self._socket.getsockname()[1])

    @property
    def buffer(self) -> int:
        """Bytes that the kernel keeps for packets that wait, its own for each included."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    @property
    def dropped(self) -> int:
        """Packets that the kernel has dropped here, most often because the buffer was full; it counts modulo 2^32."""
        found = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(found)[-1])

    def read(self) -> list[Datagram]:
        """Up to AT_ONCE packets that wait, the first one first."""
        messages, headers, packets, names = self._messages, self._headers, self._packets, self._names
        count = _recvmmsg(self._socket.fileno(), self._array, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in _NOTHING:
                return []
            raise OSError(number, os.strerror(number))
        found = []
        for at in range(count):
            header, length = headers[at], messages[at].length
            start, name = at * PACKET_MOST, at * _NAME
            packet = None if header.flags & socket.MSG_TRUNC else packets[start : start + length]
            found.append(Datagram(packet, bytes(names[name : name + header.name_length])))
            header.name_length = _NAME
        return found

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def address_text(address: bytes) -> str:
    """The IP address of a sockaddr as Kubernetes writes it; an IPv4 address in IPv6 as IPv4."""
    family = int.from_bytes(address[:2], sys.byteorder)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    packed = address[8:24]
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)
