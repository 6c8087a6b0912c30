"""What store and agents are told about NATS. Both name the same things, and not always alike."""

from typing import Any

from metricsoperator import names
from metricsoperator.nats import Nats, Subscription
from metricsoperator.spec import MetricsCluster, Spec

_STORE_WORDS = {"credentials-file": "creds-file-path"}  # cc-metric-store's


def of_store(nats: Nats, directory: str) -> dict[str, str]:
    """The store's section `nats`; `directory` has the files of the login."""
    return {"address": nats.url} | {_STORE_WORDS.get(key, key): value for key, value in _login(nats, directory).items()}


def of_agent(spec: Spec, directory: str) -> dict[str, Any]:
    """The agent's section `nats`."""
    delivery = spec.node_agent.delivery
    said = {"url": spec.nats.url, "subject": delivery.subject, "acknowledged": delivery.acknowledged}
    return said | _login(spec.nats, directory)


def subscription(cluster: MetricsCluster, wanted: Subscription) -> dict[str, str]:
    """One of the store's; its consumer is this store's alone unless the resource says otherwise: `_` is in no other name."""
    made = {"subscribe-to": wanted.subject, "cluster-tag": wanted.cluster or cluster.cluster}
    if wanted.stream:
        made |= {"stream": wanted.stream, "durable": wanted.durable or f"{cluster.namespace}_{cluster.name}"}
    return made


def _login(nats: Nats, directory: str) -> dict[str, str]:
    """Who we are, and how we check who the server is, as the agent names it."""
    login = {}
    if nats.username:
        login = {"username": nats.username, "password-file": f"{directory}/{names.NATS_PASSWORD}"}
    elif nats.credentials_secret:
        login = {"credentials-file": f"{directory}/{names.NATS_CREDENTIALS}"}
    return login | ({"ca-file": f"{directory}/{names.AUTHORITY}"} if nats.ca_secret else {})
