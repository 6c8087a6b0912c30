"""The agents' objects: DaemonSet and Service.

Host mounts, the one exception to Pod Security "restricted": /proc, /sys and / of the node, read-only, read by a user without
rights. / is mounted with HostToContainer, so that filesystems mounted later are seen and unmounted ones are let go
(field-notes.md 36); nodes whose / is a private mount refuse that, for them the operator can be told "None".

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
        pods.mount("token", names.TOKEN_DIRECTORY),
        *([pods.mount("apiserver", names.API_SERVER_DIRECTORY)] if granted(cluster) else []),
        pods.mount("spool", names.SPOOL_DIRECTORY, writable=True),
        *(pods.mount(name, path) for name, (_, path) in _HOST.items()),
    ]
    mounts[-1]["mountPropagation"] = site.mount_propagation
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
        ),
        livenessProbe=pods.probe("/healthz", "metrics", period=10, failures=6),
        readinessProbe=pods.probe("/readyz", "metrics", period=2, failures=3),
        volumeMounts=mounts,
    )


def _statsd_ports(wanted: StatsD) -> list[Manifest]:
    port = {"name": "statsd", "containerPort": wanted.port, "protocol": "UDP"}
    ports = [port | {"hostPort": wanted.port} if wanted.host_port else port]
    return ports if wanted.enabled else []


def _volumes(cluster: MetricsCluster) -> list[Manifest]:
    spool = quantity(cluster.spec.node_agent.spool.size)
    return [
        pods.config_volume(names.agent(cluster.name)),
        pods.key_volume(cluster, names.AGENT),
        pods.agent_token_volume(cluster),
        *([pods.api_server_volume()] if granted(cluster) else []),
        pods.scratch_volume("spool", str(2 * spool)),  # the agent keeps within the spool's size; the kubelet evicts beyond this
        *({"name": name, "hostPath": {"path": path}} for name, (path, _) in _HOST.items()),
    ]


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
