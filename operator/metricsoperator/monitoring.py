"""What a MetricsCluster may say about Prometheus: who scrapes store and agents, and how often."""

from typing import Annotated, Literal

from msgspec import Meta, field

from metricsoperator.fields import Interval, Labels, NamespaceName, Part, described


class Prometheus(Part, frozen=True):
    """Monitors for the Prometheus operator, and who may connect to the metrics ports."""

    monitor: Annotated[
        Literal["Auto", "Never"],
        described(
            "Auto: a ServiceMonitor of the store and a PodMonitor of the agents, as long as the cluster has those kinds"
            " (monitoring.coreos.com); Never: none."
        ),
    ] = "Auto"
    labels: Annotated[
        Labels, described("Further labels of the monitors, by which a Prometheus chooses them, such as release: prometheus.")
    ] = field(default_factory=dict)
    interval: Annotated[Interval, described("Time between two scrapes.")] = "30s"
    namespaces: Annotated[
        tuple[NamespaceName, ...],
        Meta(max_length=16),
        described("Namespaces whose pods may connect to the metrics ports, besides this one and pods with the client label."),
    ] = ()
