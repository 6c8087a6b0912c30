"""Structs to a structural OpenAPI schema, as a CustomResourceDefinition wants it: inlined, bounded, described."""

from typing import Any

from msgspec import NODEFAULT, Struct, inspect, json

from metricsoperator.fields import rule
from metricsoperator.forms import Form, fields_of, in_words, unwrapped

_IN_CEL = {  # kind -> whether a value is one at all, since what cannot be evaluated is refused in CEL's words; how it compares
    "size": ("isQuantity(self)", "quantity(self).compareTo(quantity('{bound}')) {sign} 0"),
    "quantity": ("isQuantity(string(self))", "quantity(string(self)).compareTo(quantity('{bound}')) {sign} 0"),
    "duration": ("self.matches('^[0-9]+[smh]$')", "duration(self) {sign} duration('{bound}')"),
}


def object_schema(form: type[Struct], path: str) -> dict[str, Any]:
    """The schema of a struct found at `path` in the resource, e.g. `spec.store`; messages of rules name fields by it."""
    fields = fields_of(form)
    properties = {field.encode_name: _field_schema(field, f"{path}.{field.encode_name}") for field in fields}
    required = [field.encode_name for field in fields if field.required]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def default_of(field: inspect.Field) -> Any:
    """A field's default as JSON has it; None where there is none, {} for an object, whose fields have defaults of their own."""
    if field.default is None or field.required:
        return None
    default = field.default_factory() if field.default is NODEFAULT else field.default
    return json.decode(json.encode(default))


def _field_schema(field: inspect.Field, path: str) -> dict[str, Any]:
    form = unwrapped(field.type)
    default = default_of(field)
    schema = {"description": form.description} | _schema(form, path)
    if path.startswith("spec."):
        schema["description"] += _bounds(form, default, required=field.required)
    return schema if default is None else schema | {"default": default}


def _bounds(form: Form, default: Any, *, required: bool) -> str:
    """What is allowed and what is the default: of a schema `kubectl explain` shows no more than descriptions and enums."""
    if isinstance(form.type, inspect.StructType):
        return ""
    plain = isinstance(form.type, inspect.LiteralType | inspect.BoolType)
    allowed = "" if plain else f" Allowed: {in_words(form)}."
    shown = json.encode(default).decode().strip('"') if default not in ("", [], {}) else "empty"
    return allowed + ("" if required else f" Default: {'none' if default is None else shown}.")


def _schema(form: Form, path: str) -> dict[str, Any]:
    schema = _type_schema(form.type, path)
    rules = [*form.extra.get("rules", ())]
    if "between" in form.extra:
        rules.append(_between(path, *form.extra["between"]))
    if "list_key" in form.extra:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": form.extra["list_key"].split()}
    if "format" in form.extra:
        schema["format"] = form.extra["format"]
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _between(path: str, kind: str, low: str, high: str) -> dict[str, str]:
    known, compared = _IN_CEL[kind]
    least, most = compared.format(bound=low, sign=">="), compared.format(bound=high, sign="<=")
    return rule(f"{known} && {least} && {most}", f"{path} must be a {kind} from {low} to {high}")


def _type_schema(found: inspect.Type, path: str) -> dict[str, Any]:
    match found:
        case inspect.StructType():
            schema = object_schema(found.cls, path)
        case inspect.DictType():
            schema = _map_schema(found, path)
        case inspect.VarTupleType():
            items = _schema(unwrapped(found.item_type), f"{path}[]")
            schema = _given(type="array", items=items, minItems=found.min_length or None, maxItems=found.max_length)
        case inspect.LiteralType():
            schema = {"type": "string", "enum": list(found.values)}
        case inspect.UnionType():
            schema = _text_or_number(found, path)
        case inspect.StrType():
            schema = _given(type="string", pattern=found.pattern, maxLength=found.max_length)
        case inspect.BoolType():
            schema = {"type": "boolean"}
        case inspect.IntType():
            schema = _given(type="integer", format="int64", minimum=found.ge, maximum=found.le)
        case _:
            raise AssertionError(f"BUG: no schema for {found} at {path}")
    return schema


def _map_schema(found: inspect.DictType, path: str) -> dict[str, Any]:
    key = unwrapped(found.key_type)
    assert isinstance(key.type, inspect.StrType)
    fits = f"size(key) <= {key.type.max_length} && key.matches(r'{key.type.pattern}')"
    keys = rule(f"self.all(key, {fits})", f"{path}: each key must be {key.extra['expected']}")
    return _given(
        type="object",
        additionalProperties=_schema(unwrapped(found.value_type), path),
        maxProperties=found.max_length,
        **{"x-kubernetes-validations": [keys]},
    )


def _text_or_number(found: inspect.UnionType, path: str) -> dict[str, Any]:
    text, number = (_type_schema(unwrapped(member).type, path) for member in found.types)
    bounds = {name: value for name, value in (text | number).items() if name not in ("type", "format")}
    return {"x-kubernetes-int-or-string": True} | bounds


def _given(**schema: Any) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if value is not None}
