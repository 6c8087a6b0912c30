"""T1 (P1, P2): kill -9 at random moments, the same folder all along. Nothing acknowledged is lost, changed or invented."""

import random
import time
from collections.abc import Callable

from chaos.conftest import Figures, Size
from chaos.ledger import SLOTS, STEPS, Fate, Ledger, Load, Verdict
from chaos.program import Program

WHILE_STARTING = 0.15  # share of the kills that hit the store before it is ready


def recent(ledger: Ledger, store: Program, since: list[int], rng: random.Random) -> Verdict:
    """What was written since the last look, and an older piece of each host."""
    found = Verdict()
    for host in range(ledger.hosts):
        found += ledger.check(store, [host], slice(since[host] * STEPS, SLOTS))
        if since[host]:
            at = rng.randrange(since[host]) * STEPS
            found += ledger.check(store, [host], slice(at, min(at + 500, since[host] * STEPS)))
    return found


def test_t1_kill_9_loses_nothing_acknowledged(
    make_program: Callable[..., Program], size: Size, seed: int, rng: random.Random, figures: Figures
) -> None:
    store, ledger, verdict, seen = make_program(), Ledger(seed), Verdict(), Verdict()
    slowest, checked = 0.0, list(ledger.next)
    for number in range(kills := size.pick(4, 60)):
        store.start()
        if number and rng.random() < WHILE_STARTING:
            time.sleep(rng.uniform(0, 2 * slowest))
            store.kill()
            continue
        slowest = max(slowest, store.ready())
        verdict += recent(ledger, store, checked, rng)
        checked = list(ledger.next)
        load = Load(store, ledger, rng).begin()
        load.await_acknowledged(3)
        time.sleep(rng.uniform(0, 0.4))
        store.kill()
        seen += load.finish()
    store.run()
    verdict += ledger.check(store)
    acked = ledger.batches[Fate.ACKNOWLEDGED]
    figures(
        f"T1: {kills} kills, {acked:,} batches acknowledged; {verdict}; beside the writers {seen.acknowledged:,} values read, "
        f"{seen.lost} lost, {seen.changed} changed; 0 failed starts, the slowest {slowest:.1f} s"
    )
    assert verdict.clean, verdict
    assert seen.clean, seen
