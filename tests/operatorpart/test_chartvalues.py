"""The chart with values that YAML may read as something else: what is made holds that very text, or it is refused."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from charts import CHART, needs, run

pytestmark = needs("helm")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CHECK = jsonschema.Draft7Validator(SCHEMA)
PLAIN = "placeholder"
HOSTILE = ["123", "true", "null", "a: b", "{{ .Release.Name }}", "a\nb: c", "#'\""]
NAMES = ["123", "true", "0x1f"]  # that Helm and Kubernetes take
ON = {  # whatever the chart can make
    "metricsCluster": {"enabled": True},
    "podMonitor": {"enabled": "Always"},
    "alerts": {"as": "PrometheusRule"},
}
OURS = {
    "app.kubernetes.io/name": "theirs",
    "app.kubernetes.io/instance": "theirs",
    "app.kubernetes.io/component": "theirs",
    "app.kubernetes.io/part-of": "theirs",
    "app.kubernetes.io/managed-by": "theirs",
    "helm.sh/chart": "theirs",
}
Make = Callable[[str], Any]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key twice: {keys}"
        return super().construct_mapping(node, deep)


def texts(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Make]]:
    """Where a text, or a map of texts, can be given, and what makes one of a text."""
    for name, inner in schema["properties"].items():
        if inner.get("type") == "string":
            yield (*path, name), str
        elif inner.get("$ref") == "#/$defs/texts":
            yield (*path, name), lambda text: {text: text}
        elif "properties" in inner:
            yield from texts(inner, (*path, name))


PLACES: dict[tuple[str, ...], Make] = {
    **dict(texts(SCHEMA)),
    ("image", "allowedRegistries"): lambda text: [text],
    ("image", "pullSecrets"): lambda text: [{"name": text}],
    ("metricsCluster", "name"): str,
    ("metricsCluster", "spec"): lambda text: {"clusterName": text, "prometheus": {"labels": {text: text}}},
    ("operator", "tolerations"): lambda text: [{"key": text, "value": text}],
    ("operator", "affinity", "nodeAffinity"): lambda text: {text: [text]},
    ("operator", "resources", "limits"): lambda text: {text: text},
    ("networkPolicy", "metricsFrom"): lambda text: [{"podSelector": {"matchLabels": {text: text}}}],
    ("tests", "metricsCluster"): str,
}


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The values with one more."""
    head, *rest = path
    return values | {head: put(values.get(head, {}), tuple(rest), value) if rest else value}


def allowed(*given: str) -> frozenset[tuple[str, ...]]:
    """The places where the schema takes each of these texts."""
    return frozenset(path for path, make in PLACES.items() if all(CHECK.is_valid(put({}, path, make(text))) for text in given))


def render(values: dict[str, Any], release: str = "r", namespace: str = "n") -> list[Any]:
    text = run("helm", "template", release, CHART, "-n", namespace, "-f", "-", stdin=json.dumps(values))
    return [found for found in yaml.load_all(text, Loader) if found and found["kind"] != "CustomResourceDefinition"]


@cache
def with_text(text: str, places: frozenset[tuple[str, ...]]) -> list[Any]:
    values = ON
    for path in places:
        values = put(values, path, PLACES[path](text))
    return render(values)


def replaced(item: Any, text: str) -> Any:
    """The same with `text` for PLAIN."""
    if isinstance(item, dict):
        return {replaced(key, text): replaced(value, text) for key, value in item.items()}
    if isinstance(item, list):
        return [replaced(each, text) for each in item]
    return item.replace(PLAIN, text) if isinstance(item, str) else item


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_text_stays_that_text(text: str) -> None:
    places = allowed(text, PLAIN)
    assert ("operator", "podAnnotations") in places
    assert with_text(text, places) == replaced(with_text(PLAIN, places), text)


def test_what_the_test_above_is_about() -> None:
    assert {("operator", "priorityClassName"), ("image", "tag"), ("image", "pullSecrets")} <= allowed("123", PLAIN)
    assert {("metricsCluster", "name"), ("metricsCluster", "spec"), ("tests", "metricsCluster")} <= allowed("true", PLAIN)
    refused = {("image", "tag"), ("metricsCluster", "name"), ("metricsCluster", "spec"), ("tests", "metricsCluster")}
    assert not refused & allowed("a: b", PLAIN)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_release_and_namespace_stay_texts(name: str) -> None:
    assert render(ON, name, name) == replaced(render(ON, PLAIN, PLAIN), name)


def test_our_labels_win() -> None:
    values: dict[str, Any] = ON
    for path in (("operator", "podLabels"), *((part, "labels") for part in ("podMonitor", "alerts", "dashboards"))):
        values = put(values, path, OURS)
    for found, plain in zip(render(values), render(ON), strict=True):
        labels, ours = (each["metadata"]["labels"] for each in (found, plain))
        assert labels == labels | ours, f"{found['kind']} {found['metadata']['name']}"
        if found["kind"] == "Deployment":
            assert found["spec"]["selector"] == plain["spec"]["selector"]
            labels = found["spec"]["template"]["metadata"]["labels"]
            assert labels == labels | plain["spec"]["template"]["metadata"]["labels"]
