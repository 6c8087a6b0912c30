"""T17 (P6, P10): shutdown and start. Nothing acknowledged is lost, ends come in time, and one folder has one store."""

import json
import random
import signal
import socket
import time
from collections.abc import Callable

import pytest

from chaos.conftest import Figures, Size
from chaos.ledger import Ledger, Load, Verdict
from chaos.program import STOP_SECONDS, Program

SLEEP = 30.0  # seconds of SIGSTOP at full size


def test_t17_sigterm_under_load(
    make_program: Callable[..., Program], size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    """Every second time a second SIGTERM comes while the first is being obeyed."""
    store, ledger, verdict, ends = make_program(), Ledger(seed), Verdict(), []
    for number in range(times := size.pick(2, 12)):
        store.run()
        load = Load(store, ledger, rng).begin()
        load.await_acknowledged(2)
        time.sleep(rng.uniform(0, 0.3))
        begun = time.monotonic()
        store.send(signal.SIGTERM)
        if number % 2:
            time.sleep(rng.uniform(0, 0.05))
            store.send(signal.SIGTERM)
        status, log = store.wait()
        ends.append(time.monotonic() - begun)
        verdict += load.finish()
        assert status == 0
        assert log[-1]["message"] == "stopped"
    store.run()
    found = ledger.check(store)
    figures(
        f"T17: {times} SIGTERM under load, every second one twice; {found}; slowest end {max(ends):.1f} s of "
        f"{STOP_SECONDS:.0f} s allowed, exit status always 0, 0 tracebacks"
    )
    assert (found + verdict).clean, found + verdict


def test_t17_sigstop_and_cont(
    make_program: Callable[..., Program], size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    store, ledger = make_program().run(), Ledger(seed)
    load = Load(store, ledger, rng).begin()
    load.await_acknowledged(2)
    store.send(signal.SIGSTOP)
    before = sum(writer.acknowledged for writer in load.writers)
    time.sleep(size.pick(0.5, SLEEP))
    store.send(signal.SIGCONT)
    begun = time.monotonic()
    load.await_acknowledged(max(writer.acknowledged for writer in load.writers) + 2)
    again = time.monotonic() - begun
    verdict = load.finish()
    store.kill()
    found = ledger.check(store.run()) + verdict
    figures(
        f"T17: SIGSTOP for {size.pick(0.5, SLEEP):g} s with {before} batches acknowledged, all writers acknowledged again "
        f"{again:.2f} s after SIGCONT; after kill -9: {found}"
    )
    assert found.clean, found


def test_t17_ports_and_folders_that_are_taken(make_program: Callable[..., Program], figures: Figures) -> None:
    first = make_program().run()
    write(first, 1)
    second = make_program()  # the same folder, other ports
    status, message = second.refusal()
    assert status == 1
    assert message.endswith("another store is running on it")
    third = make_program(store={"directory": str(first.data) + "-other"})
    for address in ("addr", "ops-addr"):
        section = third.settings["main" if address == "addr" else "metric-store"]
        own, section[address] = section[address], f"127.0.0.1:{first.port}"
        assert third.refusal() == (1, f"cannot listen on 127.0.0.1:{first.port}: Address already in use")
        section[address] = own
    first.kill()
    assert "1.0" in write(second.run(), 2), "the folder is free at once after kill -9, and what it holds is there"
    figures("T17: a second store on the folder and two taken ports refused with one line each; folder free after kill -9")


def test_t17_two_stores_started_at_once(make_program: Callable[..., Program], size: Size, figures: Figures) -> None:
    """Whoever gets the lock runs, the other says so; never both, never neither."""
    for _ in range(rounds := size.pick(1, 10)):
        both = [make_program(), make_program()]
        for store in both:
            store.start()
        winner = await_one(both)
        loser = both[1 - winner]
        status, log = loser.wait()
        assert (status, log[-1]["level"]) == (1, "critical")
        both[winner].ready()
        assert both[winner].end()[0] == 0
    figures(f"T17: {rounds} times two stores started at once on one folder: one ran, one was refused")


def await_one(stores: list[Program]) -> int:
    """Which one is still there when one has gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for index, store in enumerate(stores):
            assert store.process is not None
            if store.process.poll() is not None:
                return 1 - index
        time.sleep(0.01)
    pytest.fail("both run")


def test_t17_a_request_under_way_is_answered(make_program: Callable[..., Program], figures: Figures) -> None:
    """SIGTERM while a body is half here: it may still come and is stored; connections without a request are let go."""
    store = make_program().run()
    line = f"m,cluster=c,hostname=h value=3 {int(time.time())}"
    head = f"POST /api/write HTTP/1.1\r\nhost: x\r\ncontent-length: {len(line)}\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", store.port)) as busy,
        socket.create_connection(("127.0.0.1", store.port)) as idle,
    ):
        busy.sendall(head.encode() + line[:10].encode())
        idle.sendall(b"GET /api/que")
        write(store, 1)  # an answer behind the other two: both have been seen
        store.send(signal.SIGTERM)
        await_closed_port(store.port)
        busy.sendall(line[10:].encode())
        answer = busy.recv(1000)
        status, _ = store.wait()
    assert status == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "3.0" in write(store.run(), None)
    figures("T17: a write whose body was half here at SIGTERM was answered 200 and is there after the start")


def await_closed_port(port: int) -> None:
    """Until then the system may still take connections, and reset those that nobody will look at."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        except ConnectionError:
            pass


def write(store: Program, value: float | None) -> str:
    """Store one value now, if any; what a query then has."""
    now = int(time.time())
    if value is not None:
        assert store.ask("POST", "/api/write", f"m,cluster=c,hostname=h value={value} {now}").status == 200
    queries = [{"metric": "m", "host": "h"}]
    asked = {"cluster": "c", "from": now - 600, "to": now + 60, "queries": queries, "with-padding": False}
    return store.ask("POST", "/api/query", json.dumps(asked)).text
