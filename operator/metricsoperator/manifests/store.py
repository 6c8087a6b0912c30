"""The store's objects: StatefulSet, Services, disruption budget."""

from metricsoperator import names
from metricsoperator.manifests import pods
from metricsoperator.manifests.metadata import Manifest, Site, image, metadata
from metricsoperator.spec import MetricsCluster
from metricwire.units import quantity

REPLAY_SECONDS = 1800  # 10 s per million samples in the log (reliability.md P3), for 180 million
GRACE_SECONDS = 60
_SCRATCH = 256 * 1024**2  # bytes for /tmp


def stateful_set(cluster: MetricsCluster, site: Site, config_hash: str, claim_size: str) -> Manifest:
    """The one store pod. `claim_size` is what the template for volume claims says: it cannot change once the object exists."""
    name, pod = names.store(cluster.name), cluster.spec.store.pod
    spec = pods.pod_spec(cluster, names.STORE, pod, container=_container(cluster, site), volumes=_volumes(cluster))
    spec["terminationGracePeriodSeconds"] = GRACE_SECONDS
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(cluster, names.STORE, name, site),
        "spec": {
            "replicas": 1,  # one process, one writer
            "serviceName": names.store_headless(cluster.name),
            "selector": {"matchLabels": names.selector(cluster.name, names.STORE)},
            # Parallel: else a pod that never gets ready is never replaced by a better one (kubernetes/kubernetes#67250).
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 3,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": cluster.spec.store.storage.when_deleted,
                "whenScaled": "Retain",
            },
            "template": pods.template(cluster, names.STORE, pod, config_hash, spec),
            "volumeClaimTemplates": [_claim(cluster, claim_size)],
        },
    }


def _container(cluster: MetricsCluster, site: Site) -> Manifest:
    spec = cluster.spec.store
    memory = quantity(spec.limits.memory)
    mounts = [
        pods.mount("config", names.CONFIG_DIRECTORY),
        pods.mount("keys", names.KEY_DIRECTORY),
        pods.mount(names.DATA_VOLUME, names.STORE_DIRECTORY, writable=True),
        pods.mount("tmp", "/tmp", writable=True),  # noqa: S108 (the container's own)
    ]
    if cluster.spec.auth.kubernetes:
        mounts.append(pods.mount("apiserver", names.API_SERVER_DIRECTORY))
    if cluster.spec.auth.login_users.secret_name:
        mounts.append(pods.mount("users", names.USER_DIRECTORY))
    if spec.tls.secret_name:
        mounts.append(pods.mount("tls", names.TLS_DIRECTORY))
    mounts += [pods.mount(volume["name"], names.NATS_DIRECTORY) for volume in _nats_volumes(cluster)]
    return pods.container(
        names.STORE,
        image(cluster, names.STORE, site),
        cluster,
        env=[pods.node_name()],
        ports=[
            {"name": "api", "containerPort": names.STORE_API_PORT, "protocol": "TCP"},
            {"name": "ops", "containerPort": names.STORE_OPS_PORT, "protocol": "TCP"},
        ],
        resources=pods.resources(
            spec.pod,
            {"cpu": "100m", "memory": str(memory)},
            {"cpu": "4", "memory": str(memory + memory // 4)},
            scratch=_SCRATCH,
        ),
        startupProbe=pods.probe("/readyz", "ops", period=1, failures=REPLAY_SECONDS),
        livenessProbe=pods.probe("/healthz", "ops", period=10, failures=6),
        readinessProbe=pods.probe("/readyz", "ops", period=2, failures=3),
        volumeMounts=mounts,
    )


def _volumes(cluster: MetricsCluster) -> list[Manifest]:
    auth, tls = cluster.spec.auth, cluster.spec.store.tls
    return [
        pods.config_volume(names.store(cluster.name)),
        pods.key_volume(cluster, names.STORE),
        pods.scratch_volume("tmp", str(_SCRATCH)),
        *([pods.api_server_volume()] if auth.kubernetes else []),
        *([pods.user_volume(auth.login_users.secret_name)] if auth.login_users.secret_name else []),
        *([pods.tls_volume(tls.secret_name)] if tls.secret_name else []),
        *_nats_volumes(cluster),
    ]


def _nats_volumes(cluster: MetricsCluster) -> list[Manifest]:
    return pods.nats_volumes(cluster) if cluster.spec.nats.subscriptions else []


def _claim(cluster: MetricsCluster, size: str) -> Manifest:
    """What the StatefulSet makes its volume claim of."""
    class_name = cluster.spec.store.storage.class_name
    claim: Manifest = {"accessModes": [cluster.spec.store.storage.access_mode], "resources": {"requests": {"storage": size}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": names.DATA_VOLUME, "labels": names.selector(cluster.name, names.STORE)},
        "spec": claim | ({"storageClassName": class_name} if class_name else {}),
    }


def services(cluster: MetricsCluster, site: Site) -> list[Manifest]:
    """The headless Service that governs the StatefulSet, and the one for clients."""
    ports = [
        {"name": "api", "port": names.STORE_API_PORT, "targetPort": "api", "protocol": "TCP"},
        {"name": "ops", "port": names.STORE_OPS_PORT, "targetPort": "ops", "protocol": "TCP"},
    ]
    selector = names.selector(cluster.name, names.STORE)
    headless = metadata(cluster, names.STORE, names.store_headless(cluster.name), site)
    client = metadata(cluster, names.STORE, names.store(cluster.name), site)
    client["labels"] |= {names.MONITORED_LABEL: "true"}
    wanted = cluster.spec.store.service
    if wanted.annotations:
        client["annotations"] = wanted.annotations
    return [
        _service(headless, {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector, "ports": ports}),
        _service(client, {"type": wanted.type, "selector": selector, "ports": ports}),
    ]


def _service(metadata: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def disruption_budget(cluster: MetricsCluster, site: Site) -> Manifest:
    """One store pod at a time may be evicted. Not "none": a node with the store on it could never be drained."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster, names.STORE, names.store(cluster.name), site),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector(cluster.name, names.STORE)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
