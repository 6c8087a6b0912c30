"""The `metricscluster` command: one module per subcommand, each with HELP, `add_arguments` and `run`."""

import argparse
import sys
from typing import Protocol

from metricscluster import inject, size, store, up, users
from metricwire import __version__


class Command(Protocol):
    """What a subcommand's module has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say which arguments there are."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit status."""


COMMANDS: dict[str, Command] = {"up": up, "store": store, "size": size, "user": users, "inject": inject}


def main() -> int:
    """Run the subcommand that is asked for; its exit status."""
    parser = argparse.ArgumentParser(prog="metricscluster", description="Metrics of Kubernetes and HPC clusters.")
    parser.add_argument("--version", action="version", version=f"metricscluster {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.__doc__))
    arguments = parser.parse_args()
    return COMMANDS[arguments.command].run(arguments)


if __name__ == "__main__":
    sys.exit(main())
