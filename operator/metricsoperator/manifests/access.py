"""Who may do what, and who may talk to whom: ServiceAccounts, the Secret with the keys, NetworkPolicies.

No Role: agents need no right in the API server, and the store reads only its public keys, which Kubernetes allows to every
ServiceAccount (ClusterRole system:service-account-issuer-discovery).
"""

import base64
from dataclasses import dataclass
from typing import Any

from metricsoperator import names
from metricsoperator.manifests.metadata import Manifest, Site, metadata
from metricsoperator.spec import MetricsCluster
from metricwire import tokens


@dataclass(frozen=True, slots=True)
class Keys:
    """A generated pair and the tokens made with it; all texts."""

    private: str
    public: str
    admin_token: str
    agent_token: str


def new_keys(now: int) -> Keys:
    """A fresh pair, a token for administrators and one for agents that may only write; `now` in seconds."""
    private, public = tokens.new_pair()
    admin = tokens.sign(private, "admin", ["admin"], issued=now)
    return Keys(private, public, admin, tokens.sign(private, "agent", ["writer"], issued=now))


def service_account(cluster: MetricsCluster, component: str, site: Site) -> Manifest:
    """The identity of a part's pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(cluster, component, f"{cluster.name}-{component}", site),
        "automountServiceAccountToken": False,
    }


def key_secret(cluster: MetricsCluster, site: Site, keys: Keys) -> Manifest:
    """The Secret; it is made once and never written again."""
    entries = {
        names.PRIVATE_KEY: keys.private,
        names.PUBLIC_KEY: keys.public,
        names.ADMIN_TOKEN: keys.admin_token,
        names.AGENT_TOKEN: keys.agent_token,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(cluster, names.STORE, names.keys(cluster.name), site),
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in entries.items()},
    }


def network_policies(cluster: MetricsCluster, site: Site) -> list[Manifest]:
    """What may flow; all else to and from the pods is denied, where the network enforces it.

    To the store: agents, pods with the client label, pods of its namespace; everyone, where its Service is open to the outside.
    To an agent: every pod, as each may ask its node's agent. Out: names, the store, the API server's keys.
    """
    store, agent = (names.selector(cluster.name, component) for component in (names.STORE, names.AGENT))
    near = [{"podSelector": {}}, {"namespaceSelector": {}, "podSelector": {"matchLabels": {names.CLIENT_LABEL: "true"}}}]
    api: Manifest = {"ports": [_port(names.STORE_API_PORT)], "from": near}
    if cluster.spec.store.service.type != "ClusterIP":
        del api["from"]
    store_out = [_NAMES, {"ports": [_port(443), _port(6443)]}] if cluster.spec.auth.kubernetes else [_NAMES]
    agent_in = [
        {"ports": [_port(names.AGENT_API_PORT)], "from": [{"namespaceSelector": {}}]},
        {"ports": [_port(names.AGENT_METRICS_PORT)], "from": near},
    ]
    agent_out = [_NAMES, {"ports": [_port(names.STORE_API_PORT)], "to": [{"podSelector": {"matchLabels": store}}]}]
    return [
        _policy(cluster, names.STORE, site, store, [api, {"ports": [_port(names.STORE_OPS_PORT)], "from": near}], store_out),
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


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}


_NAMES: Manifest = {"ports": [_port(53, "UDP"), _port(53)]}
