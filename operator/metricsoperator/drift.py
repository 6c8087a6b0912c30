"""Whether an object is as it is wanted: every field that we set has our value; what others set beside is theirs. Pure."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

_KEYS = ("name", "uid", "mountPath")  # by which items of lists are told apart, as server-side apply does
_WHOLE = frozenset({"subjects"})  # lists that are one value although their items have names
_AMOUNTS = frozenset({"requests", "limits", "sizeLimit"})  # the API server rewrites these: 1024Mi to 1Gi, "0.5" to 500m
_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** power for power, unit in enumerate(["k", "M", "G", "T", "P"], 1)}
_UNITS |= {unit: Decimal(1024) ** power for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi"], 1)}


Step = str | int | tuple[str, str]  # a field, the number of an item, or the item whose field has a value


class Difference(NamedTuple):
    """Where an object is otherwise than wanted, and what is there."""

    path: tuple[Step, ...]
    found: Any

    def __str__(self) -> str:
        """Where, as people write it: `.spec.containers[store].image`."""
        return "".join(f".{step}" if isinstance(step, str) else f"[{_named(step)}]" for step in self.path) or "."


def _named(step: int | tuple[str, str]) -> str | int:
    return step[1] if isinstance(step, tuple) else step


def differences(wanted: Any, found: Any, path: tuple[Step, ...] = (), *, amounts: bool = False) -> Iterator[Difference]:
    """Each field of `wanted` that is otherwise in `found`.

    Nothing, an empty object and false are the same: the API server leaves them out.
    """
    if wanted == found or (not wanted and not found):
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted:
            yield from differences(wanted[key], found.get(key), (*path, key), amounts=amounts or key in _AMOUNTS)
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _of_lists(wanted, found, path)
    elif not amounts or _amount(wanted) is None or _amount(wanted) != _amount(found):
        yield Difference(path, found)


def _of_lists(wanted: list[Any], found: list[Any], path: tuple[Step, ...]) -> Iterator[Difference]:
    for key in () if _WHOLE.intersection(path[-1:]) else _KEYS:
        if all(isinstance(item, dict) and key in item for item in [*wanted, *found]):
            there = {item[key]: item for item in found}
            for item in wanted:
                yield from differences(item, there.get(item[key]), (*path, (key, item[key])))
            return
    if len(wanted) != len(found):
        yield Difference(path, found)
        return
    for number, pair in enumerate(zip(wanted, found, strict=True)):
        yield from differences(*pair, (*path, number))


def _amount(value: Any) -> Decimal | None:
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(value))
    return Decimal(parts[1]) * _UNITS[parts[2]] if parts and parts[2] in _UNITS else None
