"""The custom resource as values: the one source of its schema, defaults, bounds and documentation.

`parse` makes a validated MetricsCluster of a YAML document or of what the API server returns. A field is here only when
something acts on it. Descriptions are what `kubectl explain` and docs/reference-metricscluster.md show.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from metricsoperator.checking import convert, shown
from metricsoperator.fields import (
    Annotations,
    BodySize,
    Interval,
    MemorySize,
    ObjectName,
    Part,
    Retention,
    SpoolSize,
    VolumeSize,
    described,
    rule,
)
from metricsoperator.names import API_VERSION, KIND, NAME_EXPECTED, NAME_PATTERN
from metricsoperator.pods import AgentPod, Image, Pod
from metricwire.catalog import BY_NAME
from metricwire.errors import BadInput
from metricwire.units import duration


class MetricRule(Part, frozen=True):
    """How one metric is kept. What is left out comes from the catalogue, or is 10s and no aggregation for a new metric."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$",
            max_length=128,
            extra={"expected": "a metric's name such as flops_any"},
        ),
        described("Name of the metric, as in line protocol."),
    ]
    frequency: Annotated[
        Interval | None,
        described("Time between two samples; of a metric of the built-in catalogue: nodeAgent.interval, or left out."),
    ] = None
    aggregation: Annotated[
        Literal["sum", "avg", "none"] | None,
        described("How samples of parts (threads, filesystems) make the value of the host."),
    ] = None


class Storage(Part, frozen=True):
    """The store's volume."""

    size: Annotated[
        VolumeSize,
        described(
            "Size of the volume; it can grow where the StorageClass allows it, never shrink.",
            rules=[
                rule(
                    "quantity(self).compareTo(quantity(oldSelf)) >= 0",
                    "spec.store.storage.size cannot shrink: a size equal to or larger than the present one is allowed",
                )
            ],
        ),
    ] = "10Gi"
    class_name: Annotated[
        str,
        Meta(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$", max_length=253, extra={"expected": "a StorageClass"}),
        described(
            "StorageClass of the volume; empty: the cluster's default. Immutable.",
            rules=[rule("self == oldSelf", "spec.store.storage.className is immutable: a volume cannot change its class")],
        ),
    ] = ""
    when_deleted: Annotated[
        Literal["Retain", "Delete"], described("What becomes of the volume when the MetricsCluster is deleted.")
    ] = "Retain"


class StoreRetention(Part, frozen=True):
    """How long samples are kept."""

    memory: Annotated[Retention, described("How long samples are kept and answered, at least.")] = "48h"
    disk: Annotated[Retention, described("The same, where that is longer: how long samples are kept on the volume.")] = "30d"
    archive: Annotated[
        Literal["none", "parquet"],
        described(
            "What becomes of older samples: deleted, or kept on the volume as Parquet files, from where they are answered."
        ),
    ] = "none"


class Limits(Part, frozen=True):
    """What protects the store; a refusal names the limit."""

    series: Annotated[
        int, Meta(ge=1000, le=100_000_000), described("Most series; a line that would make one more is refused.")
    ] = 1_000_000
    body_bytes: Annotated[BodySize, described("Largest request body, after decompression.")] = "16Mi"
    memory: Annotated[
        MemorySize, described("Memory that the store may use; the container is requested this and limited to 25 % more.")
    ] = "2Gi"


class StoreService(Part, frozen=True):
    """The Service by which clients reach the store."""

    type: Annotated[
        Literal["ClusterIP", "NodePort", "LoadBalancer"], described("How the store can be reached from outside the cluster.")
    ] = "ClusterIP"
    annotations: Annotated[Annotations, described("Annotations of the Service.")] = field(default_factory=dict)


class Store(Part, frozen=True):
    """The metric store: one pod and its volume."""

    storage: Annotated[Storage, described("The volume.")] = Storage()
    retention: Annotated[StoreRetention, described("How long samples are kept.")] = StoreRetention()
    limits: Annotated[Limits, described("Limits that protect the store.")] = Limits()
    service: Annotated[StoreService, described("The Service by which clients reach it.")] = StoreService()
    pod: Annotated[Pod, described("Resources, placement, labels of its pod.")] = Pod()


class Collectors(Part, frozen=True):
    """What is measured on each node; each can be switched off."""

    cpu: Annotated[bool, described("Shares of cpu time, of the host and of each hardware thread.")] = True
    memory: Annotated[bool, described("Memory of the host.")] = True
    swap: Annotated[bool, described("Swap space of the host.")] = True
    load: Annotated[bool, described("Load averages.")] = True
    filesystems: Annotated[bool, described("Space and inodes of each filesystem.")] = True
    network: Annotated[bool, described("Bytes, packets, drops and errors of each interface.")] = True
    processes: Annotated[bool, described("Number of processes.")] = True
    uptime: Annotated[bool, described("Time since the host booted.")] = True


class Spool(Part, frozen=True):
    """Where an agent keeps samples that the store has not acknowledged."""

    size: Annotated[SpoolSize, described("Space on each node; when it is full the oldest samples go first.")] = "64Mi"


class NodeAgent(Part, frozen=True):
    """The node agent: one pod on every node."""

    interval: Annotated[
        Interval, described("Time between two measurements, and so the frequency of the catalogue's metrics.")
    ] = "10s"
    collectors: Annotated[Collectors, described("What is measured.")] = Collectors()
    spool: Annotated[Spool, described("What outlasts an outage of the store.")] = Spool()
    max_unavailable: Annotated[
        str,
        Meta(
            pattern=r"^([1-9][0-9]{0,3}|([1-9][0-9]?|100)%)$",
            max_length=4,
            extra={"expected": "a number or a percentage such as 3 or 10%"},
        ),
        described("How many nodes may be without an agent while agents are updated: a number or a percentage."),
    ] = "10%"
    pod: Annotated[AgentPod, described("Resources, placement, labels of its pods.")] = AgentPod()


class PublicKey(Part, frozen=True):
    """An Ed25519 public key (base64 of its 32 bytes) that tokens may be signed for, as ClusterCockpit has it."""

    secret_name: Annotated[ObjectName, described("Secret in the same namespace.")]
    key: Annotated[
        str,
        Meta(
            pattern=r"^[-A-Za-z0-9_][-A-Za-z0-9_.]{0,252}$",
            max_length=253,
            extra={"expected": "a key of a Secret such as jwt-public-key"},
        ),
        described("Entry of that Secret."),
    ] = "jwt-public-key"


class Auth(Part, frozen=True):
    """Whose tokens are accepted, besides those of the generated key in the Secret `<name>-keys`."""

    kubernetes: Annotated[
        bool,
        described(
            "Whether ServiceAccount tokens of this cluster are accepted; without, agents use a token of the generated key."
        ),
    ] = True
    public_keys: Annotated[
        tuple[PublicKey, ...], Meta(max_length=16), described("Further keys whose tokens are accepted.")
    ] = ()
    anonymous_metrics: Annotated[bool, described("Whether the store's /metrics is served without a token.")] = True


class Spec(Part, frozen=True):
    """The desired state."""

    cluster_name: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
            max_length=63,
            extra={"expected": "a cluster's name such as fritz"},
        ),
        described("The cluster tag of all samples; empty: metadata.name. Immutable."),
    ] = ""
    paused: Annotated[bool, described("While true the operator looks and reports, and changes nothing.")] = False
    image: Annotated[Image, described("Where the images of store and agents come from.")] = Image()
    metrics: Annotated[
        tuple[MetricRule, ...],
        Meta(max_length=512),
        described("Additions to and changes of the built-in catalogue.", list_key="name"),
    ] = ()
    store: Annotated[Store, described("The metric store.")] = Store()
    node_agent: Annotated[NodeAgent, described("The agents on the nodes.")] = NodeAgent()
    auth: Annotated[Auth, described("Who may talk to the store and the agents.")] = Auth()


class MetricsCluster(Struct, frozen=True, kw_only=True):
    """One resource, validated; `uid` is "" and `generation` 0 where it comes from a file."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    spec: Spec = field(default_factory=Spec)

    @property
    def cluster(self) -> str:
        """The cluster tag of its samples."""
        return self.spec.cluster_name or self.name


def parse(document: Mapping[str, Any]) -> MetricsCluster:
    """The resource in `document`, defaults filled in. BadInput: `<path of the field>: <what is wrong, what is allowed>`."""
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(key) != wanted:
            raise BadInput(f"{key}: expected {wanted}, got {shown(document.get(key))}")
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        raise BadInput("metadata: expected an object with a name")
    name = metadata.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise BadInput(f"metadata.name: expected {NAME_EXPECTED}, got {shown(name)}")
    spec = convert(document.get("spec") or {}, Spec, "spec")
    _check_metrics(spec)
    return MetricsCluster(
        name=name,
        namespace=str(metadata.get("namespace") or "default"),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        spec=spec,
    )


def _check_metrics(spec: Spec) -> None:
    """Each metric is there once; one that our agents send is kept as often as they send it, else samples are lost or null."""
    names = [metric.name for metric in spec.metrics]
    interval = spec.node_agent.interval
    for number, metric in enumerate(spec.metrics):
        if metric.name in names[:number]:
            raise BadInput(f"spec.metrics[{number}].name: expected each metric once, got {metric.name!r} again")
        if metric.name in BY_NAME and metric.frequency and duration(metric.frequency) != duration(interval):
            raise BadInput(
                f"spec.metrics[{number}].frequency: expected {interval}, the agents' interval, or nothing"
                f" for a metric of the built-in catalogue, got {metric.frequency!r}"
            )
