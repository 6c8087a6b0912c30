"""The load of design.md section 7: 200 hosts x (17 node metrics + 10 metrics x 72 threads) = 147,400 series."""

import random
from collections.abc import Iterator

HOSTS, THREADS = 200, 72
NODE_METRICS = [f"node_metric_{number:02}" for number in range(17)]
THREAD_METRICS = [f"thread_metric_{number}" for number in range(10)]
SERIES = HOSTS * (len(NODE_METRICS) + len(THREAD_METRICS) * THREADS)
FREQUENCY = 60


def heads() -> list[str]:
    """What comes before the value, for every series, host by host."""
    found = []
    for number in range(HOSTS):
        tags = f"cluster=bench,hostname=host{number:04}"
        found += [f"{metric},{tags},type=node" for metric in NODE_METRICS]
        found += [f"{metric},{tags},type=hwthread,type-id={thread}" for thread in range(THREADS) for metric in THREAD_METRICS]
    return found


def bodies(timestamp: int, lines: int, seed: int) -> Iterator[bytes]:
    """One sample of every series at that time, in bodies of so many lines; values with one to three decimals."""
    chance = random.Random(seed)
    text = [f"{head} value={chance.uniform(0, 1000):.{chance.randint(1, 3)}f} {timestamp}" for head in heads()]
    for start in range(0, len(text), lines):
        yield "\n".join(text[start : start + lines]).encode()
