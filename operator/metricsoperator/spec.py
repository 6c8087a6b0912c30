"""The custom resource as values: the one source of its schema, defaults, bounds and documentation.

`parse` makes a validated MetricsCluster of a YAML document or of what the API server returns. Parts of it are in agents.py,
auth.py, monitoring.py, nats.py and pods.py. A field is here only when something acts on it. Descriptions are what `kubectl
explain` and docs/reference-metricscluster.md show.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, inspect

from metricsoperator.agents import NODE_AGENT_RULES, NodeAgent
from metricsoperator.auth import Auth
from metricsoperator.checking import convert, known, shown
from metricsoperator.fields import (
    OPTIONAL_OBJECT_PATTERN,
    Annotations,
    BodySize,
    Interval,
    MemorySize,
    Name,
    OptionalName,
    Part,
    Retention,
    VolumeSize,
    described,
    rule,
)
from metricsoperator.forms import unwrapped
from metricsoperator.monitoring import Prometheus
from metricsoperator.names import API_VERSION, KIND, NAME_EXPECTED, NAME_PATTERN, store_url
from metricsoperator.nats import RULES as NATS_RULES
from metricsoperator.nats import Nats
from metricsoperator.pods import Image, Pod
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
    unit: Annotated[
        str,
        Meta(pattern=r"^[ -~]*$", max_length=32, extra={"expected": "a unit such as F/s, of 32 characters at most"}),
        described("Unit of the samples, as Prometheus is told; metrics of the built-in catalogue have theirs."),
    ] = ""


class Storage(Part, frozen=True):
    """The store's volume."""

    size: Annotated[
        VolumeSize,
        described(
            "Size of the volume; it can grow where the StorageClass allows it, and be set back to what the volume still has;"
            " volumes never shrink."
        ),
    ] = "10Gi"
    class_name: Annotated[
        str,
        Meta(pattern=OPTIONAL_OBJECT_PATTERN, max_length=253, extra={"expected": "a StorageClass"}),
        described(
            "StorageClass of the volume; empty: the cluster's default. Immutable.",
            rules=[rule("self == oldSelf", "spec.store.storage.className is immutable: a volume cannot change its class")],
        ),
    ] = ""
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteOncePod"],
        described(
            "ReadWriteOncePod lets no second pod of the same node have the volume; not every StorageClass knows it. With either"
            " a second store is kept out by a lock in the folder. Immutable.",
            rules=[
                rule("self == oldSelf", "spec.store.storage.accessMode is immutable: a volume cannot change how it is used")
            ],
        ),
    ] = "ReadWriteOnce"
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


class StoreTls(Part, frozen=True):
    """TLS of the store's API; health and metrics, on a port of their own, do without."""

    secret_name: Annotated[
        OptionalName,
        described(
            "Secret of type kubernetes.io/tls in the same namespace, for <name>-store.<namespace>.svc: with it the API speaks"
            " TLS only. Agents check it with the entry ca.crt, or without that with the system's authorities. Renewed ones"
            " count without a restart. Empty: no TLS."
        ),
    ] = ""


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
    tls: Annotated[StoreTls, described("TLS of its API.")] = StoreTls()
    service: Annotated[StoreService, described("The Service by which clients reach it.")] = StoreService()
    pod: Annotated[Pod, described("Resources, placement, labels of its pod.")] = Pod()


class Spec(Part, frozen=True):
    """The desired state."""

    cluster_name: Annotated[Name, described("The cluster tag of all samples; empty: metadata.name. Immutable.")] = ""
    paused: Annotated[bool, described("While true the operator looks and reports, and changes nothing.")] = False
    image: Annotated[Image, described("Where the images of store and agents come from.")] = Image()
    metrics: Annotated[
        tuple[MetricRule, ...],
        Meta(max_length=512),
        described("Additions to and changes of the built-in catalogue.", list_key="name"),
    ] = ()
    store: Annotated[Store, described("The metric store.")] = Store()
    node_agent: Annotated[NodeAgent, described("The agents on the nodes.", rules=NODE_AGENT_RULES)] = NodeAgent()
    auth: Annotated[Auth, described("Who may talk to the store and the agents.")] = Auth()
    prometheus: Annotated[Prometheus, described("How Prometheus finds store and agents.")] = Prometheus()
    nats: Annotated[Nats, described("NATS, on the way to the store.", rules=NATS_RULES)] = Nats()


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

    @property
    def store_url(self) -> str:
        """Where clients in the cluster reach the store."""
        return store_url(self.name, self.namespace, tls=bool(self.spec.store.tls.secret_name))


def without_newer(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The resource without fields of a definition that is newer than this, and where those are."""
    spec, newer = known(document.get("spec") or {}, unwrapped(inspect.type_info(Spec)), "spec")
    return {**document, "spec": spec}, newer


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
    _check_nats(spec)
    if spec.node_agent.textfile.directory and not spec.node_agent.host_mounts:
        raise BadInput("spec.nodeAgent.textfile.directory: expected nothing where hostMounts is false")
    statsd = spec.node_agent.statsd
    if statsd.host_port and not statsd.enabled:
        raise BadInput("spec.nodeAgent.statsd.hostPort: expected false where enabled is false")
    return MetricsCluster(
        name=name,
        namespace=str(metadata.get("namespace") or "default"),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        spec=spec,
    )


def _check_metrics(spec: Spec) -> None:
    """A metric that our agents send is kept as often as they send it, else samples are lost or null."""
    interval = spec.node_agent.interval
    for number, metric in enumerate(spec.metrics):
        if metric.name in BY_NAME and metric.frequency and duration(metric.frequency) != duration(interval):
            raise BadInput(
                f"spec.metrics[{number}].frequency: expected {interval}, the agents' interval, or nothing"
                f" for a metric of the built-in catalogue, got {metric.frequency!r}"
            )
        if metric.name in BY_NAME and metric.unit:
            raise BadInput(f"spec.metrics[{number}].unit: expected nothing for a metric of the built-in catalogue")


def _check_nats(spec: Spec) -> None:
    """What the rules of the schema say too."""
    nats, delivery = spec.nats, spec.node_agent.delivery
    if nats.subscriptions and not nats.url:
        raise BadInput("spec.nats.url: expected NATS servers where there are subscriptions")
    if nats.username and not nats.credentials_secret:
        raise BadInput("spec.nats.credentialsSecret: expected a Secret with the password of spec.nats.username")
    if delivery.by == "NATS" and not delivery.subject:
        raise BadInput("spec.nodeAgent.delivery.subject: expected a NATS subject where by is NATS")
    if delivery.by == "NATS" and not nats.url:
        raise BadInput("spec.nats.url: expected NATS servers where spec.nodeAgent.delivery.by is NATS")
