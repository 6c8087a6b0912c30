"""Whether an object is as it is wanted: every field that we set has our value; what others set beside is theirs. Pure."""

import re
from decimal import Decimal
from typing import Any

_KEYS = ("name", "uid", "mountPath")  # by which items of lists are told apart, as server-side apply does
_AMOUNTS = frozenset({"requests", "limits", "sizeLimit"})  # the API server rewrites these: 1024Mi to 1Gi, "0.5" to 500m
_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** power for power, unit in enumerate(["k", "M", "G", "T", "P"], 1)}
_UNITS |= {unit: Decimal(1024) ** power for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi"], 1)}


def difference(wanted: Any, found: Any, path: str = "", *, amounts: bool = False) -> str | None:
    """The path of the first field of `wanted` that is otherwise in `found`; None when there is none.

    Nothing, an empty object and false are the same: the API server leaves them out.
    """
    if wanted == found or (not wanted and not found):
        return None
    if isinstance(wanted, dict) and isinstance(found, dict):
        return _first(
            difference(wanted[key], found.get(key), f"{path}.{key}", amounts=amounts or key in _AMOUNTS) for key in wanted
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return _list_difference(wanted, found, path)
    if amounts and _amount(wanted) is not None and _amount(wanted) == _amount(found):
        return None
    return path or "."


def _list_difference(wanted: list[Any], found: list[Any], path: str) -> str | None:
    for key in _KEYS:
        if all(isinstance(item, dict) and key in item for item in [*wanted, *found]):
            there = {item[key]: item for item in found}
            return _first(difference(item, there.get(item[key]), f"{path}[{item[key]}]") for item in wanted)
    if len(wanted) != len(found):
        return path
    return _first(difference(*pair, f"{path}[{n}]") for n, pair in enumerate(zip(wanted, found, strict=True)))


def _first(differences: Any) -> str | None:
    return next((path for path in differences if path is not None), None)


def _amount(value: Any) -> Decimal | None:
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(value))
    return Decimal(parts[1]) * _UNITS[parts[2]] if parts and parts[2] in _UNITS else None
