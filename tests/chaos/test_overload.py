"""T9 (P8, P1): more than the store can take, on a slow disk. The books close, and what was acknowledged is there."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import natsserver
from chaos import publisher
from chaos.conftest import Figures, Size
from chaos.ledger import STEPS, THREADS, Fate, Ledger, Writer
from chaos.program import Program
from chaos.publisher import CORE, KEPT, STREAM, Publisher, acknowledged, await_books, drained, nats_books, there
from natsserver import NatsServer

SLOWDISK = str(Path(__file__).with_name("slowdisk.py"))
SYNC = 0.05  # seconds that a sync takes longer
CONNECTIONS = 16
REFUSED_WITHIN = 20.0  # seconds that a machine may need to send more than can be stored
WAITING = 1_500  # samples that may wait: five batches, where sixteen connections send at once


def overload(store: Program, ledger: Ledger, seconds: float, *others: Publisher) -> None:
    """All connections write for so long, and until something is refused, if it ever is; and others beside them."""
    writers = [Writer(store, ledger, host) for host in range(CONNECTIONS)]
    for one in (*writers, *others):
        one.start()
    time.sleep(seconds)
    end = time.monotonic() + REFUSED_WITHIN
    while not ledger.batches[Fate.REFUSED] and time.monotonic() < end:
        time.sleep(0.01)
    for one in (*writers, *others):
        one.stop.set()
    for one in (*writers, *others):
        one.finish()


def test_t9_the_books_close_under_overload(
    make_program: Callable[..., Program], size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    store = make_program(script=[SLOWDISK, str(SYNC)], store={"limits": {"waiting": WAITING}}).run()
    ledger = Ledger(seed, hosts=CONNECTIONS)
    begun = time.monotonic()
    overload(store, ledger, size.pick(1.0, 60.0))
    seconds = time.monotonic() - begun
    lines = store.lines()
    received = lines.pop(("received", ""))
    stored, refused = lines["stored", ""], lines["unavailable", ""]
    acknowledged, told = (ledger.batches[fate] for fate in (Fate.ACKNOWLEDGED, Fate.REFUSED))
    late = sorted(ledger.latencies)
    p99 = late[int(len(late) * 0.99)]
    store.kill()
    found = ledger.check(store.run())
    figures(
        f"T9: {CONNECTIONS} connections for {seconds:.0f} s, syncs {SYNC:g} s slower: {received:,.0f} lines received, "
        f"{sum(lines.values()):,.0f} accounted for ({stored:,.0f} stored, {refused:,.0f} refused for now); {told:,} of "
        f"{told + acknowledged:,} batches refused with 503; acknowledged p99 {p99:.2f} s; after kill -9: {found}"
    )
    assert received == sum(lines.values())
    assert stored == acknowledged * THREADS * STEPS
    assert refused == told * THREADS * STEPS
    assert told, "it was no overload"
    assert not ledger.batches[Fate.UNKNOWN]
    assert found.clean, found
    if size.full:
        assert p99 <= 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    one = NatsServer(tmp_path, publisher.SETTINGS).start()
    asyncio.run(one.make_stream(STREAM, KEPT))
    yield one
    one.stop()


@natsserver.needed
def test_t9_with_writers_by_nats(
    make_program: Callable[..., Program], server: NatsServer, size: Size, seed: int, figures: Figures
) -> None:
    """JetStream's messages are acknowledged when they are on disk, and all come; of core NATS what is lost is counted."""
    subscriptions = [{"subscribe-to": CORE, "cluster-tag": "c"}, {"subscribe-to": KEPT, "cluster-tag": "c", "stream": STREAM}]
    limits = {"waiting": WAITING}
    store = make_program(script=[SLOWDISK, str(SYNC)], store={"limits": limits, "nats-subscriptions": subscriptions})
    store.settings["metrics"]["n"] = {"frequency": 1}
    store.settings["nats"] = {"address": server.url, "pending-bytes": 4 * 1024**2, "ack-wait": "5s"}
    store.run()
    await_books(store, lambda found: bool(found["connected"]))
    ledger, published = Ledger(seed, hosts=CONNECTIONS), Publisher(server)
    overload(store, ledger, size.pick(1.0, 60.0), published)
    count, start = published.sent, published.start_time
    await_books(store, lambda found: found["core received_total"] == count)
    done = asyncio.run(acknowledged(server))
    server.stop()  # so that it brings nothing again before we have looked
    await_books(store, lambda found: not found["pending"])
    lines, books = store.lines(), nats_books(store)
    store.kill()
    on_disk = there(store.run(), "kept", start, count)[:done]
    some = int(there(store, "core", start, count).sum())
    server.start()
    asyncio.run(drained(server))
    all_kept, found = there(store, "kept", start, count), ledger.check(store)
    stored, lost = (
        int(books["core stored"]),
        {name: int(books[f"core {name}"]) for name in ("refused", "unavailable", "dropped")},
    )
    received = lines.pop(("received", ""))
    figures(
        f"T9 with NATS: {count:,} messages to a stream and as many by core NATS beside {CONNECTIONS} connections; "
        f"{done:,} acknowledged when it was killed, {int((~on_disk).sum())} of them lost, {int((~all_kept).sum())} at "
        f"the end; core NATS: {stored:,} stored, {lost}; {received:,.0f} lines received, {sum(lines.values()):,.0f} "
        f"accounted for; HTTP: {found}"
    )
    assert on_disk.all()
    assert all_kept.all()
    assert books["core received_total"] == count == stored + sum(lost.values())
    assert some == stored
    assert received == sum(lines.values())
    assert found.clean, found
