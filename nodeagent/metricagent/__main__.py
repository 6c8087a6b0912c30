"""The program: `python -m metricagent --config FILE`. Exit 2: settings that cannot be used; 1: the agent cannot run."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from metricagent import allocator, app
from metricagent.settings import AgentSettings, parse
from metricwire import __version__, logs
from metricwire.errors import MetricsError, SettingsError

logger = logging.getLogger("metricagent")


def main() -> int:
    """Read the settings and run the agent until it is told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="metricscluster-agent", description="Samples this host for a MetricsCluster store.")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings, a JSON file")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    logs.configure()
    allocator.be_frugal()
    try:
        asyncio.run(app.run(_read(arguments.config)))
    except SettingsError as error:
        logger.error("%s", error)  # noqa: TRY400 the text says it all
        return 2
    except MetricsError as error:
        logger.error("%s", error)  # noqa: TRY400 the text says it all
        return 1
    return 0


def _read(path: Path) -> AgentSettings:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}") from error
    return parse(text, str(path))


if __name__ == "__main__":
    sys.exit(main())
