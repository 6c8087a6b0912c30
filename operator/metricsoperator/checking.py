"""A document to a struct; errors name the field by its path and say what is allowed there.

msgspec checks types, patterns, lengths and numbers and stops at the first fault; the bounds of sizes and durations are checked
here, since only their text is a type.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from metricsoperator.fields import within
from metricsoperator.forms import Form, fields_of, unwrapped
from metricwire.errors import BadInput

Checked = TypeVar("Checked", bound=Struct)

_PLACE = re.compile(r"(?P<cause>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<fault>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_STEP = re.compile(r"\.([A-Za-z]+)|\[([^]]*)\]")
_SHOWN = 80  # characters of a value in an error


def convert(found: Any, form: type[Checked], root: str) -> Checked:
    """`found` as a `form`. BadInput `<root>.<path>: <what is wrong, what is allowed>` for the first field that does not fit."""
    try:
        made = msgspec.convert(found, form)
    except msgspec.ValidationError as error:
        raise BadInput(_explained(str(error), found, form, root)) from error
    for path, value, extra in _bounded(made, root):
        if not within(value, *extra["between"]):
            raise BadInput(f"{path}: expected {extra['expected']}, got {shown(value)}")
    return made


def shown(value: Any) -> str:
    """A value in an error: on one line and short, whatever it is."""
    if isinstance(value, str):
        return repr(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return msgspec.json.encode(value).decode()
    try:
        return repr(value)[:_SHOWN]
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def _explained(text: str, found: Any, form: type[Struct], root: str) -> str:
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
    got = "" if place["key"] or ", got " in cause else _got(found, path)
    return f"{root}{path}: {cause[:1].lower()}{cause[1:].replace('`', '')}{got}"


def _got(found: Any, path: str) -> str:
    """The value at a path, for the end of an error; nothing where msgspec does not say which of a map's values it is."""
    for name, index in _STEP.findall(path):
        try:
            found = found[name or int(index)]
        except (LookupError, TypeError, ValueError):
            return ""
    return f", got {shown(found)}"


def _at(form: type[Struct], path: str) -> Form:
    """The type at a path such as `.store.pod.tolerations[0].key`; `[...]` is any value of a map."""
    here = unwrapped(inspect.type_info(form))
    for name, _ in _STEP.findall(path):
        inner: inspect.Type | None
        if name and isinstance(here.type, inspect.StructType):
            inner = next((field.type for field in here.type.fields if field.encode_name == name), None)
        elif isinstance(here.type, inspect.DictType):
            inner = here.type.value_type
        elif isinstance(here.type, inspect.VarTupleType):
            inner = here.type.item_type
        else:
            inner = None
        if inner is None:  # the document's own words, quoted within the error, can look like a path
            break
        here = unwrapped(inner)
    return here


def _bounded(part: Struct, path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every value at and below `part` that has bounds: its path, itself, what is said of its field."""
    for field in fields_of(type(part)):
        value, here = getattr(part, field.name), f"{path}.{field.encode_name}"
        extra = unwrapped(field.type).extra
        if "between" in extra and value is not None:
            yield here, value, extra
        if isinstance(value, Struct):
            yield from _bounded(value, here)
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                if isinstance(item, Struct):
                    yield from _bounded(item, f"{here}[{number}]")
