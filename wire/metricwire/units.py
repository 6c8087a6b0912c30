"""Durations and quantities as people write them: "48h", "1h30m", "16Mi" to and from numbers."""

import re
from decimal import Decimal

from metricwire.errors import BadInput

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_QUANTITY = re.compile(r"([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:([eE][+-]?[0-9]{1,2})|([A-Za-z]*))")
_UNITS = {unit: Decimal(1000) ** power for power, unit in enumerate(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"], -3)}
_UNITS |= {unit: Decimal(1024) ** power for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], 1)}


def duration(text: str) -> float:
    """Seconds of a Go duration string, with `d` for days besides. BadInput when it is none."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise BadInput(f"cannot read duration {text!r}: expected for example 10s, 90m, 48h or 30d")
    return sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9.]+)(ms|s|m|h|d)", text))


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity such as 16Mi or 10G, less than a byte cut off. BadInput when it is none."""
    return int(amount(text))


def amount(value: str | int) -> Decimal:
    """A Kubernetes quantity, of cpu too: 100m is 0.1. Every form in which an API server writes one, as 10e9 or 1Ei, but for a
    sign. BadInput when it is none."""
    match = _QUANTITY.fullmatch(str(value))
    if match and match[2]:
        return Decimal(match[1] + match[2])
    if match and match[3] in _UNITS:
        return Decimal(match[1]) * _UNITS[match[3]]
    raise BadInput(f"cannot read quantity {value!r}: expected for example 100m, 2, 64Mi or 10G")
