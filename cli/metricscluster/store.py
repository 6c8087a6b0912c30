"""`metricscluster store COMMAND`: what operators do with a store and its data folder.

Exit status: 0 when all is well, 1 when it is not (damage, lines refused, a store that cannot be reached), 2 for bad input.
"""

import argparse
from importlib import import_module
from pathlib import Path

HELP = "verify, measure, fill, empty, back up and restore a store"
EXAMPLES = """
  metricscluster store import /var/lib/cc-metric-store --url https://store:8082 --token-file token --dry-run
  metricscluster store export --cluster fritz --from 48h --token-file token fritz.parquet
  metricscluster store backup --token-file token store.tar
  metricscluster store verify --directory /var/lib/metricstore
"""
# Their modules are loaded when they are called: some need NumPy.
_ACTIONS = {
    "verify": ("metricscluster.inspection", "verify", "read all of a data folder and name what is damaged"),
    "stats": ("metricscluster.inspection", "stats", "say what a data folder holds"),
    "import": ("metricscluster.importing", "run", "send what a cc-metric-store left to a running store"),
    "export": ("metricscluster.exporting", "run", "write samples of a running store to a file"),
    "backup": ("metricscluster.backups", "backup", "copy the data folder of a running store"),
    "restore": ("metricscluster.backups", "restore", "make a data folder from a backup"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of these commands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, (_, _, text) in _ACTIONS.items()}
    for name in ("verify", "stats"):
        made[name].add_argument("--directory", type=Path, required=True, help="the data folder; no store may run on it")
    for name in ("import", "export", "backup"):
        _add_store(made[name])
    made["import"].add_argument("folder", metavar="FOLDER", type=Path, help="with checkpoints or archives of cc-metric-store")
    made["import"].add_argument("--dry-run", action="store_true", help="read and count only")
    for name, what in (
        ("export", "file to write"),
        ("backup", "file to write, a tar archive"),
        ("restore", "backup to read; - for standard input"),
    ):
        made[name].add_argument("file", metavar="FILE", type=Path, help=what)
    made["restore"].add_argument("--directory", type=Path, required=True, help="the data folder to make; new or empty")
    _add_selection(made["export"])


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8082", help="of the store (default: %(default)s)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token to show")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="with the certificates to trust (default: the system's)")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", required=True, help="whose samples")
    times = "seconds since the epoch, 2026-01-31T12:00:00Z, or how long ago: 48h"
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help=times)
    parser.add_argument(
        "--to", dest="end", default="now", metavar="TIME", help="the first time that is left out (default: now)"
    )
    parser.add_argument("--host", action="append", default=[], help="only this one; may be given again")
    parser.add_argument("--metric", action="append", default=[], help="only this one; may be given again")
    parser.add_argument("--format", choices=("parquet", "csv", "lp"), default="parquet", help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit status."""
    module, function, _ = _ACTIONS[arguments.action]
    status: int = getattr(import_module(module), function)(arguments)
    return status
