"""Durations and quantities as people write them: "48h", "1h30m", "16Mi" to and from numbers."""

import re
from decimal import Decimal

from metricwire.errors import BadInput

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$"

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1} | {p: 1000**n for n, p in enumerate(["k", "M", "G", "T", "P"], 1)}
_BYTES |= {p: 1024**n for n, p in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi"], 1)}


def duration(text: str) -> float:
    """Seconds of a Go duration string, with `d` for days besides. BadInput when it is none."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise BadInput(f"cannot read duration {text!r}: expected for example 10s, 90m, 48h or 30d")
    return sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9.]+)(ms|s|m|h|d)", text))


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity such as 16Mi or 10G. BadInput when it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", text)
    if not match or match[2] not in _BYTES:
        raise BadInput(f"cannot read quantity {text!r}: expected for example 64Mi, 2Gi or 10G")
    return int(float(match[1]) * _BYTES[match[2]])


def amount(value: str | int) -> Decimal:
    """A Kubernetes quantity exactly, of cpu too: 100m is 0.1. BadInput when it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(value))
    if not match or (match[2] not in _BYTES and match[2] != "m"):
        raise BadInput(f"cannot read quantity {value!r}: expected for example 100m, 2 or 64Mi")
    return Decimal(match[1]) * (Decimal("0.001") if match[2] == "m" else _BYTES[match[2]])
