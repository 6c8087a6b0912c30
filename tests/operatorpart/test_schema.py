import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metricsoperator import crd, generate
from metricsoperator.spec import parse
from metricwire.errors import BadInput

from .conftest import FULL, document
from .test_spec import CASES

ROOT = Path(__file__).parents[2]


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from walk(schema[name], f"{path}[]")


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_generated_files_are_in_step(name: str) -> None:
    assert (ROOT / name).read_text() == generate.files()[name], "run `make generate`"


def test_size() -> None:
    assert len(generate.files()["charts/metricscluster/files/crd.yaml"]) < 100_000


def test_every_field_is_described() -> None:
    for path, schema in walk(crd.schema()):
        if path not in ("", ".metadata") and not path.endswith("[]"):
            assert schema["description"].endswith("."), path


def test_descriptions_say_bounds_and_defaults() -> None:
    """`kubectl explain` shows neither, but descriptions and what is in an enum."""
    said = {path: schema["description"] for path, schema in walk(crd.schema()) if "description" in schema}
    size, metric, pods = (f".spec.{path}" for path in ("store.storage.size", "metrics[].frequency", "store.pod"))
    assert said[size].endswith(" Allowed: a size from 100Mi to 64Ti such as 10Gi. Default: 10Gi.")
    assert said[metric].endswith(" Allowed: a duration from 1s to 24h such as 10s. Default: none.")
    assert said[f"{pods}.labels"].endswith(" Allowed: map, at most 32. Default: empty.")
    assert "Default" not in said[pods]
    assert "Default" not in said[".status.keys.lost"]


def test_every_value_is_bounded() -> None:
    for path, schema in walk(crd.schema()["properties"]["spec"], "spec"):
        kind = schema.get("type")
        if kind == "string":
            assert "enum" in schema or "maxLength" in schema, path
        if kind == "integer":
            assert {"minimum", "maximum"} <= schema.keys(), path
        if kind == "array":
            assert "maxItems" in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


def test_schema_is_structural() -> None:
    for path, schema in walk(crd.schema()):
        allowed = {"type", "x-kubernetes-int-or-string"} & schema.keys()
        assert len(allowed) == 1, path
        assert not {"$ref", "anyOf", "oneOf", "allOf", "x-kubernetes-preserve-unknown-fields"} & schema.keys(), path


def plain(schema: Any) -> Any:
    """The schema as JSON Schema has it: unknown fields refused, text or number spelt out."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: plain(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["string", "integer"]
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        made["additionalProperties"] = False
    return made


def accepts(spec: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(plain(crd.schema()["properties"]["spec"])).is_valid(spec))


def test_what_parse_takes_the_schema_takes() -> None:
    assert accepts({})
    assert accepts(FULL)
    parse(document(FULL))


@pytest.mark.parametrize("spec", [spec for spec, _ in CASES], ids=[message.split(":")[0] for _, message in CASES])
def test_what_parse_refuses_the_schema_refuses(spec: dict[str, Any]) -> None:
    """By form; what takes a rule is asked of a real API server: tests/chaos/test_resource.py."""
    assert not accepts(spec)


def test_defaults_are_those_of_parse() -> None:
    """The API server fills in what `parse` would: a resource means the same with and without."""

    def filled(schema: dict[str, Any], value: Any) -> Any:
        if schema.get("type") != "object" or "properties" not in schema:
            return value
        made = dict(value)
        for name, inner in schema["properties"].items():
            if name not in made and "default" in inner:
                made[name] = copy.deepcopy(inner["default"])
            if name in made:
                made[name] = filled(inner, made[name])
        return made

    schema = crd.schema()["properties"]["spec"]
    for spec in ({}, FULL):
        assert parse(document(filled(schema, spec))) == parse(document(spec))


def test_default_values_pass_their_own_schema() -> None:
    for path, schema in walk(crd.schema()["properties"]["spec"], "spec"):
        if "default" in schema:
            jsonschema.validate(schema["default"], plain(schema))
            assert path


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_taken(path: Path) -> None:
    for found in yaml.safe_load_all(path.read_text()):
        if found["kind"] == "MetricsCluster":
            assert accepts(found["spec"])
            parse(found)


def test_document_reader_and_crd_agree_on_names() -> None:
    with pytest.raises(BadInput, match=r"metadata\.name"):
        parse(document(name="a" * 41))
    text = yaml.safe_dump(crd.definition())
    assert "metadata.name must be" in text
