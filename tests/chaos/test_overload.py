"""T9 (P8, P1): more than the store can take, on a slow disk. The books close, and what was acknowledged is there."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from chaos.conftest import Figures, Size
from chaos.ledger import STEPS, THREADS, Fate, Ledger, Writer
from chaos.program import Program

SLOWDISK = str(Path(__file__).with_name("slowdisk.py"))
SYNC = 0.05  # seconds that a sync takes longer
CONNECTIONS = 16
WAITING = 1_500  # samples that may wait: five batches, where sixteen connections send at once


def test_t9_the_books_close_under_overload(
    make_program: Callable[..., Program], size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    store = make_program(script=[SLOWDISK, str(SYNC)], store={"limits": {"waiting": WAITING}}).run()
    ledger = Ledger(seed, hosts=CONNECTIONS)
    writers = [Writer(store, ledger, host) for host in range(CONNECTIONS)]
    begun = time.monotonic()
    for writer in writers:
        writer.start()
    time.sleep(size.pick(1.0, 60.0))
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.finish()
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
