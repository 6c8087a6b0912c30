"""`metricscluster top`: what nodes, pods and containers use now, from the store: the last samples, so as old as the interval.

CPU is in processors: 1.5 is one and a half. A container's is the mean between its last two samples; its memory is the working
set, which is what its limit counts. Exit status: 0, 1 when the store cannot be asked or knows none, 2 for bad input.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from metricscluster import reach
from metricscluster.asking import Asking
from metricscluster.figures import figure
from metricscluster.terminal import Cell, Paint, printable, show, table
from metricscluster.usage import Use, containers, nodes, pods
from metricwire.errors import BadInput

HELP = "show what nodes, pods or containers use now"
EXAMPLES = """
  kubectl metricscluster top nodes
  kubectl metricscluster top pods -n shop --sort memory
  kubectl metricscluster top containers --watch
  metricscluster top nodes --url http://127.0.0.1:8082 --token-file .metricscluster/token
"""
WATCHED = 5.0  # seconds between two pictures
HOT = 90.0  # percent that are shown in red
_HEADS = {
    "nodes": ("NODE",),
    "pods": ("NAMESPACE", "POD", "NODE"),
    "containers": ("NAMESPACE", "POD", "CONTAINER", "NODE"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("what", choices=tuple(_HEADS), nargs="?", default="nodes", help="what to show (default: %(default)s)")
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", default="", help="of the pods (default: all)")
    parser.add_argument("--sort", choices=("cpu", "memory", "name"), default="cpu", help="largest first (default: %(default)s)")
    parser.add_argument(
        "-w", "--watch", nargs="?", type=float, const=WATCHED, metavar="SECONDS", help="again and again, until Ctrl-C"
    )
    reach.add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it; the exit status."""
    if arguments.namespace and arguments.what == "nodes":
        raise BadInput("cannot use --namespace with nodes: they have none")
    ways = _Ways(arguments)
    try:
        return show(partial(_draw, arguments, ways), arguments.watch, sys.stdout)
    finally:
        ways.close()


class _Ways:
    """The way to the store, kept from one picture to the next; a new one after it was lost."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._stack = ExitStack()
        self._store: reach.Store | None = None

    def store(self) -> reach.Store:
        """The store."""
        if self._store is None:
            self._store = self._stack.enter_context(reach.reached(self._arguments))
        return self._store

    def close(self) -> None:
        """Give the way back."""
        self._store = None
        self._stack.close()


def _draw(arguments: argparse.Namespace, ways: _Ways) -> tuple[list[str], int]:
    try:
        store = ways.store()
        used = _used(arguments, store)
    except BaseException:
        ways.close()
        raise
    rows = _rows(arguments.what, sorted(used, key=partial(_key, arguments.sort)))
    lines = table(rows, Paint.of(sys.stdout), right=range(len(_HEADS[arguments.what]), len(rows[0])))
    if not used:
        lines = [f"no {arguments.what} with samples of the last minutes in cluster {printable(store.cluster)}"]
    return lines, 0 if used else 1


def _used(arguments: argparse.Namespace, store: reach.Store) -> list[Use]:
    asking, now = Asking(store.client, store.cluster), time.time()
    if arguments.what == "nodes":
        return nodes(asking, now)
    found = containers(asking, store.cluster, arguments.namespace, now)
    return found if arguments.what == "containers" else pods(found)


def _key(by: str, use: Use) -> tuple[float, tuple[str, ...]]:
    value = {"cpu": use.cpu, "memory": use.memory, "name": 0.0}[by]
    return (1.0 if value is None else -value), use.name


def _rows(what: str, used: Sequence[Use]) -> list[list[Cell | str]]:
    more = ("CPU", "CPU%", "MEMORY", "MEMORY%", "LOAD") if what == "nodes" else ("CPU", "MEMORY")
    rows: list[list[Cell | str]] = [[Cell(text, "dim") for text in (*_HEADS[what], *more)]]
    for use in used:
        row: list[Cell | str] = list(use.name)
        cpu, memory = "-" if use.cpu is None else f"{use.cpu:.2f}", figure(use.memory, "bytes")
        if what == "nodes":
            row += [cpu, _share(use.cpu, use.cpus), memory, _share(use.memory, use.memory_total), figure(use.load)]
        else:
            row += [cpu, memory]
        rows.append(row)
    return rows


def _share(part: float | None, whole: float | None) -> Cell:
    if part is None or not whole:
        return Cell("-")
    share = 100 * part / whole
    return Cell(f"{share:.0f} %", "red" if share >= HOT else "")
