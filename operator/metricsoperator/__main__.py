"""`metricscluster-operator`: read settings, check the rights, run."""

import asyncio
import logging
import os
import sys

from metricsoperator.settings import read
from metricwire import logs
from metricwire.errors import MetricsError

log = logging.getLogger("metricsoperator")


def main() -> int:
    """Exit code: 0 after a signal, 1 when it cannot start or go on; a wrong flag ends with 2."""
    settings = read(sys.argv[1:], os.environ)
    logs.configure(settings.log_level)
    for chatty in ("kopf", "aiohttp.access"):  # of every event and every probe
        logging.getLogger(chatty).setLevel("WARNING")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_kopf_fields)
    try:
        import kubernetes  # noqa: F401, PLC0415 (needed by apply, later)

        from metricsoperator import app  # noqa: PLC0415 (needs kopf; --help does not)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"cannot start the operator: install metricscluster[operator]: {error}\n")
        return 1
    try:
        asyncio.run(app.run(settings))
    except MetricsError as error:
        log.error("%s", error)  # noqa: TRY400 (the text is for whoever deployed us; a traceback says nothing more)
        return 1
    return 0


def _without_kopf_fields(record: logging.LogRecord) -> bool:
    """kopf adds its whole settings to each record of an object."""
    for name in ("settings", "k8s_skip", "k8s_ref"):
        vars(record).pop(name, None)
    return True


if __name__ == "__main__":
    sys.exit(main())
