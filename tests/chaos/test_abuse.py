"""T16 (P9, P10): HTTP abuse beside a client that does nothing wrong."""

import contextlib
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.abuses import Abuse, all_abuses
from chaos.conftest import Figures, Size
from chaos.program import MIB, Program, Use
from chaos.raw import exchange

GOOD = str(Path(__file__).with_name("good.py"))
HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLRDHUP
RESET = struct.pack("ii", 1, 0)
OK = b"HTTP/1.1 200 "


class Good:
    """The good client; its verdict when it is stopped."""

    def __init__(self, store: Program) -> None:
        command = [sys.executable, GOOD, str(store.port), "0.02"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.verdict: dict[str, Any] = {}

    def __enter__(self) -> "Good":
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.verdict = json.loads(self._process.communicate(timeout=60)[0])

    def __str__(self) -> str:
        found = self.verdict
        return f"the good client: {len(found['bad'])} of {found['requests']} requests not 2xx, p99 {found['p99'] * 1000:.0f} ms"

    def judge(self, size: Size) -> None:
        """All of its requests were served; in time, at full size."""
        assert self.verdict["requests"] > 0
        assert not self.verdict["bad"], self.verdict["bad"][:5]
        if size.full:
            assert self.verdict["p99"] < 0.5


def connect(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    return one


def files_return(store: Program, base: Use, seconds: float = 20) -> tuple[int, float]:
    """How many files more than before are still open, and after how long none were."""
    begun = time.monotonic()
    while (more := store.use().files - base.files) > 0 and time.monotonic() - begun < seconds:
        time.sleep(0.05)
    return more, time.monotonic() - begun


@pytest.fixture
def store(make_program: Callable[..., Program]) -> Program:
    store = make_program().run()
    assert store.ask("POST", "/api/write", "m,cluster=c,hostname=good value=1").status == 200
    return store


def test_t16_abuses_are_refused(store: Program, size: Size, figures: Figures) -> None:
    """Each on a connection of its own; none has anything done that it smuggles."""
    base, wrong, count, peak = store.use(), [], 0, 0
    with Good(store) as good:
        for abuse in all_abuses(size.pick(300 * MIB, 10_000 * MIB)):
            count += 1
            fault = attacked(store, abuse)
            if fault:
                wrong.append(fault)
        peak = store.use().peak
    more, seconds = files_return(store, base)
    grown = (peak - base.resident) / MIB
    figures(
        f"T16: {count} abuses, {len(wrong)} answered otherwise than they should be; {good}; RSS {grown:+.0f} MiB at most; "
        f"{more} files open more than before after {seconds:.1f} s"
    )
    assert not wrong, "\n".join(wrong)
    assert "smuggled" not in store.ask("GET", "/metrics", port=store.ops).text
    assert more <= 0
    good.judge(size)
    if size.full:
        assert grown <= 100


def attacked(store: Program, abuse: Abuse) -> str:
    """What is wrong with the answer, if anything."""
    reply = exchange(store.port, abuse.data, seconds=15)
    if not reply.statuses:
        return f"{abuse.name}: no answer, {'closed' if reply.closed else 'open'}"
    if reply.statuses[0] not in abuse.wanted:
        return f"{abuse.name}: {reply.statuses} {reply.data[:300]!r}"
    if reply.statuses[0] not in (200, 404, 405) and len(reply.statuses) > 1:
        return f"{abuse.name}: {len(reply.statuses)} answers"
    if reply.statuses[0] == 400 and not reply.closed and b"connection: close" in reply.data.lower():
        return f"{abuse.name}: still open"
    return ""


def test_t16_bodies_without_end_are_refused(store: Program, size: Size, figures: Figures) -> None:
    """A line of 1 MB, and 1 GB in chunks: refused when the limit is passed, not when the body ends."""
    line = b"m,cluster=c,hostname=h,x=" + b"y" * MIB + b" value=1"
    answer = store.ask("POST", "/api/write", line)
    assert answer.status == 400
    assert "longer than" in answer.text
    base = store.use()
    chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    sent, first = 0, b""
    with socket.create_connection(("127.0.0.1", store.port), timeout=15) as one:
        with contextlib.suppress(ConnectionError):
            one.sendall(b"POST /api/write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            while sent < 1024:  # whatever the server says
                one.sendall(chunk)
                sent += 1
                if not first and select.select([one], [], [], 0)[0]:
                    first = one.recv(1000)
        if not first:  # the answer and the end of the connection came in the middle of a chunk
            first = one.recv(1000)
    grown = (store.use().peak - base.peak) / MIB
    figures(
        f"T16: 1 GB in chunks, sent on and on: answer {first[9:12].decode()}, cut off after {sent} MB, RSS {grown:+.0f} MiB"
    )
    assert first.startswith(b"HTTP/1.1 413 ")
    assert sent < 256


def test_t16_a_pipeline_is_answered_in_order(store: Program, size: Size, figures: Figures) -> None:
    count, base = size.pick(500, 10_000), store.use()
    ask = b"GET /api/query?%d HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
    with Good(store) as good, socket.create_connection(("127.0.0.1", store.port), timeout=30) as one:
        begun = time.monotonic()
        data, found, tail = memoryview(b"".join(ask % number for number in range(count))), 0, b""
        one.setblocking(False)
        while found < count:
            ready = select.select([one], [one] if data else [], [], 30)
            assert any(ready), f"{found} of {count} answered"
            if ready[0]:
                new = one.recv(65536)
                assert new, f"closed when {found} of {count} were answered"
                found += (tail + new).count(OK)
                tail = (tail + new)[1 - len(OK) :]  # the rest of it may come with the next piece
            if ready[1]:
                data = data[one.send(data[:65536]) :]
        seconds = time.monotonic() - begun
    grown = (store.use().peak - base.peak) / MIB
    figures(f"T16: {count} requests in one go answered within {seconds:.1f} s, RSS {grown:+.0f} MiB; {good}")
    good.judge(size)


def test_t16_abrupt_resets(store: Program, size: Size, figures: Figures) -> None:
    """Connections that end with RST in every state: before a byte, in the header, in the body, while the answer comes."""
    starts = [
        b"",
        b"GET /",
        b"POST /api/write HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc",
        b"GET /api/query HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
    count, base = size.pick(400, 50_000), store.use()
    with Good(store) as good:
        begun = time.monotonic()
        for number in range(count):
            one = connect(store.port)
            with contextlib.suppress(ConnectionError):
                one.sendall(starts[number % len(starts)])
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()
        seconds = time.monotonic() - begun
    more, after = files_return(store, base)
    grown = (store.use().resident - base.resident) / MIB
    figures(
        f"T16: {count} resets at {count / seconds:,.0f} per s; {good}; RSS {grown:+.0f} MiB; {more} files more than before, "
        f"after {after:.1f} s"
    )
    assert more <= 0
    good.judge(size)


def slow(store: Program, count: int) -> Iterator[tuple[str, socket.socket, bytes]]:
    """Connections of three kinds: what they have sent, and what they send every second from now on."""
    now = int(time.time())
    asked = {"cluster": "c", "from": now - 200_000, "to": now, "queries": [{"metric": "m", "host": "good"}]}  # 1 MB of nulls
    query = json.dumps(asked).encode()
    kinds = [
        ("header", b"POST /api/write HTTP/1.1\r\nhost: x\r\nx: ", b"y"),
        ("body", b"POST /api/write HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n", b"y"),
        ("reading", b"GET /api/query HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(query) + query, b""),
    ]
    for number in range(count):
        name, first, more = kinds[number % 3]
        one = connect(store.port)
        one.sendall(first)
        yield name, one, more


@pytest.mark.chaos
def test_t16_slow_connections_are_closed(store: Program, size: Size, figures: Figures) -> None:
    base, peak, closed = store.use(), 0, dict.fromkeys(("header", "body", "reading"), 0.0)
    with Good(store) as good:
        opened = {one.fileno(): (name, one, more, time.monotonic()) for name, one, more in slow(store, 999)}
        poll, left = select.poll(), dict(opened)
        for number in opened:
            poll.register(number, select.POLLRDHUP)
        deadline = time.monotonic() + 60
        while left and time.monotonic() < deadline:
            for number, event in poll.poll(200):
                if event & HUNG_UP and number in left:
                    name, _, _, since = left.pop(number)
                    closed[name] = max(closed[name], time.monotonic() - since)
                    poll.unregister(number)
            for _, one, more, _ in left.values():
                with contextlib.suppress(ConnectionError):
                    one.send(more)
            peak = max(peak, store.use().resident)
        for _, one, _, _ in opened.values():
            one.close()
    more, after = files_return(store, base)
    grown = (peak - base.resident) / MIB
    each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in closed.items())
    figures(
        f"T16: {len(opened)} slow connections, {len(left)} never closed, the last of each kind after {each}; {good}; "
        f"RSS {grown:+.0f} MiB; {more} files open more than before after {after:.1f} s"
    )
    assert not left
    assert more <= 0
    assert max(closed.values()) <= 15
    assert grown <= 100
    good.judge(size)
