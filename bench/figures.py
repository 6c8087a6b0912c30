"""What one store does with the load of design.md section 7, measured in one life of it."""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from bench.data import FREQUENCY, Fleet, values
from bench.program import Cost, Memory, measure
from bench.progress import say
from bench.sender import Load
from bench.stores import QUERIES, ClusterCockpitStore, Ours, Request, Store

LARGE, SMALL = 7370, 97  # lines of a body
LARGE_CONNECTIONS, SMALL_CONNECTIONS = 2, 16
REPEATS, CPU_WANTED, LONGEST = 30, 0.6, 15.0  # of a query: at least so often, until so much CPU was used; seconds
COMPARED = 16  # one host in so many is compared value by value


class Answer(NamedTuple):
    """What a request costs: CPU milliseconds and milliseconds of the clock, means of so many; bytes of one answer.

    `reworded`: CPU milliseconds when each is in other words than those before, so that nothing that was found for them helps.
    """

    cpu: float
    clock: float
    repeats: int
    bytes: int
    reworded: float = 0.0


class Figures(NamedTuple):
    """All of one store; times in seconds, memory and disk in bytes."""

    start: float
    idle: Memory
    first: Cost
    large: Cost
    small: Cost
    full: Memory
    queries: dict[str, Answer]
    exposition: Answer | None
    disk: int
    samples: int  # sent and acknowledged by then
    read: int  # found by queries
    compared: int  # of these, compared with what was sent
    different: int
    restart: float
    restarted_with: int  # samples acknowledged before kill -9, the last of them a moment before
    lost: int  # of these, not found after it
    after: Memory


def figures(store: Store, fleet: Fleet, minutes: int, rounds: int, *, fixed: bool) -> Figures:
    """First sight of every series, `minutes` in large bodies, `rounds` minutes in small ones, queries.

    Then one more minute, kill -9 as soon as its last body is answered, start, count.
    """
    name, span = store.name, 1 + minutes + rounds + 1
    end = int(time.time()) // FREQUENCY * FREQUENCY + FREQUENCY
    start = end - span * FREQUENCY
    begin = store.ready()
    store.settle(5)
    idle = store.memory()

    def load(at: int, count: int, lines: int, connections: int, settle: float = 30) -> Cost:
        wanted = Load(store.port, store.write_path, start + at * FREQUENCY, count, lines, connections, fleet.hosts, fixed=fixed)
        cost = measure(store, wanted, settle=settle)
        say(
            f"{name}: {cost.sent.lines:,} lines in bodies of {lines:,}: {cost.lines_by_cpu / 1e6:.2f} M lines/CPU-s, "
            f"{cost.lines_by_second / 1e6:.2f} M lines/s"
        )
        return cost

    first = load(0, 1, LARGE, LARGE_CONNECTIONS)
    large = load(1, minutes, LARGE, LARGE_CONNECTIONS)
    small = load(1 + minutes, rounds, SMALL, SMALL_CONNECTIONS)
    samples = first.sent.lines + large.sent.lines + small.sent.lines
    full = store.memory()
    queries = _queries(store, fleet, start + FREQUENCY * (span - 1 - minutes), end - FREQUENCY)
    scrape = store.exposition()
    exposition = repeat(store, scrape, 3) if scrape else None
    everyone = list(range(fleet.hosts))
    read = store.count(fleet, start, end, everyone)
    compared, different = _compare(store, fleet, start, end - FREQUENCY, fixed=fixed)
    say(f"{name}: {read:,} of {samples:,} samples read back, {different:,} of {compared:,} compared differ")
    disk = store.at_rest()
    everything = samples + load(span - 1, 1, LARGE, LARGE_CONNECTIONS, settle=0).sent.lines
    store.end(signal.SIGKILL)
    store.start()
    restart = store.ready()
    lost = everything - store.count(fleet, start, end, everyone)
    say(f"{name}: ready {restart:.2f} s after kill -9, {lost:,} samples lost")
    return Figures(
        start=begin,
        idle=idle,
        first=first,
        large=large,
        small=small,
        full=full,
        queries=queries,
        exposition=exposition,
        disk=disk,
        samples=samples,
        read=read,
        compared=compared,
        different=different,
        restart=restart,
        restarted_with=everything,
        lost=lost,
        after=store.memory(),
    )


def _queries(store: Store, fleet: Fleet, start: int, end: int) -> dict[str, Answer]:
    found = {}
    for what, request in zip(QUERIES, store.queries(fleet, start, end), strict=True):
        found[what] = repeat(store, request, REPEATS)
        if isinstance(store, Ours):
            anew = repeat(store, request, REPEATS, word=reworded)
            found[what] = found[what]._replace(reworded=anew.cpu)
        say(f"{store.name}: {what}: {found[what].cpu:.2f} CPU-ms, mean of {found[what].repeats}")
    return found


def repeat(
    store: Store, request: Request, least: int, word: Callable[[Request, int], Request] = lambda request, _: request
) -> Answer:
    """Ask again and again; /proc counts CPU time in steps of 10 ms, so a small request is asked often."""
    size = len(store.ask(request))
    cpu, begun, count = store.cpu(), time.monotonic(), 0
    while True:
        count += 1
        store.ask(word(request, count))
        used, took = store.cpu() - cpu, time.monotonic() - begun
        if (count >= least and used >= CPU_WANTED) or took > LONGEST:
            return Answer(used / count * 1000, took / count * 1000, count, size)


def reworded(request: Request, count: int) -> Request:
    """The same question, with so many spaces among its queries."""
    spaces, queries = b" " * count, b'"queries": ['
    body = request.body if queries in request.body else request.body.replace(b"{", b"{" + queries + b"], ", 1)
    return request._replace(body=body.replace(queries, queries + spaces, 1))


def _compare(store: Store, fleet: Fleet, start: int, end: int, *, fixed: bool) -> tuple[int, int]:
    """(samples compared, samples that are not exactly what was sent), where the store's answers have full precision."""
    if not isinstance(store, ClusterCockpitStore):
        return 0, 0
    sent = [values(fleet.series, timestamp, fixed=fixed)[0] for timestamp in range(start, end, FREQUENCY)]
    hosts = range(0, fleet.hosts, COMPARED)
    different = sum(store.differences(fleet, start, end, number, sent) for number in hosts)
    return len(hosts) * fleet.by_host * len(sent), different
