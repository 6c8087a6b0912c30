"""The configuration files of store and agent, made from a MetricsCluster.

The same for a pod and for `metricscluster up`: only the places differ, and they are arguments.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.manifests.metadata import Manifest, Site, metadata
from metricsoperator.spec import MetricRule, MetricsCluster
from metricwire.catalog import FREQUENCY, METRICS
from metricwire.units import duration, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """How the store checks ServiceAccount tokens: where the API server's keys are, and who the agents are."""

    url: str
    token_file: str
    ca_file: str
    agents: str  # system:serviceaccount:<namespace>:<name>


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlaces:
    """Where a store listens, keeps its data and finds keys. `api_server` None: no ServiceAccount tokens."""

    address: str
    ops_address: str
    directory: str
    public_key_files: tuple[str, ...]
    api_server: ApiServer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlaces:
    """Where an agent finds its host and its store, spools, and listens. `anonymous`: its DC/OS routes need no token."""

    proc: str
    sys: str
    root: str
    store_url: str
    token_file: str
    spool_directory: str
    address: str
    metrics_address: str
    public_key_files: tuple[str, ...]
    anonymous: bool = False


def store_pod(cluster: MetricsCluster) -> StorePlaces:
    """The places within the store's pod."""
    server = ApiServer(
        url="https://kubernetes.default.svc",
        token_file=f"{names.API_SERVER_DIRECTORY}/token",
        ca_file=f"{names.API_SERVER_DIRECTORY}/ca.crt",
        agents=names.agent_subject(cluster.name, cluster.namespace),
    )
    return StorePlaces(
        address=f"0.0.0.0:{names.STORE_API_PORT}",
        ops_address=f"0.0.0.0:{names.STORE_OPS_PORT}",
        directory=names.STORE_DIRECTORY,
        public_key_files=key_files(cluster),
        api_server=server if cluster.spec.auth.kubernetes else None,
    )


def agent_pod(cluster: MetricsCluster) -> AgentPlaces:
    """The places within an agent's pod."""
    return AgentPlaces(
        proc=names.HOST_PROC,
        sys=names.HOST_SYS,
        root=names.HOST_ROOT,
        store_url=names.store_url(cluster.name, cluster.namespace),
        token_file=f"{names.TOKEN_DIRECTORY}/token",
        spool_directory=names.SPOOL_DIRECTORY,
        address=f"0.0.0.0:{names.AGENT_API_PORT}",
        metrics_address=f"0.0.0.0:{names.AGENT_METRICS_PORT}",
        public_key_files=key_files(cluster),
    )


def key_files(cluster: MetricsCluster) -> tuple[str, ...]:
    """Where a pod finds the public keys: the generated one and those the resource names."""
    further = (key_path(key.secret_name, key.key) for key in cluster.spec.auth.public_keys)
    return tuple(f"{names.KEY_DIRECTORY}/{path}" for path in (names.PUBLIC_KEY, *further))


def key_path(secret: str, key: str) -> str:
    """Where an entry of a user's Secret is found below the key folder."""
    return f"secrets/{secret}/{key}"


def store_config(cluster: MetricsCluster, places: StorePlaces) -> dict[str, Any]:
    """The store's JSON settings: cc-metric-store's form, ours under `metric-store`."""
    spec = cluster.spec
    ours: dict[str, Any] = {
        "directory": places.directory,
        "cluster": cluster.cluster,
        "ops-addr": places.ops_address,
        "retention-in-memory": spec.store.retention.memory,
        "retention-on-disk": spec.store.retention.disk,
        "archive": spec.store.retention.archive,
        "public-key-files": list(places.public_key_files),
        "anonymous-metrics": spec.auth.anonymous_metrics,
        "limits": {
            "body-bytes": quantity(spec.store.limits.body_bytes),
            "series": spec.store.limits.series,
            "memory": quantity(spec.store.limits.memory),
        },
    }
    if server := places.api_server:
        ours["kubernetes"] = {
            "url": server.url,
            "token-file": server.token_file,
            "ca-file": server.ca_file,
            "audience": names.AUDIENCE,
            "agents": server.agents,
        }
    return {"main": {"addr": places.address}, "metric-store": ours, "metrics": metrics(cluster)}


def agent_config(cluster: MetricsCluster, places: AgentPlaces) -> dict[str, Any]:
    """The agent's JSON settings."""
    agent = cluster.spec.node_agent
    collectors = {name: getattr(agent.collectors, name) for name in agent.collectors.__struct_fields__}
    return {
        "cluster": cluster.cluster,
        "interval": _seconds(agent.interval),
        "collectors": collectors,
        "host": {"proc": places.proc, "sys": places.sys, "root": places.root},
        "store": {"url": places.store_url, "token-file": places.token_file},
        "spool": {"directory": places.spool_directory, "bytes": quantity(agent.spool.size)},
        "api": {
            "address": places.address,
            "anonymous": places.anonymous,
            "public-key-files": list(places.public_key_files),
        },
        "metrics-address": places.metrics_address,
    }


def metrics(cluster: MetricsCluster) -> dict[str, dict[str, Any]]:
    """Every metric the store shall know: the catalogue at the agents' interval, changed and extended by the resource."""
    interval = _seconds(cluster.spec.node_agent.interval)
    known: dict[str, dict[str, Any]] = {
        metric.name: {"frequency": interval, "aggregation": metric.aggregation} for metric in METRICS
    }
    for rule in cluster.spec.metrics:
        known[rule.name] = {"frequency": FREQUENCY, "aggregation": None} | known.get(rule.name, {}) | _said(rule)
    return known


def _said(rule: MetricRule) -> dict[str, Any]:
    """What a rule says, and nothing of what it leaves out."""
    said: dict[str, Any] = {}
    if rule.frequency is not None:
        said["frequency"] = _seconds(rule.frequency)
    if rule.aggregation is not None:
        said["aggregation"] = None if rule.aggregation == "none" else rule.aggregation
    return said


def _seconds(text: str) -> int:
    return int(duration(text))


def config_map(cluster: MetricsCluster, component: str, site: Site, config: dict[str, Any]) -> Manifest:
    """The ConfigMap of a part, with its settings as `config.json`."""
    text = msgspec.json.format(msgspec.json.encode(config), indent=1).decode()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(cluster, component, f"{cluster.name}-{component}", site),
        "data": {"config.json": text},
    }
