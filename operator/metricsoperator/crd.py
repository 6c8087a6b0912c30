"""The CustomResourceDefinition of MetricsCluster."""

from typing import Any

from metricsoperator import names
from metricsoperator.fields import rule
from metricsoperator.schema import object_schema
from metricsoperator.spec import Spec
from metricsoperator.state import Status

DESCRIPTION = "A metric store and an agent on every node, which feeds it."
_CLUSTER = "({0}.spec.clusterName == '' ? {0}.metadata.name : {0}.spec.clusterName)"
_SIZE = "{0}.spec.store.storage.size"
_VOLUMES = "self.status.store.volumes"
_RULES = [
    rule(
        f"self.metadata.name.matches('{names.NAME_PATTERN}')",
        f"metadata.name must be {names.NAME_EXPECTED}: objects are named after it",
    ),
    rule(
        f"{_CLUSTER.format('self')} == {_CLUSTER.format('oldSelf')}",
        "spec.clusterName is immutable: only its present value is allowed (empty: metadata.name)",
        fieldPath=".spec.clusterName",
    ),
    rule(
        f"quantity({_SIZE.format('self')}).compareTo(quantity({_SIZE.format('oldSelf')})) >= 0 ||"
        f" (has(self.status) && has(self.status.store) && has({_VOLUMES}) && size({_VOLUMES}) > 0 &&"
        f" {_VOLUMES}.all(v, has(v.requested) &&"
        f" quantity(v.requested).compareTo(quantity({_SIZE.format('self')})) <= 0))",
        "spec.store.storage.size cannot shrink: a size equal to or larger than that of the volume is allowed",
        fieldPath=".spec.store.storage.size",
    ),
]
_SPEC_RULES = [
    rule(
        "!has(self.nodeAgent) || !has(self.nodeAgent.delivery) || !has(self.nodeAgent.delivery.by) ||"
        " self.nodeAgent.delivery.by != 'NATS' || (has(self.nats) && has(self.nats.url) && self.nats.url != '')",
        "spec.nats.url: expected NATS servers where spec.nodeAgent.delivery.by is NATS",
        fieldPath=".nats.url",
    ),
]
_COLUMNS: list[dict[str, Any]] = [
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {
        "name": "Nodes",
        "type": "string",
        "jsonPath": ".status.nodeAgents.nodes",
        "description": "Ready agents / nodes.",
    },
    {"name": "Store", "type": "string", "jsonPath": '.status.conditions[?(@.type=="StoreAvailable")].reason'},
    {"name": "Version", "type": "string", "jsonPath": ".status.store.version"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Endpoint", "type": "string", "jsonPath": ".status.store.endpoint", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].message', "priority": 1},
]


def definition() -> dict[str, Any]:
    """The whole object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names.PLURAL}.{names.GROUP}",
            "annotations": {"helm.sh/resource-policy": "keep"},  # else `helm uninstall` would delete every MetricsCluster
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": list(names.SHORT_NAMES),
                "categories": list(names.CATEGORIES),
            },
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _COLUMNS,
        "schema": {"openAPIV3Schema": schema()},
    }


def schema() -> dict[str, Any]:
    """The schema of the resource."""
    spec = {"description": Spec.__doc__, "default": {}} | object_schema(Spec, "spec")
    spec["x-kubernetes-validations"] = _SPEC_RULES
    status = {"description": Status.__doc__} | object_schema(Status, "status")
    texts = {
        "apiVersion": "Version of this schema; see Kubernetes' API conventions.",
        "kind": "The kind of this resource; see Kubernetes' API conventions.",
    }
    properties: dict[str, Any] = {name: {"type": "string", "description": text} for name, text in texts.items()}
    properties |= {"metadata": {"type": "object"}, "spec": spec, "status": status}
    return {"type": "object", "description": DESCRIPTION, "properties": properties, "x-kubernetes-validations": _RULES}
