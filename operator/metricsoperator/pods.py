"""What a MetricsCluster may say about pods: their images, resources, placement, labels."""

from typing import Annotated, Literal

from msgspec import Meta, field

from metricsoperator.fields import OPTIONAL_OBJECT_PATTERN, Amounts, Annotations, Labels, ObjectName, Part, described, rule
from metricsoperator.placement import Affinity, Toleration, Tolerations
from metricwire.units import amount


class PullSecret(Part, frozen=True):
    """A Secret of type kubernetes.io/dockerconfigjson in the same namespace."""

    name: Annotated[ObjectName, described("Name of the Secret.")]


class Image(Part, frozen=True):
    """Where the images `<registry>/metricscluster-{store,agent}:<tag>` come from."""

    registry: Annotated[
        str,
        Meta(
            pattern=r"^([a-zA-Z0-9][-a-zA-Z0-9._:/]{0,198})?$",
            max_length=199,
            extra={"expected": "a registry and path such as ghcr.io/metricscluster"},
        ),
        described("Registry and path before the image's name; empty: those of the operator's own image."),
    ] = ""
    tag: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$", max_length=128, extra={"expected": "an image tag such as 1.2.3"}
        ),
        described("Tag of the images; empty: the operator's own version."),
    ] = ""
    pull_policy: Annotated[
        Literal["IfNotPresent", "Always", "Never"], described("When the kubelet asks the registry for the image.")
    ] = "IfNotPresent"
    pull_secrets: Annotated[
        tuple[PullSecret, ...], Meta(max_length=8), described("Secrets with credentials for the registry.", list_key="name")
    ] = ()


_RESOURCES = "expected each request to be no more than the limit of the same name"


class Resources(Part, frozen=True):
    """Compute resources of the container: cpu, memory, ephemeral-storage. An entry replaces ours of the same name."""

    requests: Annotated[Amounts, described("What the scheduler reserves; a limit of ours that is less is raised to it.")] = (
        field(default_factory=dict)
    )
    limits: Annotated[
        Amounts, described("What the container may use at most; a request of ours that is more is lowered to it.")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in self.requests.items():
            if name in self.limits and amount(least) > amount(self.limits[name]):
                raise ValueError(_RESOURCES)


_RESOURCES_RULE = rule(
    "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) ||"
    " quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
    _RESOURCES,
)


class Pod(Part, frozen=True):
    """What may be said about the pods of a part."""

    resources: Annotated[Resources, described("Compute resources, where ours do not fit.", rules=[_RESOURCES_RULE])] = (
        Resources()
    )
    node_selector: Annotated[Labels, described("Labels that a node must have.")] = field(default_factory=dict)
    tolerations: Annotated[Tolerations, Meta(max_length=32), described("Taints that the pods put up with.")] = ()
    affinity: Annotated[Affinity, described("Nodes to be on, with more words than nodeSelector has.")] = Affinity()
    priority_class_name: Annotated[
        str,
        Meta(pattern=OPTIONAL_OBJECT_PATTERN, max_length=253, extra={"expected": "a PriorityClass"}),
        described("PriorityClass of the pods; empty: the cluster's default."),
    ] = ""
    labels: Annotated[Labels, described("Further labels; ours cannot be replaced.")] = field(default_factory=dict)
    annotations: Annotated[Annotations, described("Further annotations.")] = field(default_factory=dict)


class AgentPod(Pod, frozen=True):
    """As Pod; agents run on every node unless told otherwise."""

    tolerations: Annotated[
        Tolerations, Meta(max_length=32), described("Taints that the pods put up with; by default every one.")
    ] = (Toleration(operator="Exists"),)
