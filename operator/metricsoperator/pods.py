"""What a MetricsCluster may say about pods: their images, resources, placement, labels."""

from typing import Annotated, Literal

from msgspec import Meta, field

from metricsoperator.fields import Amounts, Annotations, LabelKey, Labels, LabelValue, ObjectName, Part, described


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
        tuple[PullSecret, ...], Meta(max_length=8), described("Secrets with credentials for the registry.")
    ] = ()


class Resources(Part, frozen=True):
    """Compute resources of the container; an entry replaces ours of the same name."""

    requests: Annotated[Amounts, described("What the scheduler reserves: cpu, memory.")] = field(default_factory=dict)
    limits: Annotated[Amounts, described("What the container may use at most: cpu, memory.")] = field(default_factory=dict)


class Toleration(Part, frozen=True):
    """A taint that pods put up with, as in a pod's spec."""

    key: Annotated[LabelKey | None, described("Key of the taint; none with operator Exists: every taint.")] = None
    operator: Annotated[Literal["Exists", "Equal"], described("Whether the taint's value matters.")] = "Equal"
    value: Annotated[LabelValue | None, described("Value of the taint, with operator Equal.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None, described("Effect of the taint; none: every effect.")
    ] = None
    toleration_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=10**9)] | None, described("How long NoExecute is put up with, in seconds; none: for ever.")
    ] = None


class Pod(Part, frozen=True):
    """What may be said about the pods of a part."""

    resources: Annotated[Resources, described("Compute resources, where ours do not fit.")] = Resources()
    node_selector: Annotated[Labels, described("Labels that a node must have.")] = field(default_factory=dict)
    tolerations: Annotated[tuple[Toleration, ...], Meta(max_length=32), described("Taints that the pods put up with.")] = ()
    priority_class_name: Annotated[
        str,
        Meta(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$", max_length=253, extra={"expected": "a PriorityClass"}),
        described("PriorityClass of the pods; empty: the cluster's default."),
    ] = ""
    labels: Annotated[Labels, described("Further labels; ours cannot be replaced.")] = field(default_factory=dict)
    annotations: Annotated[Annotations, described("Further annotations.")] = field(default_factory=dict)


class AgentPod(Pod, frozen=True):
    """As Pod; agents run on every node unless told otherwise."""

    tolerations: Annotated[
        tuple[Toleration, ...], Meta(max_length=32), described("Taints that the pods put up with; by default every one.")
    ] = (Toleration(operator="Exists"),)
