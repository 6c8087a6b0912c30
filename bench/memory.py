"""Memory and disk after many hours of all series, really written: timestamp by timestamp, as hosts send them."""

import random
import signal
import time
from typing import NamedTuple

from bench.data import FREQUENCY, Fleet
from bench.figures import LARGE, LARGE_CONNECTIONS
from bench.program import Cost, Memory, measure
from bench.progress import say
from bench.sender import Load
from bench.stores import Store

WHOLE = 48  # hours that the design speaks of
COUNTED_HOSTS = 5  # whose samples are all read back
STEP = 60  # minutes written at once


class Long(NamedTuple):
    """What the store holds and takes after so many hours of so many series."""

    hours: float
    samples: int
    lines_by_cpu: float
    lines_by_second: float
    memory: Memory
    disk: int
    counted: int  # samples read back of some hosts
    missing: int  # of these hosts' samples
    restart: float  # seconds until it is ready after kill -9


def hold(store: Store, fleet: Fleet, hours: float, budget: float, *, fixed: bool) -> Long:
    """Write `hours`, or with 0 as many of WHOLE as fit into `budget` seconds; wait for seals; measure."""
    store.ready()
    span = int((hours or WHOLE) * 3600 // FREQUENCY)
    start = int(time.time()) // FREQUENCY * FREQUENCY - (span - 1) * FREQUENCY
    spent: list[Cost] = []

    def write(at: int, minutes: int) -> Cost:
        begun = start + at * FREQUENCY
        load = Load(store.port, store.write_path, begun, minutes, LARGE, LARGE_CONNECTIONS, fleet.hosts, fixed=fixed, live=True)
        return measure(store, load)

    write(0, 1)  # the first sight of the series, which is a row of its own
    say(f"{store.name}: writing {f'{hours:g} h' if hours else f'for {budget:.0f} s'} of {fleet.series:,} series")
    written, begun = 1, time.monotonic()
    while written < span and (hours or time.monotonic() - begun < budget):
        step = min(STEP, span - written)
        spent.append(write(written, step))
        written += step
        say(f"{store.name}: {written * FREQUENCY / 3600:.1f} h written, {store.memory().resident / 1e6:,.0f} MB resident")
    disk = store.at_rest()
    memory = store.memory()
    hosts = random.Random(7).sample(range(fleet.hosts), min(COUNTED_HOSTS, fleet.hosts))
    end = start + written * FREQUENCY
    counted = sum(store.count(fleet, start, end, [number]) for number in hosts)
    store.end(signal.SIGKILL)
    store.start()
    restart = store.ready()
    samples = written * fleet.series
    cpu, lines = sum(cost.cpu for cost in spent), sum(cost.sent.lines for cost in spent)
    found = Long(
        hours=written * FREQUENCY / 3600,
        samples=samples,
        lines_by_cpu=lines / cpu,
        lines_by_second=lines / sum(cost.sent.seconds for cost in spent),
        memory=memory,
        disk=disk,
        counted=counted,
        missing=len(hosts) * fleet.by_host * written - counted,
        restart=restart,
    )
    say(
        f"{store.name}: {memory.resident / 1e6:,.0f} MB resident, {disk / samples:.2f} bytes a sample on disk, "
        f"{found.missing:,} of {found.counted + found.missing:,} samples missing, ready {restart:.1f} s after kill -9"
    )
    return found
