"""`metricscluster size`: what a store needs for so many nodes and metrics. docs/operations.md has formula and constants."""

import argparse
import sys
from dataclasses import dataclass

from metricscluster.progress import size
from metricwire.errors import BadInput
from metricwire.units import duration

HELP = "say what memory, disk, processor and network a store needs"
EXAMPLES = """
  metricscluster size --nodes 3000 --metrics 100 --containers 30 --archive 365d
"""

BASE = 90_000_000  # bytes of memory of a store that holds nothing
SERIES = 500  # bytes of memory for the names, labels and places of a series
WINDOWS = 3  # windows of a series in memory at most, before they are sealed
SLOTS = 64  # values in a window
VALUE = 8  # bytes of memory for one value
SAMPLE = 2.2  # bytes of a sample in a block on disk
LOG = 268_435_456  # bytes of the log before it is sealed
ARCHIVED = 2.6  # bytes of a sample in the archive
INGEST = 5_000_000  # lines that a core takes in a second
SEAL = 10_000_000  # samples that a core compresses into blocks in a second
ARCHIVE = 700_000  # samples that a core writes to the archive in a second
LINE = 85  # bytes of a line
COMPRESSED = 0.15  # part of a line's bytes that is sent, compressed with zstd
HEADROOM = 1.25  # a limit over what is needed


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in. `containers` per node; `interval`, `retention` and `archive` in seconds."""

    nodes: int
    metrics: int
    containers: int
    container_metrics: int
    interval: float
    retention: float
    archive: float


@dataclass(frozen=True, slots=True)
class Needs:
    """What a store needs for it: bytes, cores, bytes a second."""

    series: int
    rate: float
    memory: float
    disk: float
    archive: float
    cpu: float
    network: float


def needs(load: Load) -> Needs:
    """The formula."""
    series = load.nodes * (load.metrics + load.containers * load.container_metrics)
    rate = series / load.interval
    return Needs(
        series=series,
        rate=rate,
        memory=BASE + series * (SERIES + WINDOWS * SLOTS * VALUE),
        disk=rate * load.retention * SAMPLE + LOG,
        archive=rate * load.archive * ARCHIVED,
        cpu=rate * (1 / INGEST + 1 / SEAL + (1 / ARCHIVE if load.archive else 0)),
        network=rate * LINE * COMPRESSED,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--nodes", type=_count, required=True, metavar="N", help="nodes that send")
    parser.add_argument(
        "--metrics", type=_count, required=True, metavar="N", help="series of a node: metrics x its threads, GPUs ..."
    )
    parser.add_argument("--containers", type=_count, default=0, metavar="N", help="containers of a node (default: %(default)s)")
    parser.add_argument(
        "--container-metrics", type=_count, default=20, metavar="N", help="series of a container (default: %(default)s)"
    )
    parser.add_argument("--interval", type=_time, default="10s", help="between two samples of a series (default: %(default)s)")
    parser.add_argument("--retention", type=_time, default="30d", help="kept on disk (default: %(default)s)")
    parser.add_argument("--archive", type=_time, default="0s", help="kept in the archive after that (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; the exit status."""
    load = Load(
        arguments.nodes,
        arguments.metrics,
        arguments.containers,
        arguments.container_metrics,
        arguments.interval,
        arguments.retention,
        arguments.archive,
    )
    if not load.interval:
        print("cannot use --interval 0s: it is the time between two samples", file=sys.stderr)
        return 2
    for name, text in table(needs(load)):
        print(f"{name:<10}{text}")
    return 0


def table(found: Needs) -> list[tuple[str, str]]:
    """What is shown: names and texts."""
    return [
        ("series", f"{found.series:,}; limits.series {int(found.series * HEADROOM):,}"),
        ("samples", f"{found.rate:,.0f} a second"),
        ("memory", f"{size(found.memory)}; limits.memory {_up(found.memory * HEADROOM)}"),
        ("disk", f"{size(found.disk)}; storage.size {_up((found.disk + found.archive) * HEADROOM)}"),
        ("archive", size(found.archive)),
        ("cpu", f"{max(found.cpu, 0.01):.2f} cores to store, and one for queries"),
        ("network", f"{size(found.network)}/s into the store"),
    ]


def _up(count: float) -> str:
    """A Kubernetes quantity that is not less."""
    mebi = -(-int(count) // 1024**2)
    return f"{-(-mebi // 1024)}Gi" if mebi > 4096 else f"{mebi}Mi"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a number, got {text[:40]!r}")
    return int(text)


def _time(text: str) -> float:
    try:
        return duration(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error
