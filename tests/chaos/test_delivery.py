"""T10 (P7, P8): the agent's delivery. Real agents, a real store, and a way between them that breaks.

Each batch that a spool has said to have is in the store at the end, once and as it was sampled, or was dropped for lack of
space, the oldest first, and counted. The books close whenever they are read.
"""

import contextlib
import itertools
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.conftest import Figures, Size
from chaos.link import Fault, Link
from chaos.program import Program
from chaos.watched import METRICS_OF_A_STORE, SECONDS, Agent, stored

OUTAGE = 30.0  # seconds at full size, for 10 minutes at the interval of 10 s
KILLS = 20
CATCH_UP = 60.0  # seconds
RETRIES = 1.0  # a second, at most
MakeAgent = Callable[..., Agent]


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    agents: list[Agent] = []

    def make(port: int, name: str = "n1", **spool: int | str) -> Agent:
        agents.append(Agent(tmp_path / name, port, **spool))
        return agents[-1]

    yield make
    for agent in agents:
        agent.kill()
        assert "BUG" not in agent.log()
        assert "Traceback" not in agent.log()


@pytest.fixture
def store(make_program: Callable[..., Program]) -> Program:
    program = make_program()
    program.settings["metrics"] = METRICS_OF_A_STORE
    return program.run()


def await_fault(link: Link, agent: Agent, fault: Fault, seconds: float) -> None:
    """Until the agent has met it, and for so long at least; its books close all the while."""
    link.become(fault)
    before, begun = link.seen[fault], time.monotonic()
    while link.seen[fault] == before or time.monotonic() < begun + seconds:
        assert time.monotonic() < begun + seconds + SECONDS, f"the agent does not meet {fault}: {agent.log()[-2000:]}"
        agent.books()
        time.sleep(0.05)


def test_t10_nothing_is_lost_on_a_way_that_breaks(
    store: Program, make_agent: MakeAgent, size: Size, rng: random.Random, figures: Figures
) -> None:
    kills = size.pick(2, KILLS)
    faults = [Fault.DOWN] * kills + size.pick([Fault.CUT, Fault.LOST, Fault.REFUSED], [*Fault] * 3)
    rng.shuffle(faults)
    with Link(store.port) as link:
        agent = make_agent(link.port).start()
        agent.until(lambda books: books["delivered"])
        for fault in faults:
            if fault is Fault.DOWN:
                await_fault(link, agent, fault, size.pick(0.0, rng.uniform(0.5, 2.5) * OUTAGE / KILLS))
                agent.kill()
                agent.start()
            else:
                await_fault(link, agent, fault, size.pick(0.0, 3.0))
        link.become(Fault.NONE)
        begun = time.monotonic()
        agent.delivered()
        caught_up = time.monotonic() - begun
        agent.stop()
    journal, there = agent.journal(), stored(store)
    lost = journal.kept.keys() - there.keys()
    changed = {one for one in journal.kept.keys() & there.keys() if journal.kept[one] != there[one]}
    invented = there.keys() - journal.kept.keys() - journal.unknown.keys()
    met = ", ".join(f"{link.seen[fault]} x {fault.value}" for fault in Fault)
    figures(
        f"T10: {kills} SIGKILLs, connections by fault: {met}; {len(journal.ticks)} batches of {len(journal.kept):,} samples: "
        f"{len(lost)} lost, {len(changed)} changed, {len(invented)} invented; caught up {caught_up:.1f} s after the last fault"
    )
    assert not lost
    assert not changed
    assert not invented
    if size.full:
        assert caught_up <= CATCH_UP


def test_t10_a_full_spool_drops_the_oldest_and_counts_them(
    store: Program, make_agent: MakeAgent, size: Size, figures: Figures
) -> None:
    with Link(store.port) as link:
        agent = make_agent(link.port, bytes=65536)
        ballast = size.pick(1500, 400)
        agent.put("ballast", ballast)
        agent.start().delivered()  # so that no more than one batch is under way when the link breaks
        link.become(Fault.DOWN)
        begun = time.monotonic()
        # More than the one batch that the store may have, because the outage took only the answer.
        agent.until(lambda books: books["spool-full"] > 2 * ballast and time.monotonic() - begun > size.pick(0.0, OUTAGE))
        tries, outage = len(link.tries), time.monotonic() - begun
        first_waits = [later - earlier for earlier, later in itertools.pairwise(link.tries)]
        link.become(Fault.NONE)
        begun = time.monotonic()
        books = agent.until(lambda books: books["delivered"] and not books["spooled"] and not books["in_memory"])
        caught_up = time.monotonic() - begun
        agent.stop()
    journal, there = agent.journal(), stored(store)
    missing = journal.kept.keys() - there.keys()
    gone = sorted({at for _, at in missing})
    survivors = [at for at in journal.ticks if gone[0] < at < gone[-1] and at not in gone]
    figures(
        f"T10: spool of 64 KiB full in an outage of {outage:.1f} s: {len(missing):,} samples of {len(gone)} batches missing, "
        f"{books['spool-full']:,.0f} counted, {len(survivors)} older ones kept for being sent; {tries} tries, "
        f"{tries / outage:.2f} a second, from {min(first_waits, default=0):.2f} to {max(first_waits, default=0):.2f} s apart; "
        f"caught up {caught_up:.1f} s after it"
    )
    # One batch may have reached the store when the outage took the answer: dropped later, and there all the same.
    assert books["spool-full"] - len(missing) in {0, *Counter(at for _, at in journal.kept).values()}
    assert len(survivors) <= 1, "those being sent when others had to go"
    if size.full:
        assert tries / outage <= RETRIES
        assert caught_up <= CATCH_UP


def test_t10_a_wrong_clock_costs_its_own_samples_alone(
    store: Program, make_agent: MakeAgent, size: Size, figures: Figures
) -> None:
    agent = make_agent(store.port).start()
    agent.until(lambda books: books["delivered"])
    for wrong in size.pick((7200, 0), (7200, 0, -10 * 365 * 86400, 0, 10 * 365 * 86400, 1800, -1800, 0)):
        before = agent.books()
        agent.put("clock", wrong)
        ticks = size.pick(1, 3)
        agent.until(
            lambda books, before=before, ticks=ticks: books["sampled"] - before["sampled"] >= ticks * before["sampled"] / 50
        )
        agent.delivered()
    books = agent.delivered()
    agent.stop()
    journal, there = agent.journal(), stored(store)
    missing = journal.kept.keys() - there.keys()
    now = int(time.time())
    far = {(series, at) for series, at in journal.kept if abs(at - now) > 3600 + 600}
    figures(
        f"T10: clock wrong by up to 10 years: {len(missing):,} samples refused by the store, {books['rejected']:,.0f} counted, "
        f"{len(there):,} stored; nothing waits, nothing is sent twice for ever"
    )
    assert len(missing) == books["rejected"]
    assert missing <= far


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.chaos
def test_t10_a_full_disk_under_the_spool(store: Program, make_agent: MakeAgent, small_disk: Path, figures: Figures) -> None:
    with Link(store.port) as link:
        agent = make_agent(link.port, directory=str(small_disk / "spool")).start()
        agent.until(lambda books: books["delivered"])
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"x" * 4096)
        before = agent.books()["delivered"]
        agent.until(lambda books: books["delivered"] >= before + 1000)
        link.become(Fault.DOWN)
        held = agent.until(lambda books: books["in_memory"] >= 1000)["in_memory"]
        ballast.unlink()
        spooled = agent.until(lambda books: books["spooled"] and not books["in_memory"])["spooled"]
        agent.kill()
        link.become(Fault.NONE)
        books = agent.start().delivered()
        agent.stop()
    lost = agent.journal().kept.keys() - stored(store).keys()
    figures(
        f"T10: spool's disk full: delivered; {held:,.0f} samples held there in an outage, {spooled:,.0f} on the disk "
        f"when it had room, {books['restored']:,.0f} there after SIGKILL; {len(lost)} lost"
    )
    assert not lost
