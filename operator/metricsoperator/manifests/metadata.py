"""What all objects have in common: names, labels, the owner, hashes, images."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.spec import MetricsCluster
from metricwire.errors import BadInput

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """What all MetricsClusters of one operator share: the images of those that name none, and how nodes mount."""

    registry: str
    tag: str
    mount_propagation: str = "HostToContainer"
    cluster_roles: str = ""  # how the names of the chart's ClusterRoles begin; "": there are none that we may bind
    registries: tuple[str, ...] = ()  # that resources may name besides; none: all


def image(cluster: MetricsCluster, component: str, site: Site) -> str:
    """The image of a part."""
    return f"{cluster.spec.image.registry or site.registry}/metricscluster-{component}:{version(cluster, site)}"


def check_registry(cluster: MetricsCluster, site: Site) -> None:
    """BadInput where the resource names a registry that is not allowed here."""
    named = cluster.spec.image.registry
    if named in ("", site.registry) or not site.registries:
        return
    if not any(f"{named}/".startswith(f"{allowed}/") for allowed in site.registries):
        allowed = f"nothing, {site.registry} or a registry that the operator's settings allow ({', '.join(site.registries)})"
        raise BadInput(f"spec.image.registry: expected {allowed}, got {named!r}")


def version(cluster: MetricsCluster, site: Site) -> str:
    """The version that shall run: the images' tag."""
    return cluster.spec.image.tag or site.tag


def metadata(cluster: MetricsCluster, component: str, name: str, site: Site) -> Manifest:
    """An object's metadata. The garbage collector deletes it after the MetricsCluster, with or without an operator."""
    label = version(cluster, site)[:63].strip("-_.")  # a tag may begin otherwise than a label's value
    return {
        "name": name,
        "namespace": cluster.namespace,
        "labels": names.labels(cluster.name, component, label),
        "ownerReferences": [owner(cluster)],
    }


def cluster_metadata(cluster: MetricsCluster, component: str, name: str, site: Site) -> Manifest:
    """Metadata of an object without a namespace: nothing collects it but the operator, which knows it by its labels."""
    labels: dict[str, str] = metadata(cluster, component, name, site)["labels"]
    return {"name": name, "labels": labels | {names.NAMESPACE_LABEL: cluster.namespace}}


def owner(cluster: MetricsCluster) -> Manifest:
    """The reference to the MetricsCluster. No blockOwnerDeletion: it needs a right on finalizers and could hold up deletion."""
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": cluster.name, "uid": cluster.uid, "controller": True}


def fingerprint(content: Any) -> str:
    """16 hex digits that change when the content does."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:16]


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with its own hash as an annotation, by which the operator sees that the object is as it was last wanted."""
    annotations = manifest["metadata"].get("annotations", {}) | {names.HASH_ANNOTATION: fingerprint(manifest)}
    return manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}
