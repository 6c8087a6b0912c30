"""The `metricscluster` command: one module per subcommand, each with HELP, EXAMPLES, `add_arguments` and `run`.

It is `kubectl metricscluster` too: kubectl runs a program on PATH that is called `kubectl-metricscluster`.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Protocol

from metricscluster import diagnose, inject, query, size, status, store, top, up, users
from metricscluster.terminal import printable
from metricwire import __version__
from metricwire.errors import BadInput, MetricsError, SettingsError

INTERRUPTED, PIPE_CLOSED = 130, 141  # exit statuses of who is ended by SIGINT, SIGPIPE


class Command(Protocol):
    """What a subcommand's module has."""

    HELP: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say which arguments there are."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit status. A MetricsError becomes its text, and 2 for bad input, else 1."""


COMMANDS: dict[str, Command] = {
    "status": status,
    "top": top,
    "query": query,
    "diagnose": diagnose,
    "inject": inject,
    "up": up,
    "store": store,
    "size": size,
    "user": users,
}


def parser(program: str = "metricscluster") -> argparse.ArgumentParser:
    """The arguments of all of them."""
    made = argparse.ArgumentParser(prog=program, description="Metrics of Kubernetes and HPC clusters.")
    made.add_argument("--version", action="version", version=f"metricscluster {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        found = commands.add_parser(
            name,
            help=command.HELP,
            description=command.__doc__,
            epilog=f"examples:{command.EXAMPLES.rstrip()}",
            formatter_class=_Help,
        )
        command.add_arguments(found)
    return made


class _Help(argparse.HelpFormatter):
    """Paragraphs broken to the terminal's width, examples left as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return "\n\n".join(super(_Help, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def main() -> int:
    """Run the subcommand that is asked for; its exit status."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    arguments = parser("kubectl metricscluster" if plugin else "metricscluster").parse_args()
    try:
        result = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except MetricsError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2 if isinstance(error, BadInput | SettingsError) else 1
    except BrokenPipeError:
        # Who read us has read enough; what is still in the buffer must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return result


if __name__ == "__main__":
    sys.exit(main())
