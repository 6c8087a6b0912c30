"""What the pods of store and agents have in common: security, resources, volumes (reliability.md section 3)."""

from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.manifests.config import key_path, login_keys, login_path
from metricsoperator.manifests.metadata import Manifest
from metricsoperator.pods import Pod
from metricsoperator.spec import MetricsCluster
from metricwire.settings import NODE_NAME
from metricwire.units import amount

LOG_BYTES = 256 * 1024**2  # of a container, on its node; the kubelet turns it over at 50 MiB unless told otherwise
USER = 65532  # numeric, so that the kubelet can check runAsNonRoot; the same in the Dockerfiles


def pod_spec(cluster: MetricsCluster, component: str, pod: Pod, *, container: Manifest, volumes: list[Manifest]) -> Manifest:
    """The spec of a pod with one container."""
    spec: Manifest = {
        "serviceAccountName": f"{cluster.name}-{component}",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    optional = {
        "imagePullSecrets": list(msgspec.to_builtins(cluster.spec.image.pull_secrets)),
        "nodeSelector": pod.node_selector,
        "tolerations": list(msgspec.to_builtins(pod.tolerations)),
        "affinity": msgspec.to_builtins(pod.affinity),
        "priorityClassName": pod.priority_class_name,
    }
    return spec | {name: value for name, value in optional.items() if value}


def container(name: str, image: str, cluster: MetricsCluster, **more: Any) -> Manifest:
    """A container that runs our program with its configuration file, with no rights and a read-only filesystem."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": cluster.spec.image.pull_policy,
        "args": ["--config", names.CONFIG_FILE],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        **more,
    }


def template(cluster: MetricsCluster, component: str, pod: Pod, config_hash: str, spec: Manifest) -> Manifest:
    """A pod template; other content of the ConfigMap makes another template, and so new pods."""
    own = names.selector(cluster.name, component) | {"app.kubernetes.io/part-of": "metricscluster"}
    annotations = pod.annotations | {names.CONFIG_ANNOTATION: config_hash}
    return {"metadata": {"labels": pod.labels | own, "annotations": annotations}, "spec": spec}


def resources(pod: Pod, requests: dict[str, str], limits: dict[str, str], *, scratch: int) -> Manifest:
    """Our requests and limits, with what the resource says in place of ours; what is left of ours gives way to it.

    Of ephemeral storage there is a limit, for `scratch` bytes in volumes and for the container's log, and no request: nodes
    whose kubelet does not account for it would take no pod.
    """
    requests |= {"ephemeral-storage": "0"}
    limits |= {"ephemeral-storage": str(scratch + LOG_BYTES)}
    said = pod.resources
    least = {name: min(ours, said.limits.get(name, ours), key=amount) for name, ours in requests.items()} | said.requests
    most = {name: max(ours, said.requests.get(name, ours), key=amount) for name, ours in limits.items()} | said.limits
    return {"requests": least, "limits": most}


def node_name() -> Manifest:
    """The variable that tells a container on which node it is."""
    return {"name": NODE_NAME, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}}


def probe(path: str, port: str, *, period: int, failures: int) -> Manifest:
    """An HTTP probe every `period` seconds that fails after `failures` in a row."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 3}


def mount(volume: str, path: str, *, writable: bool = False) -> Manifest:
    """A volume in a container, read-only unless said otherwise."""
    return {"name": volume, "mountPath": path} | ({} if writable else {"readOnly": True})


def config_volume(name: str) -> Manifest:
    """The part's ConfigMap."""
    return {"name": "config", "configMap": {"name": name}}


def key_volume(cluster: MetricsCluster, component: str) -> Manifest:
    """The public keys that tokens are checked with; the store, which signs login tokens, has the private half of their key."""
    own = names.keys(cluster.name)
    generated = [_secret(own, name, name) for name in (names.PUBLIC_KEY, names.OTHER_PUBLIC_KEY)]
    further = [_secret(key.secret_name, key.key, key_path(key.secret_name, key.key)) for key in cluster.spec.auth.public_keys]
    for key in login_keys(cluster):
        entry = key.private_key if component == names.STORE else key.public_key
        further.append(_secret(key.secret_name, entry, login_path(key.secret_name, entry), optional=True))
    return _projected("keys", [*generated, *further])


def user_volume(secret: str) -> Manifest:
    """Who may log in. It may come after the store, which watches it."""
    return {"name": "users", "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}}


def agent_token_volume(cluster: MetricsCluster) -> Manifest:
    """The agent's proof to the store: its ServiceAccount's token, or where none is accepted one of the generated key."""
    source = _secret(names.keys(cluster.name), names.AGENT_TOKEN, "token")
    if cluster.spec.auth.kubernetes:
        source = {"serviceAccountToken": {"audience": names.AUDIENCE, "expirationSeconds": 3600, "path": "token"}}
    return _projected("token", [source])


def tls_volume(secret: str) -> Manifest:
    """The store's certificate and key."""
    items = [{"key": entry, "path": entry} for entry in (names.CERTIFICATE, names.CERTIFICATE_KEY)]
    return {"name": "tls", "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}


def authority_volume(secret: str) -> Manifest:
    """What the store's certificate is checked with; the Secret may do without, and the agents are not shown its key."""
    return _projected("tls", [_secret(secret, names.AUTHORITY, names.AUTHORITY, optional=True)])


def nats_volumes(cluster: MetricsCluster) -> list[Manifest]:
    """The login to NATS and what its servers are checked with; none where neither is wanted."""
    nats = cluster.spec.nats
    entry = names.NATS_PASSWORD if nats.username else names.NATS_CREDENTIALS
    wanted = ((nats.credentials_secret, entry), (nats.ca_secret, names.AUTHORITY))
    sources = [_secret(name, key, key) for name, key in wanted if name]
    return [_projected("nats", sources)] if sources else []


def api_server_volume() -> Manifest:
    """What it takes to ask the API server: a token of the part's ServiceAccount, and the authority of its certificate."""
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return _projected(
        "apiserver", [{"serviceAccountToken": {"expirationSeconds": 3600, "path": "token"}}, {"configMap": authority}]
    )


def scratch_volume(name: str, size: str) -> Manifest:
    """Space on the node that ends with the pod."""
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _secret(name: str, key: str, path: str, *, optional: bool = False) -> Manifest:
    found: Manifest = {"name": name, "items": [{"key": key, "path": path}]}
    return {"secret": found | ({"optional": True} if optional else {})}


def _projected(name: str, sources: list[Manifest]) -> Manifest:
    return {"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}
