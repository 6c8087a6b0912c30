"""What the store's answer to a batch means for the agent. Pure: status, header and body in, a decision out.

| answer | decision |
|---|---|
| 200 in the store's form: no body, of type application/json | Taken, whole |
| 400 in the store's form: "error", "stored", "rejected_lines" | Taken, but for the lines it counts as bad: these stay bad |
| 413 | Smaller; the store's own ("error") is the last word on a body that cannot be cut further |
| everything else | Later: a token may be renewed, a proxy repaired, a store restarted; the spool's limit is the limit |

A 200, 400 or 413 in another form is a stranger's (a proxy, a sign-in page, another service at that address), and no reason to
give samples up. cc-metric-store answers 200 in the same form. Whatever the answer is made of, there is a decision.
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
    """The body was too large: for the store itself, or for something in front of it. `most`: bytes that are not, if known."""

    by_store: bool
    most: int | None = None


class Later(NamedTuple):
    """Keep the samples and try again, not before `wait` seconds. `kind` tells one trouble from another."""

    kind: str
    reason: str
    wait: float = 0.0


Decision = Taken | Smaller | Later


def decide(status: int, headers: Mapping[str, str], body: bytes, lines: int, now: datetime) -> Decision:
    """The decision on an answer to a request of `lines` lines."""
    if status == 200:
        return Taken() if not body and _is_json(headers) else Later("stranger", "it answers 200, but not as a store does")
    answer = _json(body)
    if status == 413:
        return Smaller(by_store="error" in answer)
    if status == 400 and _counts(answer):
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
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _refused(answer: Mapping[str, Any], lines: int) -> Taken:
    """All bad lines are counted in `rejected_lines`; `rejected` lists the first of them."""
    rejected = min(answer["rejected_lines"], lines)
    named = answer.get("rejected")
    found = [line for line in named if isinstance(line, dict)] if isinstance(named, list) else []
    reasons = [f"{line.get('text')}: {line.get('reason')}"[:REASON_SHOWN] for line in found[:SHOWN]]
    return Taken(rejected, tuple(reasons or [str(answer["error"])[:REASON_SHOWN]]))


def _counts(answer: Mapping[str, Any]) -> bool:
    """Whether it is the store's account of a body with bad lines."""
    stored, rejected = answer.get("stored"), answer.get("rejected_lines")
    return "error" in answer and type(stored) is int and type(rejected) is int and stored >= 0 and rejected > 0


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(status: int, answer: Mapping[str, Any]) -> str:
    text = str(answer.get("error", ""))[:REASON_SHOWN]
    return f"{status} ({text})" if text else str(status)
