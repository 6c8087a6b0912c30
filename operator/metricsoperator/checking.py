"""A document to a struct; errors name the field by its path and say what is allowed there.

msgspec checks types, patterns, lengths and numbers and stops at the first fault. What it cannot know is checked here: the
bounds of sizes and durations, since only their text is a type; that the items of a list are told apart by their key; and that
no text goes on after what a pattern says with a line break, which `$` does not see.
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
    for path, value, there in _values(made, unwrapped(inspect.type_info(form)), root):
        _check(path, value, there)
    return made


def known(found: Any, there: Form, path: str) -> tuple[Any, list[str]]:
    """A document with the fields alone that are known here, and the paths of the others."""
    if isinstance(there.type, inspect.StructType) and isinstance(found, Mapping):
        fields = {field.encode_name: unwrapped(field.type) for field in fields_of(there.type.cls)}
        parts = {name: known(value, fields[name], f"{path}.{name}") for name, value in found.items() if name in fields}
        others = [f"{path}.{name}" for name in found if name not in fields]
        return {name: part for name, (part, _) in parts.items()}, others + [one for _, more in parts.values() for one in more]
    if isinstance(there.type, inspect.VarTupleType) and isinstance(found, list):
        item = unwrapped(there.type.item_type)
        items = [known(value, item, f"{path}[{number}]") for number, value in enumerate(found)]
        return [part for part, _ in items], [one for _, more in items for one in more]
    return found, []


def _check(path: str, value: Any, there: Form) -> None:
    """What msgspec does not. BadInput."""
    pattern = there.type.pattern if isinstance(there.type, inspect.StrType) else None
    misfit = isinstance(value, str) and pattern is not None and not re.fullmatch(pattern, value)
    if misfit or ("between" in there.extra and not within(value, *there.extra["between"])):
        raise BadInput(f"{path}: expected {there.extra['expected']}, got {shown(value)}")
    if keys := there.extra.get("list_key", "").split():
        _check_unique(path, value, keys)


def _check_unique(path: str, items: tuple[Struct, ...], keys: list[str]) -> None:
    """No two items have the same values in the fields that tell them apart."""
    seen = set()
    for number, item in enumerate(items):
        found = {field.encode_name: getattr(item, field.name) for field in fields_of(type(item))}
        key = tuple(found[name] for name in keys)
        if key in seen:
            place = f"{path}[{number}]" + (f".{keys[0]}" if len(keys) == 1 else "")
            raise BadInput(f"{place}: expected each {' and '.join(keys)} once, got {', '.join(map(repr, key))} again")
        seen.add(key)


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


def _values(value: Any, there: Form, path: str) -> Iterator[tuple[str, Any, Form]]:
    """Every value at and below this one: its path, itself, what may stand there."""
    if value is None:
        return
    yield path, value, there
    if isinstance(value, Struct):
        for field in fields_of(type(value)):
            yield from _values(getattr(value, field.name), unwrapped(field.type), f"{path}.{field.encode_name}")
    elif isinstance(there.type, inspect.VarTupleType):
        for number, item in enumerate(value):
            yield from _values(item, unwrapped(there.type.item_type), f"{path}[{number}]")
    elif isinstance(there.type, inspect.DictType):
        for key, item in value.items():
            yield from _values(key, unwrapped(there.type.key_type), path)
            yield from _values(item, unwrapped(there.type.value_type), f"{path}[...]")
