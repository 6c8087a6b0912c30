"""The load generator: a process of its own, so that its CPU time is not the store's and no interpreter is shared.

`python -m bench.sender <Load as JSON>` makes the requests, prints "ready", waits for a line, sends, and prints a Sent as JSON.
Each connection has one request under way, as an agent has. Requests are made before the clock starts, unless `live`.
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.data import FREQUENCY, Bodies, Fleet

PIECE = 1 << 18  # bytes offered to the kernel at once
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
PATIENCE = 120.0  # seconds without any answer until it gives up


class Load(NamedTuple):
    """What to send: `minutes` timestamps from `start` on, each one sample of every series of `hosts` hosts."""

    port: int
    path: str
    start: int
    minutes: int
    lines: int  # of one body
    connections: int
    hosts: int = 200
    node_metrics: int = 17
    thread_metrics: int = 10
    fixed: bool = False  # decimals, for each series
    live: bool = False  # make bodies while sending: for loads that do not fit into memory; values are padded to three decimals

    @property
    def fleet(self) -> Fleet:
        """The hosts."""
        whole = Fleet()
        return Fleet(self.hosts, whole.node_metrics[: self.node_metrics], whole.thread_metrics[: self.thread_metrics])


class Sent(NamedTuple):
    """What came of it."""

    requests: int
    lines: int
    seconds: float
    median: float  # seconds from the first byte sent to the answer
    p99: float
    cpu: float  # seconds that this process used itself: when they come near to `seconds`, it is what limits the rate


class Client:
    """One connection: it sends a request, reads the answer, and is free again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._left = memoryview(b"")
        self._answer = b""
        self.begun = 0.0

    def send(self, request: bytes) -> bool:
        """Begin a request; whether all of it is on its way."""
        self._left, self._answer, self.begun = memoryview(request), b"", time.perf_counter()
        return self.more()

    def more(self) -> bool:
        """Go on sending; whether all is on its way."""
        try:
            while self._left:
                self._left = self._left[self.socket.send(self._left[:PIECE]) :]
        except BlockingIOError:
            return False
        return True

    def answered(self) -> bool:
        """Read what is there; whether the answer is whole. ConnectionError when it is not the one wanted."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("cannot read an answer: the connection was closed")
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return False
        length = LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return False
        if head[9:12] not in {b"200", b"204"}:
            raise ConnectionError(f"cannot write: answered {head[9:12].decode()} {body[:500].decode(errors='replace')}")
        return True


def requests(load: Load) -> Iterator[tuple[int, bytes]]:
    """(lines, whole HTTP request) each; where all series are fewer than the lines of a body, it has several timestamps."""
    waiting: list[bytes] = []
    count = 0
    bodies = Bodies(load.fleet, load.lines)
    for minute in range(load.minutes):
        for lines, body in bodies.at(load.start + minute * FREQUENCY, padded=load.live, fixed=load.fixed):
            if count + lines > load.lines:
                yield count, request(load.path, waiting)
                waiting, count = [], 0
            waiting.append(body)
            count += lines
    yield count, request(load.path, waiting)


def request(path: str, parts: list[bytes]) -> bytes:
    """A whole HTTP request that writes these lines."""
    length = sum(map(len, parts))
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    return b"".join([head.encode(), *parts])


def send(load: Load, waiting: Iterator[tuple[int, bytes]]) -> Sent:
    """Send all of it. ConnectionError when one is not accepted, TimeoutError when answers stay out."""
    clients = [Client(load.port) for _ in range(load.connections)]
    count, lines, times = 0, 0, []
    begun, used = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        watched = 0

        def begin(client: Client) -> bool:
            """Give the client its next request; whether there was one."""
            nonlocal count, lines
            following = next(waiting, None)
            if following is None:
                return False
            lines += following[0]
            count += 1
            whole = client.send(following[1])
            selector.modify(client.socket, selectors.EVENT_READ | (0 if whole else selectors.EVENT_WRITE), client)
            return True

        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            watched += begin(client)
        while watched:
            events = selector.select(PATIENCE)
            if not events:
                raise TimeoutError(f"cannot write: no answer for {PATIENCE:.0f} s")
            for key, ready in events:
                client = key.data
                if ready & selectors.EVENT_WRITE and client.more():
                    selector.modify(client.socket, selectors.EVENT_READ, client)
                if ready & selectors.EVENT_READ and client.answered():
                    times.append(time.perf_counter() - client.begun)
                    watched -= not begin(client)
    seconds = time.perf_counter() - begun
    times.sort()
    return Sent(count, lines, seconds, times[len(times) // 2], times[len(times) * 99 // 100], time.process_time() - used)


def main() -> None:
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    load = Load(**wanted)
    waiting = requests(load)
    if not load.live:
        waiting = iter(list(waiting))
    print("ready", flush=True)
    if sys.stdin.readline():
        print(json.dumps(send(load, waiting)._asdict()), flush=True)


if __name__ == "__main__":
    main()
