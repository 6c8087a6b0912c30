"""The configuration files of store and agent, made from a MetricsCluster.

The same for a pod and for `metricscluster up`: only the places differ, and they are arguments.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.auth import LoginKey
from metricsoperator.manifests import natsconfig
from metricsoperator.manifests.metadata import Manifest, Site, metadata
from metricsoperator.spec import MetricRule, MetricsCluster
from metricwire.catalog import FREQUENCY, METRICS
from metricwire.units import duration, quantity

NAMESPACED = frozenset({"filesystems", "network", "nfs", "nfsmounts", "lustre", "processes", "sockets"})
"""Collectors that would show the agent's own container where the node's trees are not mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """Where the API server is, and who we are to it."""

    url: str = "https://kubernetes.default.svc"
    token_file: str = f"{names.API_SERVER_DIRECTORY}/token"
    ca_file: str = f"{names.API_SERVER_DIRECTORY}/ca.crt"

    @property
    def settings(self) -> dict[str, str]:
        """As both programs name it."""
        return {"url": self.url, "token-file": self.token_file, "ca-file": self.ca_file}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlaces:
    """Where a store listens, keeps its data and finds keys.

    `api_server` None: no ServiceAccount tokens; `users` "": nobody logs in; `tls_directory` "": no TLS; `nats_directory`, with
    the files of its login, "": nothing is taken from NATS.
    """

    address: str
    ops_address: str
    directory: str
    public_key_files: tuple[str, ...]
    api_server: ApiServer | None = None
    login_key_files: tuple[str, ...] = ()
    users: str = ""
    tls_directory: str = ""
    nats_directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlaces:
    """Where an agent finds its host and its store, spools, and listens.

    `api_server` None: no ServiceAccount tokens; `pods` None: nothing is known of pods; no `statsd_address`: no StatsD;
    `authority_file`: what the store is checked with, "": the system's; `nats_directory` "": delivery is over HTTP.
    """

    proc: str
    sys: str
    root: str
    store_url: str
    token_file: str
    spool_directory: str
    address: str
    metrics_address: str
    public_key_files: tuple[str, ...]
    login_key_files: tuple[str, ...] = ()
    api_server: ApiServer | None = None
    pods: ApiServer | None = None
    statsd_address: str = ""
    authority_file: str = ""
    nats_directory: str = ""


def store_pod(cluster: MetricsCluster) -> StorePlaces:
    """The places within the store's pod."""
    return StorePlaces(
        address=f"0.0.0.0:{names.STORE_API_PORT}",
        ops_address=f"0.0.0.0:{names.STORE_OPS_PORT}",
        directory=names.STORE_DIRECTORY,
        public_key_files=key_files(cluster),
        api_server=ApiServer() if cluster.spec.auth.kubernetes else None,
        login_key_files=tuple(_login_file(key.secret_name, key.private_key) for key in login_keys(cluster)),
        users=names.USER_DIRECTORY if cluster.spec.auth.login_users.secret_name else "",
        tls_directory=names.TLS_DIRECTORY if cluster.spec.store.tls.secret_name else "",
        nats_directory=names.NATS_DIRECTORY if cluster.spec.nats.subscriptions else "",
    )


def agent_pod(cluster: MetricsCluster, *, knows_pods: bool) -> AgentPlaces:
    """The places within an agent's pod. `knows_pods`: whether it may list them."""
    mounted = cluster.spec.node_agent.host_mounts
    return AgentPlaces(
        proc=names.HOST_PROC if mounted else "/proc",
        sys=names.HOST_SYS if mounted else "/sys",
        root=names.HOST_ROOT if mounted else "/",
        store_url=cluster.store_url,
        token_file=f"{names.TOKEN_DIRECTORY}/token",
        spool_directory=names.SPOOL_DIRECTORY,
        address=f"0.0.0.0:{names.AGENT_API_PORT}",
        metrics_address=f"0.0.0.0:{names.AGENT_METRICS_PORT}",
        public_key_files=key_files(cluster),
        login_key_files=tuple(_login_file(key.secret_name, key.public_key) for key in login_keys(cluster)),
        api_server=ApiServer() if cluster.spec.auth.kubernetes else None,
        pods=ApiServer() if knows_pods else None,
        statsd_address=f"0.0.0.0:{cluster.spec.node_agent.statsd.port}",
        authority_file=f"{names.TLS_DIRECTORY}/{names.AUTHORITY}" if cluster.spec.store.tls.secret_name else "",
        nats_directory=names.NATS_DIRECTORY if cluster.spec.node_agent.delivery.by == "NATS" else "",
    )


def key_files(cluster: MetricsCluster) -> tuple[str, ...]:
    """Where a pod finds the public keys: the generated ones and those the resource names."""
    generated = (f"{names.KEY_DIRECTORY}/{name}" for name in (names.PUBLIC_KEY, names.OTHER_PUBLIC_KEY))
    further = (_key_file(key.secret_name, key.key) for key in cluster.spec.auth.public_keys)
    return (*generated, *further)


def _key_file(secret: str, key: str) -> str:
    return f"{names.KEY_DIRECTORY}/{key_path(secret, key)}"


def _login_file(secret: str, key: str) -> str:
    return f"{names.KEY_DIRECTORY}/{login_path(secret, key)}"


def login_keys(cluster: MetricsCluster) -> tuple[LoginKey, ...]:
    """The pairs for login tokens, the one that signs first; none where nobody can log in."""
    auth = cluster.spec.auth
    if not auth.login_users.secret_name:
        return ()
    own = LoginKey(secret_name=names.keys(cluster.name))
    other = LoginKey(
        secret_name=own.secret_name, private_key=names.OTHER_LOGIN_PRIVATE_KEY, public_key=names.OTHER_LOGIN_PUBLIC_KEY
    )
    return tuple(each for key in auth.login_keys or (own,) for each in ((own, other) if key == own else (key,)))


def key_path(secret: str, key: str) -> str:
    """Where an entry of a user's Secret is found below the key folder."""
    return f"secrets/{secret}/{key}"


def login_path(secret: str, key: str) -> str:
    """The same of a key of login tokens: one entry may be named for both, and no two of a volume may have one path."""
    return f"logins/{secret}/{key}"


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
        agents = names.agent_subject(cluster.name, cluster.namespace)
        ours["kubernetes"] = server.settings | {"audience": names.AUDIENCE, "agents": agents}
    if places.users:
        ours["login"] = {"key-files": list(places.login_key_files), "users": places.users}
    main = {"addr": places.address}
    if places.tls_directory:
        main |= {
            "https-cert-file": f"{places.tls_directory}/{names.CERTIFICATE}",
            "https-key-file": f"{places.tls_directory}/{names.CERTIFICATE_KEY}",
        }
    made = {"main": main, "metric-store": ours, "metrics": metrics(cluster)}
    if places.nats_directory:
        made["nats"] = natsconfig.of_store(spec.nats, places.nats_directory)
        ours["nats-subscriptions"] = [natsconfig.subscription(cluster, one) for one in spec.nats.subscriptions]
    return made


def agent_config(cluster: MetricsCluster, places: AgentPlaces) -> dict[str, Any]:
    """The agent's JSON settings."""
    agent = cluster.spec.node_agent
    collectors = {
        name: getattr(agent.collectors, name) and (agent.host_mounts or name not in NAMESPACED)
        for name in agent.collectors.__struct_fields__
    }
    collectors["containers"] = agent.measures_containers
    made: dict[str, Any] = {
        "cluster": cluster.cluster,
        "interval": _seconds(agent.interval),
        "collectors": collectors,
        "host": {"proc": places.proc, "sys": places.sys, "root": places.root},
        "spool": {"directory": places.spool_directory, "bytes": quantity(agent.spool.size)},
        "api": {
            "address": places.address,
            "anonymous": cluster.spec.auth.anonymous_agents,
            "public-key-files": list(places.public_key_files),
            "login-key-files": list(places.login_key_files),
        },
        "metrics-address": places.metrics_address,
    }
    made |= _destination(cluster, places)
    if server := places.api_server:
        made["api"]["kubernetes"] = server.settings | {"audience": names.AUDIENCE}
    if server := places.pods:
        made["pods"] = server.settings | {"labels": list(agent.containers.labels)}
    if agent.statsd.enabled and places.statsd_address:
        made["statsd"] = {
            "address": places.statsd_address,
            "series-per-pod": agent.statsd.series_per_pod,
            "bytes-per-pod": agent.statsd.bytes_per_pod,
        }
    if agent.textfile.directory:
        made["textfile"] = {"directory": str(PurePosixPath(places.root) / agent.textfile.directory.lstrip("/"))}
    if agent.scrape.enabled and places.pods:
        made["scrape"] = {
            "enabled": True,
            "interval": _seconds(agent.scrape.interval or agent.interval),
            "series-per-pod": agent.scrape.series_per_pod,
            "bytes-per-pod": agent.scrape.bytes_per_pod,
        }
    return made


def _destination(cluster: MetricsCluster, places: AgentPlaces) -> dict[str, Any]:
    """Where an agent's samples go: the store, or NATS."""
    if places.nats_directory:
        return {"nats": natsconfig.of_agent(cluster.spec, places.nats_directory)}
    store: dict[str, Any] = {"url": places.store_url, "token-file": places.token_file}
    if places.authority_file:
        store |= {"ca-file": places.authority_file, "ca-optional": True}
    return {"store": store}


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
    if rule.unit:
        said["unit"] = rule.unit
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
