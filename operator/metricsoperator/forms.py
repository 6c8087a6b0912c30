"""Types of a resource as data: what msgspec knows of a struct's fields, without the wrappings."""

from typing import Any, NamedTuple

from msgspec import Struct, inspect


class Form(NamedTuple):
    """A type without its annotations, and these beside it."""

    type: inspect.Type
    extra: dict[str, Any]  # `expected`, `between`, `rules` of metricsoperator.fields
    description: str


def unwrapped(found: inspect.Type) -> Form:
    """A type without annotations and without `| None`; of a choice between text and number, what is said of the text holds."""
    extra: dict[str, Any] = {}
    description = ""
    while True:
        if isinstance(found, inspect.Metadata):
            extra = (found.extra or {}) | extra
            description = description or (found.extra_json_schema or {}).get("description", "")
            found = found.type
        elif isinstance(found, inspect.UnionType) and len(known := _without_none(found)) == 1:
            found = known[0]
        else:
            break
    if isinstance(found, inspect.UnionType):
        extra = unwrapped(_without_none(found)[0]).extra | extra
    return Form(found, extra, description)


def _without_none(union: inspect.UnionType) -> list[inspect.Type]:
    return [member for member in union.types if not isinstance(member, inspect.NoneType)]


def fields_of(form: type[Struct]) -> tuple[inspect.Field, ...]:
    """The fields of a struct, in order."""
    info = inspect.type_info(form)
    assert isinstance(info, inspect.StructType)
    return info.fields


def in_words(form: Form) -> str:
    """What may stand in a field."""
    found = form.type
    if isinstance(found, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in found.values)
    if isinstance(found, inspect.IntType):
        bounds = f" from {found.ge} to {found.le}" if found.ge is not None else ""
        return f"integer{bounds}"
    if isinstance(found, inspect.DictType):
        return f"map, at most {found.max_length}"
    if isinstance(found, inspect.VarTupleType):
        return f"list, at most {found.max_length}"
    if isinstance(found, inspect.StructType):
        return "object"
    words = form.extra.get("expected")
    return str(words) if words else "true or false" if isinstance(found, inspect.BoolType) else "text"
