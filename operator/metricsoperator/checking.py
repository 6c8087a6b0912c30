"""A document to a struct; errors name the field by its path and say what is allowed there.

msgspec checks types, patterns, lengths and numbers and stops at the first fault; the bounds of sizes and durations are checked
here, since only their text is a type.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from metricsoperator.fields import within
from metricsoperator.forms import Form, fields_of, unwrapped
from metricwire.errors import BadInput

Checked = TypeVar("Checked", bound=Struct)

_PLACE = re.compile(r"(?P<cause>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<fault>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_STEP = re.compile(r"\.([A-Za-z]+)|\[([^]]*)\]")


def convert(found: Any, form: type[Checked], root: str) -> Checked:
    """`found` as a `form`. BadInput `<root>.<path>: <what is wrong, what is allowed>` for the first field that does not fit."""
    try:
        made = msgspec.convert(found, form)
    except msgspec.ValidationError as error:
        raise BadInput(_explained(str(error), form, root)) from error
    for path, value, (kind, low, high) in _bounded(made, root):
        if not within(value, kind, low, high):
            raise BadInput(f"{path}: expected a {kind} from {low} to {high}, got {value!r}")
    return made


def _explained(text: str, form: type[Struct], root: str) -> str:
    """msgspec's `<cause> - at `$.a.b`` with the field in front, and words in place of regular expressions."""
    place = _PLACE.fullmatch(text)
    assert place is not None
    cause, path = place["cause"], place["path"] or ""
    there = _at(form, path)
    if field := _FIELD.fullmatch(cause):
        if field["fault"].startswith("missing"):
            return f"{root}{path}.{field['name']}: missing"
        known = fields_of(there.type.cls) if isinstance(there.type, inspect.StructType) else ()
        return f"{root}{path}.{field['name']}: unknown field; known are {', '.join(field.encode_name for field in known)}"
    if place["key"] and isinstance(there.type, inspect.DictType):
        there = unwrapped(there.type.key_type)
    if "expected" in there.extra:
        cause = f"expected {there.extra['expected']}"
    elif isinstance(there.type, inspect.LiteralType):
        cause = f"expected one of {', '.join(map(str, there.type.values))}"
    return f"{root}{path}: {cause[:1].lower()}{cause[1:].replace('`', '')}"


def _at(form: type[Struct], path: str) -> Form:
    """The type at a path such as `.store.pod.tolerations[0].key`; `[...]` is any value of a map."""
    here = unwrapped(inspect.type_info(form))
    for name, _ in _STEP.findall(path):
        inner: inspect.Type
        if name and isinstance(here.type, inspect.StructType):
            inner = next(field.type for field in here.type.fields if field.encode_name == name)
        elif isinstance(here.type, inspect.DictType):
            inner = here.type.value_type
        elif isinstance(here.type, inspect.VarTupleType):
            inner = here.type.item_type
        else:
            break
        here = unwrapped(inner)
    return here


def _bounded(part: Struct, path: str) -> Iterator[tuple[str, str, tuple[str, str, str]]]:
    """Every value at and below `part` that has bounds: its path, itself, its bounds."""
    for field in fields_of(type(part)):
        value, here = getattr(part, field.name), f"{path}.{field.encode_name}"
        bounds = unwrapped(field.type).extra.get("between")
        if bounds and value is not None:
            yield here, value, bounds
        if isinstance(value, Struct):
            yield from _bounded(value, here)
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                if isinstance(item, Struct):
                    yield from _bounded(item, f"{here}[{number}]")
