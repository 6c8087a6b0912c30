"""The documentation of the resource, as Markdown, from the same structs as its schema."""

import json
from collections.abc import Iterator

from msgspec import Struct, inspect

from metricsoperator import names
from metricsoperator.forms import fields_of, in_words, unwrapped
from metricsoperator.schema import default_of
from metricsoperator.spec import Spec
from metricsoperator.state import Status

_HEAD = f"""# {names.KIND} ({names.API_VERSION})

Every field, made from `operator/metricsoperator/spec.py` by `make generate`; do not edit. `kubectl explain` says the same.
All of `spec` is optional, except the names within lists. An object's default is that of its fields; "-" means there is none.
`metadata.name` must be {names.NAME_EXPECTED}.

| field | type | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [*_rows(Spec, "spec"), *_rows(Status, "status")]
    return _HEAD + "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _rows(form: type[Struct], path: str) -> Iterator[tuple[str, str, str, str]]:
    for field in fields_of(form):
        here, found = f"{path}.{field.encode_name}", unwrapped(field.type)
        inner = _inner(found.type)
        shown = _default(field, composed=inner is not None)
        yield f"`{here}`", in_words(found), shown, found.description
        if inner:
            yield from _rows(inner, f"{here}[]" if isinstance(found.type, inspect.VarTupleType) else here)


def _default(field: inspect.Field, *, composed: bool) -> str:
    default = default_of(field)
    if field.required:
        return "required"
    if default is None or (composed and not default):
        return "-"
    return f"`{json.dumps(default)}`"


def _inner(found: inspect.Type) -> type[Struct] | None:
    """The struct that a field holds, or a list of which it holds."""
    if isinstance(found, inspect.VarTupleType):
        found = unwrapped(found.item_type).type
    return found.cls if isinstance(found, inspect.StructType) else None
