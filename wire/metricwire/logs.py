"""Log lines as JSON, one event a line: what every program of ours writes to standard output.

INFO is for changes of state that a person wants to know of; what happens every interval is DEBUG.
"""

import logging
import sys
from typing import Any

import msgspec

from metricwire.dcos import rfc3339

LONGEST = 4096  # bytes of a line; a longer message is cut
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JSONFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", ...extra}`; whatever is in a message, it stays one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; `extra=` fields become fields, an exception its traceback."""
        line: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[: LONGEST // 2],
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-LONGEST // 4 :]
        text = msgspec.json.encode(line, enc_hook=repr).decode()
        if len(text) > LONGEST:
            line = {key: line[key] for key in ("time", "level", "logger")} | {"message": line["message"][: LONGEST // 4]}
            text = msgspec.json.encode(line).decode()
        return text


def configure(level: str = "INFO") -> None:
    """Send the program's log to standard output in this form; called once, by its `__main__`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
