"""The agents' objects: DaemonSet and Service.

Host mounts, the one exception to Pod Security "restricted", which the resource can do without: /proc, /sys and / of the node,
read-only, read by a user without rights. / is mounted with HostToContainer, so that filesystems mounted later are seen and
unmounted ones are let go (field-notes.md 36); nodes whose / is a private mount refuse that, for them the operator can be told
"None".

The spool is an emptyDir: it outlives the agent's process and container, which a crash or a lack of memory ends, but not its
pod. A hostPath would outlive the pod too, but the kubelet makes it for root alone: the agent would need a container that runs
as root, and it would stay on every node when the MetricsCluster is deleted. Pods are replaced only by updates and by hand;
before it ends an agent sends what it has, for which it is given `GRACE_SECONDS`.
"""

from metricsoperator import names
from metricsoperator.agents import StatsD
from metricsoperator.manifests import pods
from metricsoperator.manifests.access import granted
from metricsoperator.manifests.metadata import Manifest, Site, image, metadata
from metricsoperator.spec import MetricsCluster
from metricwire.units import quantity

GRACE_SECONDS = 30
# What NVIDIA's container toolkit reads: every device, but of the driver no more than its management library.
_DEVICES = [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}, {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "utility"}]
_HOST = {"proc": ("/proc", names.HOST_PROC), "sys": ("/sys", names.HOST_SYS), "root": ("/", names.HOST_ROOT)}


def daemon_set(cluster: MetricsCluster, site: Site, config_hash: str) -> Manifest:
    """An agent on every node."""
    agent = cluster.spec.node_agent
    spec = pods.pod_spec(cluster, names.AGENT, agent.pod, container=_container(cluster, site), volumes=_volumes(cluster))
    spec["terminationGracePeriodSeconds"] = GRACE_SECONDS
    if agent.nvidia.runtime_class_name:
        spec["runtimeClassName"] = agent.nvidia.runtime_class_name
    allowed = agent.max_unavailable
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(cluster, names.AGENT, names.agent(cluster.name), site),
        "spec": {
            "selector": {"matchLabels": names.selector(cluster.name, names.AGENT)},
            "revisionHistoryLimit": 3,
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": allowed if allowed.endswith("%") else int(allowed)},
            },
            "template": pods.template(cluster, names.AGENT, agent.pod, config_hash, spec),
        },
    }


def _container(cluster: MetricsCluster, site: Site) -> Manifest:
    mounts = [
        pods.mount("config", names.CONFIG_DIRECTORY),
        pods.mount("keys", names.KEY_DIRECTORY),
        *_delivery_mounts(cluster),
        *([pods.mount("apiserver", names.API_SERVER_DIRECTORY)] if granted(cluster) else []),
        pods.mount("spool", names.SPOOL_DIRECTORY, writable=True),
        *(pods.mount(name, path) for name, (_, path) in _host(cluster).items()),
    ]
    for mount in mounts:
        if mount["name"] == "root":
            mount["mountPropagation"] = site.mount_propagation
    return pods.container(
        names.AGENT,
        image(cluster, names.AGENT, site),
        cluster,
        env=[
            pods.node_name(),
            *(_DEVICES if cluster.spec.node_agent.nvidia.runtime_class_name else []),
        ],
        ports=[
            {"name": "api", "containerPort": names.AGENT_API_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.AGENT_METRICS_PORT, "protocol": "TCP"},
            *_statsd_ports(cluster.spec.node_agent.statsd),
        ],
        resources=pods.resources(
            cluster.spec.node_agent.pod,
            {"cpu": "20m", "memory": "64Mi"},
            {"cpu": "1", "memory": "128Mi"},
            scratch=_spool(cluster),
        ),
        livenessProbe=pods.probe("/healthz", "metrics", period=10, failures=6),
        readinessProbe=pods.probe("/readyz", "metrics", period=2, failures=3),
        volumeMounts=mounts,
    )


def _host(cluster: MetricsCluster) -> dict[str, tuple[str, str]]:
    """Volume -> what is mounted of the node, and where."""
    return _HOST if cluster.spec.node_agent.host_mounts else {}


def _delivery_mounts(cluster: MetricsCluster) -> list[Manifest]:
    where = {"token": names.TOKEN_DIRECTORY, "tls": names.TLS_DIRECTORY, "nats": names.NATS_DIRECTORY}
    return [pods.mount(volume["name"], where[volume["name"]]) for volume in _delivery_volumes(cluster)]


def _delivery_volumes(cluster: MetricsCluster) -> list[Manifest]:
    """What it takes to deliver: to NATS its login, to the store a token and what its certificate is checked with."""
    if cluster.spec.node_agent.delivery.by == "NATS":
        return pods.nats_volumes(cluster)
    secret = cluster.spec.store.tls.secret_name
    return [pods.agent_token_volume(cluster), *([pods.authority_volume(secret)] if secret else [])]


def _statsd_ports(wanted: StatsD) -> list[Manifest]:
    port = {"name": "statsd", "containerPort": wanted.port, "protocol": "UDP"}
    ports = [port | {"hostPort": wanted.port} if wanted.host_port else port]
    return ports if wanted.enabled else []


def _volumes(cluster: MetricsCluster) -> list[Manifest]:
    return [
        pods.config_volume(names.agent(cluster.name)),
        pods.key_volume(cluster, names.AGENT),
        *_delivery_volumes(cluster),
        *([pods.api_server_volume()] if granted(cluster) else []),
        pods.scratch_volume("spool", str(_spool(cluster))),
        *({"name": name, "hostPath": {"path": path}} for name, (path, _) in _host(cluster).items()),
    ]


def _spool(cluster: MetricsCluster) -> int:
    """Bytes beyond which the kubelet evicts; the agent keeps within half of it, the spool's size."""
    return 2 * quantity(cluster.spec.node_agent.spool.size)


def service(cluster: MetricsCluster, site: Site) -> Manifest:
    """Every pod reaches the agent of its own node by this name, as `localhost` did on DC/OS, and is seen by its address."""
    ports = [
        {"name": "api", "port": names.AGENT_API_PORT, "targetPort": "api", "protocol": "TCP"},
        {"name": "metrics", "port": names.AGENT_METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
    ]
    statsd = cluster.spec.node_agent.statsd
    if statsd.enabled:
        ports.append({"name": "statsd", "port": statsd.port, "targetPort": "statsd", "protocol": "UDP"})
    spec = {"internalTrafficPolicy": "Local", "selector": names.selector(cluster.name, names.AGENT), "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, names.AGENT, names.agent(cluster.name), site),
        "spec": spec,
    }
