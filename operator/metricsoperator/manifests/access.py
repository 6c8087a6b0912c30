"""Who may do what, and who may talk to whom: ServiceAccounts and what they are granted, the Secret with the keys,
NetworkPolicies.

The chart's ClusterRoles are bound where they are used: agents list and watch pods, whose names containers have; store and
agents ask what RBAC permits the ServiceAccount whose token they are shown. The API server's public keys, with which such tokens
are checked, may be read by every ServiceAccount (ClusterRole system:service-account-issuer-discovery).
"""

import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from metricsoperator import names
from metricsoperator.agents import StatsD
from metricsoperator.manifests.metadata import Manifest, Site, cluster_metadata, metadata
from metricsoperator.spec import MetricsCluster
from metricwire import tokens

NATS_PORT = 4222


@dataclass(frozen=True, slots=True)
class Keys:
    """A generated pair, the tokens made with it, and a pair for login tokens; all texts."""

    private: str
    public: str
    admin_token: str
    agent_token: str
    login_private: str
    login_public: str


def new_keys(now: int) -> Keys:
    """Fresh pairs and what is signed with them; `now` in seconds. Takes 0.1 s or so."""
    private, public = tokens.new_pair()
    return Keys(private, public, *own_tokens(private, now), *tokens.new_login_pair())


def own_tokens(private: str, now: int) -> tuple[str, str]:
    """A token for administrators, and one for agents, that may only write."""
    return tokens.sign(private, "admin", ["admin"], issued=now), tokens.sign(private, "agent", ["writer"], issued=now)


def service_account(cluster: MetricsCluster, component: str, site: Site) -> Manifest:
    """The identity of a part's pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(cluster, component, f"{cluster.name}-{component}", site),
        "automountServiceAccountToken": False,
    }


def granted(cluster: MetricsCluster) -> dict[str, tuple[str, ...]]:
    """The rights in the whole cluster that this MetricsCluster uses, and which of its parts use each."""
    node = cluster.spec.node_agent
    used = {
        names.PODS: (names.AGENT,) if node.measures_containers or node.statsd.enabled or node.scrape.enabled else (),
        names.REVIEWS: (names.STORE, names.AGENT) if cluster.spec.auth.kubernetes else (),
    }
    return {right: parts for right, parts in used.items() if parts}


def cluster_role_bindings(cluster: MetricsCluster, site: Site) -> list[Manifest]:
    """One for each right; none where the operator has no ClusterRoles to bind."""
    rights = granted(cluster) if site.cluster_roles else {}
    return [_binding(cluster, site, names.cluster_role(site.cluster_roles, right), parts) for right, parts in rights.items()]


def _binding(cluster: MetricsCluster, site: Site, role: str, parts: tuple[str, ...]) -> Manifest:
    name = names.cluster_binding(cluster.name, cluster.namespace, role)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": cluster_metadata(cluster, parts[-1], name, site),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": f"{cluster.name}-{part}", "namespace": cluster.namespace} for part in parts
        ],
    }


def key_secret(cluster: MetricsCluster, site: Site, keys: Keys) -> Manifest:
    """The Secret, as it is made; later only a rotation writes it (metricsoperator.rotation)."""
    entries = {
        names.PRIVATE_KEY: keys.private,
        names.PUBLIC_KEY: keys.public,
        names.ADMIN_TOKEN: keys.admin_token,
        names.AGENT_TOKEN: keys.agent_token,
        names.LOGIN_PRIVATE_KEY: keys.login_private,
        names.LOGIN_PUBLIC_KEY: keys.login_public,
        names.OTHER_PUBLIC_KEY: keys.public,
        names.OTHER_LOGIN_PRIVATE_KEY: keys.login_private,
        names.OTHER_LOGIN_PUBLIC_KEY: keys.login_public,
    }
    about = metadata(cluster, names.STORE, names.keys(cluster.name), site)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": about | {"annotations": {names.KEYS_ANNOTATION: generation(cluster.spec.auth.keys.generation)}},
        "type": "Opaque",
        "data": encoded(entries),
    }


def generation(number: int) -> str:
    """The annotation that says which keys are in the Secret, while none are rotated."""
    return f'{{"generation":{number}}}'


def encoded(entries: dict[str, str]) -> dict[str, str]:
    """Entries of a Secret as its `data` has them."""
    return {name: base64.b64encode(text.encode()).decode() for name, text in entries.items()}


def network_policies(cluster: MetricsCluster, site: Site) -> list[Manifest]:
    """What may flow; all else to and from the pods is denied, where the network enforces it.

    To the store: agents, pods with the client label, pods of its namespace; everyone, where its Service is open to the outside.
    To an agent: every pod, as each may ask its node's agent and send it StatsD; everyone, where that port is the host's. To the
    metrics ports: pods of Prometheus too. Out: names, the store, the API server where its keys or the pods are read,
    NATS where it is used, every pod where pods are scraped.
    """
    store, agent = (names.selector(cluster.name, component) for component in (names.STORE, names.AGENT))
    near = [{"podSelector": {}}, {"namespaceSelector": {}, "podSelector": {"matchLabels": {names.CLIENT_LABEL: "true"}}}]
    api: Manifest = {"ports": [_port(names.STORE_API_PORT)], "from": near}
    if cluster.spec.store.service.type != "ClusterIP":
        del api["from"]
    metrics_from = [*near, *_namespaces(cluster.spec.prometheus.namespaces)]
    store_out = [_NAMES]
    if cluster.spec.auth.kubernetes:
        store_out.append(_API_SERVER)
    if cluster.spec.nats.subscriptions:
        store_out.append(_nats(cluster.spec.nats.url))
    agent_in = [
        {"ports": [_port(names.AGENT_API_PORT)], "from": [{"namespaceSelector": {}}]},
        {"ports": [_port(names.AGENT_METRICS_PORT)], "from": metrics_from},
        *_statsd(cluster.spec.node_agent.statsd),
    ]
    to_store = {"ports": [_port(names.STORE_API_PORT)], "to": [{"podSelector": {"matchLabels": store}}]}
    agent_out = [_NAMES, to_store if cluster.spec.node_agent.delivery.by == "HTTP" else _nats(cluster.spec.nats.url)]
    if granted(cluster):
        agent_out.append(_API_SERVER)
    if cluster.spec.node_agent.scrape.enabled:
        agent_out.append({"to": [{"namespaceSelector": {}}]})  # a pod names its port itself
    return [
        _policy(
            cluster, names.STORE, site, store, [api, {"ports": [_port(names.STORE_OPS_PORT)], "from": metrics_from}], store_out
        ),
        _policy(cluster, names.AGENT, site, agent, agent_in, agent_out),
    ]


def _policy(
    cluster: MetricsCluster, component: str, site: Site, selector: Manifest, ingress: list[Any], egress: list[Any]
) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, component, f"{cluster.name}-{component}", site),
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _statsd(wanted: StatsD) -> list[Manifest]:
    """Who may send StatsD: pods; by the host's port whoever reaches the node, whose addresses no selector names."""
    if not wanted.enabled:
        return []
    flow: Manifest = {"ports": [_port(wanted.port, "UDP")]}
    return [flow if wanted.host_port else flow | {"from": [{"namespaceSelector": {}}]}]


def _namespaces(wanted: tuple[str, ...]) -> list[Manifest]:
    """All pods of these namespaces; the label is Kubernetes' own."""
    if not wanted:
        return []
    named = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(wanted)}
    return [{"namespaceSelector": {"matchExpressions": [named]}}]


def _nats(url: str) -> Manifest:
    """To the servers' ports, wherever they are."""
    return {"ports": [_port(number) for number in sorted({urlsplit(one).port or NATS_PORT for one in url.split(",")})]}


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}


_NAMES: Manifest = {"ports": [_port(53, "UDP"), _port(53)]}
_API_SERVER: Manifest = {"ports": [_port(443), _port(6443)]}
