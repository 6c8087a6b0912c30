"""The ledger itself: it must see what went wrong, or its "0 lost" says nothing."""

import numpy as np
import pytest

from chaos.ledger import THREADS, Batch, Fate, Ledger, Values, Verdict

STEPS = slice(0, 4)  # one slot of each fate: unsent, acknowledged, refused, unknown
FATE = np.array(list(Fate), np.uint8)


def answer(ledger: Ledger) -> Values:
    """What an honest store has: the acknowledged slot, and of the unknown one the first half."""
    there = ledger.values(0, STEPS)
    there[[Fate.UNSENT, Fate.REFUSED]] = np.nan
    there[Fate.UNKNOWN, THREADS // 2 :] = np.nan
    return there


def test_an_honest_store_is_clean() -> None:
    ledger = Ledger(1, start=0)
    verdict = ledger.compare(0, STEPS, FATE, answer(ledger))
    assert verdict == Verdict(acknowledged=THREADS, unknown_there=THREADS // 2, unknown_absent=THREADS - THREADS // 2)
    assert verdict.clean


@pytest.mark.parametrize(
    ("slot", "value", "wanted"),
    [
        (Fate.ACKNOWLEDGED, np.nan, "lost"),
        (Fate.ACKNOWLEDGED, "nearly", "changed"),
        (Fate.UNKNOWN, "nearly", "changed"),
        (Fate.UNSENT, 1.0, "invented"),
        (Fate.REFUSED, "sent", "invented"),
    ],
)
def test_one_wrong_value_is_seen(slot: Fate, value: object, wanted: str) -> None:
    ledger = Ledger(1, start=0)
    there, sent = answer(ledger), ledger.values(0, STEPS)
    there[slot, 0] = {"nearly": np.nextafter(sent[slot, 0], 0.0), "sent": sent[slot, 0]}.get(str(value), value)
    verdict = ledger.compare(0, STEPS, FATE, there)
    assert not verdict.clean
    assert getattr(verdict, wanted) == 1


def test_values_are_of_their_slot_and_need_every_bit() -> None:
    values = Ledger(1, start=0).values(0, slice(0, 1_000))
    assert len(np.unique(values)) > 0.99 * values.size
    assert np.isfinite(values).all()
    assert (values.astype(np.float32) != values).mean() > 0.4
    assert (Ledger(2, start=0).values(0, slice(0, 1_000)) != values).mean() > 0.99
    assert (Ledger(1, start=0).values(1, slice(0, 1_000)) != values).mean() > 0.99


def test_a_batch_is_written_as_it_is_remembered() -> None:
    ledger = Ledger(1, start=1_000)
    body, bad = ledger.body(Batch(0, 4))
    lines = body.decode().split("\n")
    good = [line.split(" ") for number, line in enumerate(lines, 1) if number not in bad]
    assert [float(value.removeprefix("value=")) for _, value, _ in good] == ledger.values(
        0, Batch(0, 4).steps
    ).flatten().tolist()
    assert {int(at) for _, _, at in good} == set(range(1_040, 1_050))
    assert [lines[number - 1].startswith("stray,") for number in bad] == [True, True]
