"""TLS and NATS in what the operator makes: files, settings, who may connect to what."""

from typing import Any

import msgspec
import pytest

from metricagent import settings as agent_settings
from metricstore import settings as store_settings

from .test_plan import objects, template

TLS = {"store": {"tls": {"secretName": "store-tls"}}}
NATS: dict[str, Any] = {"nats": {"url": "nats://nats:4223", "subscriptions": [{"subject": "hpc-nats", "stream": "METRICS"}]}}
BY_NATS = NATS | {"nodeAgent": {"delivery": {"by": "NATS", "subject": "hpc-nats"}}}
STORE, AGENT = "StatefulSet/fritz-store", "DaemonSet/fritz-agent"


def mounts(spec: dict[str, Any], key: str) -> dict[str, str]:
    """Folder -> volume, of the one container."""
    pod = template(objects(spec)[key])["spec"]
    found = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"]} | {"data"} == {*found.values(), "data"}, "a volume that nobody mounts"
    return found


def store_config(spec: dict[str, Any]) -> store_settings.Settings:
    text = objects(spec)["ConfigMap/fritz-store"]["data"]["config.json"]
    found, unknown = store_settings.load(msgspec.json.decode(text), "config.json")
    assert not unknown
    return found


def agent_config(spec: dict[str, Any]) -> agent_settings.AgentSettings:
    return agent_settings.parse(objects(spec)["ConfigMap/fritz-agent"]["data"]["config.json"].encode(), "config.json")


def egress(spec: dict[str, Any], part: str) -> list[int]:
    rules = objects(spec)[f"NetworkPolicy/fritz-{part}"]["spec"]["egress"]
    return sorted({port["port"] for rule in rules for port in rule["ports"]})


def test_the_store_has_certificate_and_key_and_agents_what_they_check_it_with() -> None:
    store, agent = store_config(TLS), agent_config(TLS)
    assert (store.main.https_cert_file, store.main.https_key_file) == (
        "/etc/metricscluster/tls/tls.crt",
        "/etc/metricscluster/tls/tls.key",
    )
    assert agent.store is not None
    assert agent.store.url == "https://fritz-store.monitoring.svc:8082"
    assert (agent.store.ca_file, agent.store.ca_optional) == ("/etc/metricscluster/tls/ca.crt", True)
    volumes = [volume for volume in template(objects(TLS)[AGENT])["spec"]["volumes"] if volume["name"] == "tls"]
    items = [source["secret"]["items"] for source in volumes[0]["projected"]["sources"]]
    assert items == [[{"key": "ca.crt", "path": "ca.crt"}]], "the key is the store's alone"


def test_probes_and_services_do_not_notice_tls() -> None:
    before, after = objects(), objects(TLS)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"ConfigMap/fritz-store", "ConfigMap/fritz-agent", STORE, AGENT}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        container = template(after[STORE])["spec"]["containers"][0]
        assert container[probe]["httpGet"]["port"] == "ops"
    assert "tls" not in mounts({}, STORE).values()
    assert mounts(TLS, STORE)["/etc/metricscluster/tls"] == mounts(TLS, AGENT)["/etc/metricscluster/tls"] == "tls"


def test_the_store_takes_from_nats() -> None:
    made = store_config(NATS)
    assert made.nats.address == "nats://nats:4223"
    (subscription,) = made.metric_store.nats_subscriptions
    assert subscription.subscribe_to == "hpc-nats"
    assert subscription.cluster_tag == "fritz"
    assert (subscription.stream, subscription.durable) == ("METRICS", "monitoring_fritz")
    assert egress(NATS, "store") == [53, 443, 4223, 6443]
    assert 4223 not in egress(NATS, "agent")
    assert "/etc/metricscluster/nats" not in mounts(NATS, STORE)


@pytest.mark.parametrize(
    ("login", "store", "agent", "entries"),
    [
        ({}, {}, {}, []),
        (
            {"credentialsSecret": "login"},
            {"creds_file_path": "/etc/metricscluster/nats/nats.creds"},
            {"credentials_file": "/etc/metricscluster/nats/nats.creds"},
            [("login", "nats.creds")],
        ),
        (
            {"credentialsSecret": "login", "username": "me", "caSecret": "ca"},
            {
                "username": "me",
                "password_file": "/etc/metricscluster/nats/password",
                "ca_file": "/etc/metricscluster/nats/ca.crt",
            },
            {
                "username": "me",
                "password_file": "/etc/metricscluster/nats/password",
                "ca_file": "/etc/metricscluster/nats/ca.crt",
            },
            [("login", "password"), ("ca", "ca.crt")],
        ),
    ],
)
def test_login_to_nats(
    login: dict[str, str], store: dict[str, str], agent: dict[str, str], entries: list[tuple[str, str]]
) -> None:
    spec = BY_NATS | {"nats": BY_NATS["nats"] | login}
    said = store_config(spec).nats
    assert {name: getattr(said, name) for name in store} == store
    delivery = agent_config(spec).nats
    assert delivery is not None
    assert {name: getattr(delivery, name) for name in agent} == agent
    for key in (STORE, AGENT):
        volumes = [volume for volume in template(objects(spec)[key])["spec"]["volumes"] if volume["name"] == "nats"]
        sources = [source["secret"] for volume in volumes for source in volume["projected"]["sources"]]
        assert [(source["name"], source["items"][0]["key"]) for source in sources] == entries
        assert ("/etc/metricscluster/nats" in mounts(spec, key)) == bool(entries)


def test_agents_that_deliver_by_nats_have_no_token_for_the_store() -> None:
    made = agent_config(BY_NATS)
    assert made.store is None
    assert made.nats is not None
    assert (made.nats.url, made.nats.subject, made.nats.acknowledged) == ("nats://nats:4223", "hpc-nats", True)
    assert "token" not in mounts(BY_NATS, AGENT).values()
    assert egress(BY_NATS, "agent") == [53, 443, 4223, 6443]
    assert 8082 in egress({}, "agent")


def test_servers_without_a_port_have_the_usual_one() -> None:
    assert 4222 in egress({"nats": {"url": "nats://a,tls://b:4444", "subscriptions": [{"subject": "x"}]}}, "store")
    assert 4444 in egress({"nats": {"url": "nats://a,tls://b:4444", "subscriptions": [{"subject": "x"}]}}, "store")
