"""MetricsClusters made from their own schema: such as it allows, and such with one thing that it does not."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

from metricsoperator.crd import schema
from metricsoperator.fields import within
from metricsoperator.spec import parse
from metricwire.errors import BadInput

Schema = dict[str, Any]
SPEC: Schema = schema()["properties"]["spec"]
TEXT = st.characters(codec="utf-8", exclude_characters="\x00")
_BETWEEN = re.compile(r"must be a (size|duration) from (\w+) to (\w+)$")
_KEY = re.compile(r"size\(key\) <= (\d+) && key\.matches\(r'(.*)'\)\)$")
_UNITS = {"size": ["k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"], "duration": ["s", "m", "h"]}


def document(spec: Any) -> dict[str, Any]:
    about = {"name": "fritz", "namespace": "monitoring", "uid": "00000000-0000-4000-8000-000000000001"}
    return {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": about, "spec": spec}


def refusal(spec: Any) -> str:
    """What the operator says against it; "" for nothing."""
    try:
        parse(document(spec))
    except BadInput as error:
        return str(error)
    return ""


def messages(found: Schema) -> list[str]:
    return [rule["message"] for rule in found.get("x-kubernetes-validations", [])]


def values(found: Schema) -> st.SearchStrategy[Any]:
    """What a schema allows; its rules across fields are not looked at."""
    if "enum" in found:
        return st.sampled_from(found["enum"])
    if found.get("x-kubernetes-int-or-string"):
        return st.one_of(text(found), integers(found))
    return _RIGHT["map" if "additionalProperties" in found else found["type"]](found)


def integers(found: Schema) -> st.SearchStrategy[int]:
    return st.integers(found["minimum"], found["maximum"])


def text(found: Schema) -> st.SearchStrategy[str]:
    for message in messages(found):
        if between := _BETWEEN.search(message):
            return numbers(*between.groups())
    if "pattern" not in found:
        return st.text(TEXT, max_size=min(found["maxLength"], 40))
    return matching(found["pattern"], found["maxLength"])


def matching(pattern: str, longest: int) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True, alphabet=TEXT).filter(lambda value: len(value) <= longest)


def numbers(kind: str, low: str, high: str) -> st.SearchStrategy[str]:
    """Sizes or durations, both ends included."""
    number = st.builds("{}{}".format, st.integers(1, 9999), st.sampled_from(_UNITS[kind]))
    return st.one_of(st.sampled_from([low, high]), number.filter(lambda value: within(value, kind, low, high)))


def items(found: Schema) -> st.SearchStrategy[list[Any]]:
    keys = found.get("x-kubernetes-list-map-keys")
    properties = found["items"].get("properties", {})

    def key(item: Any) -> Any:
        return tuple(item.get(name, properties[name].get("default")) for name in keys) if keys else None

    least, most = found.get("minItems", 0), min(found["maxItems"], 3)
    return st.lists(values(found["items"]), min_size=least, max_size=most, unique_by=key if keys else None)


def mapping(found: Schema) -> st.SearchStrategy[dict[str, Any]]:
    longest, pattern = next(
        place.groups() for rule in found["x-kubernetes-validations"] if (place := _KEY.search(rule["rule"]))
    )
    return st.dictionaries(matching(pattern, int(longest)), values(found["additionalProperties"]), max_size=3)


def parts(found: Schema) -> st.SearchStrategy[dict[str, Any]]:
    needed = found.get("required", [])
    made = {name: st.deferred(lambda inner=inner: values(inner)) for name, inner in found["properties"].items()}
    required = {name: made.pop(name) for name in needed}
    return st.fixed_dictionaries(required, optional=made)


_RIGHT: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "boolean": lambda _: st.booleans(),
    "integer": integers,
    "string": text,
    "array": items,
    "map": mapping,
    "object": parts,
}


class Break(NamedTuple):
    """What is done to a valid resource: at which place of the spec, what stands there then."""

    path: tuple[str, ...]
    value: Any

    def __repr__(self) -> str:
        """Short: some values are very long."""
        return f"{'.'.join(self.path)} = {repr(self.value)[:200]}"


def places(found: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every field below objects; lists and maps as a whole."""
    for name, inner in found.get("properties", {}).items():
        yield (*path, name), inner
        yield from places(inner, (*path, name))


def wrong(found: Schema) -> list[Any]:
    """What a field does not take. Not null: the API server drops it before it looks."""
    if "enum" in found:
        return ["other", "", 1, found["enum"][0].upper() + "\n"]
    if found.get("x-kubernetes-int-or-string"):
        return [True, 1.5, found["minimum"] - 1, "a b"]
    return _WRONG["map" if "additionalProperties" in found else found["type"]](found)


def wrong_text(found: Schema) -> list[Any]:
    tries = [7, [], {}, "x" * (found["maxLength"] + 1)]
    if "pattern" in found:
        odd = ["a\n", "\n", "a;b c", "../../etc", "{{ .Values }}", "$(id)", "\x1b[0m", "-", "a\u0000b", "é"]
        tries += [value for value in odd if not re.fullmatch(found["pattern"], value)]
    if any(_BETWEEN.search(message) for message in messages(found)):
        tries += ["1", "0s", "9999h", "9999Ti", "1Ki", "1e3"]
    return tries


_WRONG: dict[str, Callable[[Schema], list[Any]]] = {
    "boolean": lambda _: ["yes", 1, []],
    "integer": lambda found: [found["minimum"] - 1, found["maximum"] + 1, 2**63, "1", 1.5],
    "string": wrong_text,
    "array": lambda found: [{}, "x", [[]], ["\x1b[0m"] * (found["maxItems"] + 1)],
    "map": lambda _: [[], {"": "x"}, {"a b": "x"}, {"k\n": "x"}, {f"k{n}": "1" for n in range(10_000)}, {"k": []}],
    "object": lambda _: ["x", [], {"sise": 1}, {"x\n": {}}],
}
BREAKS = [Break(path, value) for path, found in places(SPEC) for value in wrong(found)]


def broken(spec: dict[str, Any], change: Break) -> dict[str, Any]:
    made = copy.deepcopy(spec)
    *parents, last = change.path
    place = made
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = change.value
    return made


valid = values(SPEC)
