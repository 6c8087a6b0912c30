"""The operator's own settings, read once from flags and environment variables."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metricwire import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this operator runs; what a MetricsCluster may say for itself is in its spec."""

    registry: str = "ghcr.io/metricscluster"
    """Registry of the images of store and agents, where the resource names none."""
    tag: str = __version__
    """Their tag, where the resource names none: the version of this operator."""
    allowed_registries: str = ""
    """Registries that resources may name besides, with their path and with commas between them; "" allows all."""
    mount_propagation: str = "HostToContainer"
    """How agents see the node's mounts, "None" where a node's / is a private mount: its kubelet refuses the other."""
    cluster_roles: str = ""
    """How the names of the ClusterRoles begin that it may bind; "": it has none, and agents know containers by id alone."""
    namespace: str = ""
    """The one namespace that is served; "" serves all, which needs a ClusterRole."""
    resync: float = 60.0
    """Seconds between two looks at everything, whatever the watches said: what they missed is repaired within this time."""
    health_port: int = 8080
    """Port of /healthz, /readyz and /metrics."""
    log_level: str = "INFO"

    @property
    def registries(self) -> tuple[str, ...]:
        """Those that resources may name; none: all."""
        return tuple(filter(None, self.allowed_registries.split(",")))


OPTIONS = {  # flag -> (field, environment variable, help)
    "--image-registry": ("registry", "METRICSOPERATOR_IMAGE_REGISTRY", "registry of the store's and the agents' images"),
    "--image-tag": ("tag", "METRICSOPERATOR_IMAGE_TAG", "tag of the store's and the agents' images"),
    "--allowed-registries": (
        "allowed_registries",
        "METRICSOPERATOR_ALLOWED_REGISTRIES",
        "registries that resources may name besides, with commas between them; empty: all",
    ),
    "--mount-propagation": (
        "mount_propagation",
        "METRICSOPERATOR_MOUNT_PROPAGATION",
        "HostToContainer or None",
    ),
    "--cluster-roles": (
        "cluster_roles",
        "METRICSOPERATOR_CLUSTER_ROLES",
        "how the names of the chart's ClusterRoles for agents and store begin; empty: there are none",
    ),
    "--namespace": ("namespace", "METRICSOPERATOR_NAMESPACE", "the namespace to serve; empty: all"),
    "--resync-seconds": ("resync", "METRICSOPERATOR_RESYNC_SECONDS", "seconds between two looks at everything"),
    "--health-port": ("health_port", "METRICSOPERATOR_HEALTH_PORT", "port of /healthz, /readyz and /metrics"),
    "--log-level": ("log_level", "METRICSOPERATOR_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR"),
}


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, else from the environment, else the defaults. A wrong flag ends the program with 2."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="metricscluster-operator", description="Runs MetricsClusters on Kubernetes.")
    for flag, (field, variable, text) in OPTIONS.items():
        default = getattr(defaults, field)
        parser.add_argument(
            flag,
            dest=field,
            type=type(default),
            default=environment.get(variable) or default,
            metavar=field.upper(),
            help=f"{text} (default: {default!r}; environment: {variable})",
        )
    return Settings(**vars(parser.parse_args(arguments)))
