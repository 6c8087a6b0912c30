"""Points in time, and how long ago they are, as people write and read them."""

from datetime import UTC, datetime

from metricwire.errors import BadInput
from metricwire.units import duration

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def moment(text: str, now: float) -> int:
    """Seconds since the epoch of: such a number, `now`, how long ago (48h), a date or time of ISO 8601 (UTC if not said)."""
    if text == "now":
        return int(now) + 1
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        if text[:1].isdigit() and text[-1] in "smhd":
            return int(now - duration(text))
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"cannot read the time {text!r}: expected for example 48h, 1767225600 or 2026-01-01T12:00:00Z"
        ) from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def unix(stamp: str) -> float:
    """Seconds since the epoch of a time of Kubernetes (RFC 3339); 0 for none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def age(since: str | None, now: float) -> str:
    """How long ago a time of Kubernetes (RFC 3339) was: `45s`, `3h`, `12d`; `-` where there is none."""
    if not since:
        return "-"
    try:
        seconds = max(0, int(now - datetime.fromisoformat(since).timestamp()))
    except ValueError:
        return "-"
    step, letter = next(((step, letter) for step, letter in _STEPS if seconds >= step * 2 or step == 1))
    return f"{seconds // step}{letter}"


def rfc3339(seconds: float) -> str:
    """`2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
