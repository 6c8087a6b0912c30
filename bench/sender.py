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
RETRY_AFTER = re.compile(rb"\r\nretry-after: *([0-9]+)", re.IGNORECASE)
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
    again: int  # requests that the store put off (503 with Retry-After) and that were sent again


class PutOff(Exception):
    """The store wants the request later; `seconds`: when."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class Client:
    """One connection: it sends a request, reads the answer, and is free again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._left = memoryview(b"")
        self._answer = b""
        self.request = b""
        self.begun = 0.0

    def send(self, request: bytes) -> bool:
        """Begin a request; whether all of it is on its way."""
        self._left, self._answer, self.request, self.begun = memoryview(request), b"", request, time.perf_counter()
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
        """Read what is there; whether the answer is whole. PutOff, or ConnectionError when it is not the one wanted."""
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
        if head[9:12] == b"503" and (later := RETRY_AFTER.search(head)):
            raise PutOff(int(later[1]))
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


class Sending:
    """All connections at work on the requests of a load."""

    def __init__(self, selector: selectors.BaseSelector, waiting: Iterator[tuple[int, bytes]]) -> None:
        self.count = self.lines = self.again = 0
        self.times: list[float] = []
        self._selector, self._waiting = selector, waiting
        self._busy = 0  # connections with a request
        self._put_off: list[tuple[float, Client]] = []

    def run(self, clients: list[Client]) -> None:
        """Until everything is answered. ConnectionError when one is not accepted, TimeoutError when answers stay out."""
        for client in clients:
            self._selector.register(client.socket, selectors.EVENT_READ, client)
            self._busy += self._begin(client)
        last = time.monotonic()
        while self._busy:
            due = min((when for when, _ in self._put_off), default=last + PATIENCE)
            for key, ready in self._selector.select(max(0.0, due - time.monotonic())):
                last = self._go_on(key.data, ready) or last
            if time.monotonic() - last > PATIENCE:
                raise TimeoutError(f"cannot write: nothing was accepted for {PATIENCE:.0f} s")
            self._send_again()

    def _begin(self, client: Client) -> bool:
        """Give the client its next request; whether there was one."""
        following = next(self._waiting, None)
        if following is None:
            return False
        self.lines += following[0]
        self.count += 1
        self._give(client, following[1])
        return True

    def _give(self, client: Client, request: bytes) -> None:
        whole = client.send(request)
        self._selector.modify(client.socket, selectors.EVENT_READ | (0 if whole else selectors.EVENT_WRITE), client)

    def _go_on(self, client: Client, ready: int) -> float | None:
        """Send or read what is possible; when the request was accepted, if it was."""
        if ready & selectors.EVENT_WRITE and client.more():
            self._selector.modify(client.socket, selectors.EVENT_READ, client)
        try:
            if not (ready & selectors.EVENT_READ and client.answered()):
                return None
        except PutOff as late:
            self._put_off.append((time.monotonic() + late.seconds, client))
            return None
        self.times.append(time.perf_counter() - client.begun)
        self._busy -= not self._begin(client)
        return time.monotonic()

    def _send_again(self) -> None:
        now = time.monotonic()
        due = [client for when, client in self._put_off if when <= now]
        self._put_off = [each for each in self._put_off if each[0] > now]
        for client in due:
            self._give(client, client.request)
        self.again += len(due)


def send(load: Load, waiting: Iterator[tuple[int, bytes]]) -> Sent:
    """Send all of it; see Sending.run."""
    clients = [Client(load.port) for _ in range(load.connections)]
    begun, used = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        sending = Sending(selector, waiting)
        sending.run(clients)
    seconds, times = time.perf_counter() - begun, sorted(sending.times)
    return Sent(
        sending.count,
        sending.lines,
        seconds,
        times[len(times) // 2],
        times[len(times) * 99 // 100],
        time.process_time() - used,
        sending.again,
    )


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
