"""What the store's answer to a batch means for the agent. Pure: status, header and body in, a decision out.

| answer | decision |
|---|---|
| 200, 204 | Taken, whole |
| 400 in the store's form | Taken, but for the lines it names: these stay bad, sending them again is pointless |
| 413 | Smaller |
| everything else | Later: a token may be renewed, a proxy repaired, a store restarted; the spool's limit is the limit |

A 400 in another form is not our store's (a proxy, another service at that address), and no reason to give samples up.
"""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec

LONGEST_WAIT = 300.0  # seconds of Retry-After that are honoured: a wrong header must not silence an agent
SHOWN = 3  # refused lines that are repeated in the log
REASON_SHOWN = 200  # characters of a foreign text


class Taken(NamedTuple):
    """The store has stored all lines but `rejected`; `reasons` says of the first why."""

    rejected: int = 0
    reasons: tuple[str, ...] = ()


class Smaller(NamedTuple):
    """The body was too large."""


class Later(NamedTuple):
    """Keep the samples and try again, not before `wait` seconds. `kind` tells one trouble from another."""

    kind: str
    reason: str
    wait: float = 0.0


Decision = Taken | Smaller | Later


def decide(status: int, headers: Mapping[str, str], body: bytes, lines: int, now: datetime) -> Decision:
    """The decision on an answer to a request of `lines` lines."""
    if status in (200, 204):
        return Taken()
    if status == 413:
        return Smaller()
    answer = _json(body)
    if status == 400 and "error" in answer:
        return _refused(answer, lines)
    if status in (401, 403):
        return Later("token", f"it refuses our token: {_error(status, answer)}")
    return Later(str(status), f"it answers {_error(status, answer)}", retry_after(headers.get("Retry-After", ""), now))


def retry_after(value: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 when there is none that can be read."""
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_WAIT)
    try:
        seconds = (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _refused(answer: Mapping[str, Any], lines: int) -> Taken:
    """Lines that the store counted as stored are; without a count it has refused the whole body."""
    stored = answer.get("stored", 0)
    rejected = lines - min(max(stored, 0), lines) if isinstance(stored, int) else lines
    named = answer.get("rejected")
    found = [line for line in named if isinstance(line, dict)] if isinstance(named, list) else []
    reasons = [f"{line.get('text')}: {line.get('reason')}"[:REASON_SHOWN] for line in found[:SHOWN]]
    return Taken(rejected, tuple(reasons or [str(answer["error"])[:REASON_SHOWN]]))


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(status: int, answer: Mapping[str, Any]) -> str:
    text = str(answer.get("error", ""))[:REASON_SHOWN]
    return f"{status} ({text})" if text else str(status)
