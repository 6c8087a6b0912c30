"""A MetricsCluster to everything that shall exist, in the order in which it is applied. Pure."""

from metricsoperator import names
from metricsoperator.manifests import access, agent, config, monitors, store
from metricsoperator.manifests.metadata import Manifest, Site, fingerprint, stamped
from metricsoperator.spec import MetricsCluster


def plan(cluster: MetricsCluster, site: Site, claim_size: str = "", served: frozenset[str] = frozenset()) -> list[Manifest]:
    """All objects but the Secret, which is made once (`key_secret`): identities and settings first, then what uses them.

    `claim_size` is what the existing StatefulSet's claim template says, "" where there is none yet; `served` are the kinds of
    monitors that the API server has.
    """
    store_config = config.store_config(cluster, config.store_pod(cluster))
    knows_pods = bool(site.cluster_roles) and names.PODS in access.granted(cluster)
    agent_config = config.agent_config(cluster, config.agent_pod(cluster, knows_pods=knows_pods))
    size = claim_size or cluster.spec.store.storage.size
    manifests = [
        access.service_account(cluster, names.STORE, site),
        access.service_account(cluster, names.AGENT, site),
        *access.cluster_role_bindings(cluster, site),
        *access.network_policies(cluster, site),
        config.config_map(cluster, names.STORE, site, store_config),
        config.config_map(cluster, names.AGENT, site, agent_config),
        *store.services(cluster, site),
        agent.service(cluster, site),
        store.disruption_budget(cluster, site),
        store.stateful_set(cluster, site, fingerprint(store_config), size),
        agent.daemon_set(cluster, site, fingerprint(agent_config)),
        *monitors.monitors(cluster, site, served),
    ]
    return [stamped(manifest) for manifest in manifests]
