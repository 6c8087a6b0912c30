"""The part of values.schema.json about the MetricsCluster, made of the resource's own schema, so that Helm refuses what the API
server would. Rules in CEL remain to the API server. Pure."""

import json
from typing import Any

from metricsoperator import crd, names

BEGIN = '  "definitions": '  # the last entry of the file; what is above it is written by hand


def definitions() -> dict[str, Any]:
    """`name` and `spec` of a MetricsCluster as JSON schema."""
    name = {"type": "string", "pattern": names.NAME_PATTERN, "description": f"{names.NAME_EXPECTED}."}
    return {"name": name, "spec": plain(crd.schema()["properties"]["spec"])}


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without what only Kubernetes knows; what it would drop of an object is refused."""
    found = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-") and key != "format"}
    if "x-kubernetes-int-or-string" in schema:
        found["type"] = ["string", "integer"]
    if "properties" in found:
        found["properties"] = {name: plain(inner) for name, inner in found["properties"].items()}
        found["additionalProperties"] = False
    elif "additionalProperties" in found:
        found["additionalProperties"] = plain(found["additionalProperties"])
    if "items" in found:
        found["items"] = plain(found["items"])
    return found


def replaced(text: str) -> str:
    """The file with these definitions."""
    head, mark, _ = text.partition(BEGIN)
    assert mark, "BUG: no definitions in values.schema.json"
    made = json.dumps(definitions(), indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return f"{head}{BEGIN}{made}\n}}\n"
