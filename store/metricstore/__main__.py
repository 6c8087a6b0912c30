"""The store as a program: `metricscluster-store --config FILE`.

Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot run (port, folder, disk), 2 when its settings are wrong.
"""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from metricstore import settings as store_settings
from metricstore.app import App
from metricwire import __version__, logs
from metricwire.errors import SettingsError
from metricwire.settings import parse

logger = logging.getLogger("metricstore")

NEW_OBJECTS = 20_000  # between two collections of garbage: a series is several objects that stay, and Python's 700 cost a fifth


def main() -> None:
    """Read the arguments and the settings, run until a signal."""
    arguments = _arguments()
    gc.set_threshold(NEW_OBJECTS)
    logs.configure()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # starts and stops are told by us
    try:
        content = Path(arguments.config).read_bytes()
        settings, unknown = store_settings.load(parse(content, arguments.config), arguments.config)
    except OSError as error:
        logger.critical("cannot read settings %s: %s", arguments.config, error.strerror)
        sys.exit(2)
    except SettingsError as error:
        logger.critical("%s", error)
        sys.exit(2)
    theirs = [name for name in unknown if name in store_settings.THEIRS]
    if theirs:
        logger.info("these settings of %s are not used here: %s", arguments.config, ", ".join(theirs))
    if len(theirs) < len(unknown):
        strange = ", ".join(name for name in unknown if name not in theirs)
        logger.warning("these settings of %s are not known and have no effect: %s", arguments.config, strange)
    try:
        failed = uvloop.run(_run(settings, dev=arguments.dev, open_to_all=arguments.insecure_no_auth))
    except (SettingsError, OSError) as error:
        logger.critical("%s", error)
        sys.exit(1)
    sys.exit(int(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("metricscluster-store", description=__doc__)
    parser.add_argument("-config", "--config", default="./config.json", metavar="FILE", help="settings (default: %(default)s)")
    parser.add_argument(
        "-dev",
        "--dev",
        action="store_true",
        help="allow the key that everybody has from cc-metric-store's docs; serve /swagger/",
    )
    parser.add_argument("--insecure-no-auth", action="store_true", help="let everybody in")
    parser.add_argument("-loglevel", metavar="LEVEL", help="cc-metric-store's; taken and not used")
    parser.add_argument("-version", "--version", action="version", version=__version__)
    return parser.parse_args()


async def _run(settings: store_settings.Settings, *, dev: bool, open_to_all: bool) -> bool:
    """Whether the store had to stop by itself."""
    app = App(settings, dev=dev, open_to_all=open_to_all)
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, app.stopping.set)
    await app.run()
    return app.failed


if __name__ == "__main__":
    main()
