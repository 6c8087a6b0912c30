from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import yaml

from metricagent import settings as agent_settings
from metricagent.collectors import COLLECTORS
from metricsoperator import names
from metricsoperator.manifests import config
from metricsoperator.manifests.access import Keys, key_secret
from metricsoperator.manifests.metadata import Manifest, Site
from metricsoperator.plan import plan
from metricstore import settings as store_settings
from metricwire.catalog import METRICS

from .conftest import FULL, SITE, cluster

KEYS = Keys("private", "public", "admin", "agent", "login private", "login public")


def objects(spec: dict[str, Any] | None = None, site: Site = SITE) -> dict[str, Manifest]:
    return {f"{m['kind']}/{m['metadata']['name']}": m for m in plan(cluster(spec), site)}


def template(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]
    return found


@pytest.mark.parametrize(("name", "spec"), [("minimal", {}), ("full", FULL)])
def test_golden(name: str, spec: dict[str, Any], golden: Callable[[str, str], None]) -> None:
    made = [*plan(cluster(spec), SITE), key_secret(cluster(spec), SITE, KEYS)]
    golden(f"manifests/{name}.yaml", yaml.safe_dump_all(made, sort_keys=False, width=128))


def test_manifests_are_json() -> None:
    """What the API server answers is compared with what we made: only JSON's own types compare equal."""
    made = plan(cluster(FULL), SITE)
    assert msgspec.json.decode(msgspec.json.encode(made)) == made


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_every_object_is_owned_and_labelled(spec: dict[str, Any]) -> None:
    for manifest in [*plan(cluster(spec), SITE), key_secret(cluster(spec), SITE, KEYS)]:
        about = manifest["metadata"]
        if "namespace" not in about:
            assert manifest["kind"] == "ClusterRoleBinding"
            assert about["labels"]["metricscluster.io/namespace"] == "monitoring"
            continue
        assert [(owner["kind"], owner["controller"]) for owner in about["ownerReferences"]] == [("MetricsCluster", True)]
        assert about["labels"]["app.kubernetes.io/managed-by"] == names.FIELD_MANAGER


def test_selectors_are_frozen() -> None:
    """They cannot be changed in a running cluster: a change here breaks every installation."""
    for key in ("StatefulSet/fritz-store", "DaemonSet/fritz-agent"):
        for spec in ({}, FULL):
            manifest = objects(spec)[key]
            assert manifest["spec"]["selector"]["matchLabels"] == {
                "app.kubernetes.io/name": "metricscluster",
                "app.kubernetes.io/instance": "fritz",
                "app.kubernetes.io/component": key.rsplit("-", 1)[1],
            }
            labels = template(manifest)["metadata"]["labels"]
            assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("key", ["StatefulSet/fritz-store", "DaemonSet/fritz-agent"])
def test_pods_are_restricted(key: str) -> None:
    pod = template(objects()[key])["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys() & container["resources"]["limits"].keys()
        assert not any("token" in str(env).lower() or "key" in env["name"].lower() for env in container.get("env", []))


def test_only_the_agent_has_host_mounts_and_they_are_read_only() -> None:
    for key, manifest in objects().items():
        if "template" not in manifest.get("spec", {}):
            continue
        pod = template(manifest)["spec"]
        host = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
        assert host == ({"proc": "/proc", "sys": "/sys", "root": "/"} if key.startswith("DaemonSet") else {})
        assert all(mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] in host)


def test_only_the_public_key_reaches_a_pod() -> None:
    for spec in ({}, FULL):
        text = yaml.safe_dump_all(plan(cluster(spec), SITE))
        assert names.PRIVATE_KEY not in text
        assert names.ADMIN_TOKEN not in text


def test_login_keys_and_users_reach_those_who_need_them() -> None:
    made = objects({"auth": {"loginUsers": {"secretName": "who"}, "loginKeys": [{"secretName": "new"}, {"secretName": "old"}]}})
    found = {}
    for key in ("StatefulSet/fritz-store", "DaemonSet/fritz-agent"):
        volumes = {volume["name"]: volume for volume in template(made[key])["spec"]["volumes"]}
        sources = [source["secret"] for source in volumes["keys"]["projected"]["sources"]]
        sources = [source for source in sources if source["name"] != "fritz-keys"]
        found[key] = [(source["name"], source["items"][0]["key"]) for source in sources], "users" in volumes
    assert found == {
        "StatefulSet/fritz-store": ([("new", "login-private.pem"), ("old", "login-private.pem")], True),
        "DaemonSet/fritz-agent": ([("new", "login-public.pem"), ("old", "login-public.pem")], False),
    }


def test_a_change_of_settings_rolls_the_part_concerned_alone() -> None:
    before, after = objects(), objects({"nodeAgent": {"collectors": {"cpu": False}}})
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"ConfigMap/fritz-agent", "DaemonSet/fritz-agent"}


def bound(spec: dict[str, Any]) -> dict[str, set[str]]:
    """Right -> the ServiceAccounts that have it."""
    made = [manifest for manifest in plan(cluster(spec), SITE) if manifest["kind"] == "ClusterRoleBinding"]
    return {
        binding["roleRef"]["name"].removeprefix("monitoring-metricscluster-"): {who["name"] for who in binding["subjects"]}
        for binding in made
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"pods": {"fritz-agent"}, "reviews": {"fritz-store", "fritz-agent"}}),
        ({"auth": {"kubernetes": False}}, {"pods": {"fritz-agent"}}),
        (
            {"nodeAgent": {"containers": {"enabled": False}}},
            {"pods": {"fritz-agent"}, "reviews": {"fritz-store", "fritz-agent"}},
        ),
        ({"auth": {"kubernetes": False}, "nodeAgent": {"containers": {"enabled": False}, "statsd": {"enabled": False}}}, {}),
    ],
)
def test_rights_are_bound_where_they_are_used(spec: dict[str, Any], expected: dict[str, set[str]]) -> None:
    assert bound(spec) == expected
    pod = template(objects(spec)["DaemonSet/fritz-agent"])["spec"]
    assert ("apiserver" in {volume["name"] for volume in pod["volumes"]}) == bool(expected)


def test_nothing_is_bound_without_roles() -> None:
    assert not [key for key in objects(site=Site("r", "t")) if key.startswith("ClusterRoleBinding")]


def test_bindings_of_two_resources_never_have_one_name() -> None:
    assert names.cluster_binding("b", "a-x", "r") != names.cluster_binding("x-b", "a", "r")


@pytest.mark.parametrize(
    ("statsd", "port"),
    [
        ({}, {"name": "statsd", "containerPort": 8125, "protocol": "UDP"}),
        ({"port": 9125, "hostPort": True}, {"name": "statsd", "containerPort": 9125, "protocol": "UDP", "hostPort": 9125}),
        ({"enabled": False}, None),
    ],
)
def test_statsd_is_open_where_it_is_wanted(statsd: dict[str, Any], port: dict[str, Any] | None) -> None:
    made = objects({"nodeAgent": {"statsd": statsd}})
    ports = template(made["DaemonSet/fritz-agent"])["spec"]["containers"][0]["ports"]
    service = made["Service/fritz-agent"]["spec"]
    assert service["internalTrafficPolicy"] == "Local"
    udp = [found for rule in made["NetworkPolicy/fritz-agent"]["spec"]["ingress"] for found in rule["ports"]][2:]
    assert [found for found in ports if found["protocol"] == "UDP"] == ([port] if port else [])
    assert [found["port"] for found in service["ports"] if found["protocol"] == "UDP"] == [found["port"] for found in udp]
    assert [found["port"] for found in udp] == ([port["containerPort"]] if port else [])


def test_files_of_the_node_are_read_below_its_root() -> None:
    made = cluster({"nodeAgent": {"textfile": {"directory": "/var/lib/node_exporter"}}})
    found = config.agent_config(made, config.agent_pod(made, knows_pods=True))
    assert found["textfile"] == {"directory": "/host/root/var/lib/node_exporter"}


def test_an_agent_that_may_not_list_pods_does_not_try() -> None:
    for spec, site in (
        ({}, Site("r", "t")),
        ({"nodeAgent": {"containers": {"enabled": False}, "statsd": {"enabled": False}}}, SITE),
    ):
        text = objects(spec, site)["ConfigMap/fritz-agent"]["data"]["config.json"]
        assert "pods" not in msgspec.json.decode(text)


def test_pods_may_be_scraped_where_it_is_wanted() -> None:
    for wanted in (False, True):
        made = objects({"nodeAgent": {"scrape": {"enabled": wanted}}})
        assert ({"to": [{"namespaceSelector": {}}]} in made["NetworkPolicy/fritz-agent"]["spec"]["egress"]) == wanted
        assert ('"scrape"' in made["ConfigMap/fritz-agent"]["data"]["config.json"]) == wanted


def test_gpus_are_seen_by_their_runtime() -> None:
    pod = template(objects({"nodeAgent": {"nvidia": {"runtimeClassName": "nvidia"}}})["DaemonSet/fritz-agent"])["spec"]
    assert pod["runtimeClassName"] == "nvidia"
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in pod["containers"][0]["env"]


def test_store_memory_limit_is_a_quarter_more() -> None:
    resources = template(objects({"store": {"limits": {"memory": "1Gi"}}})["StatefulSet/fritz-store"])["spec"]["containers"][0][
        "resources"
    ]
    assert int(resources["limits"]["memory"]) == int(resources["requests"]["memory"]) * 5 // 4


def test_existing_claim_template_is_kept() -> None:
    made = plan(cluster({"store": {"storage": {"size": "30Gi"}}}), SITE, "10Gi")
    sizes = [m["spec"]["volumeClaimTemplates"][0]["spec"]["resources"] for m in made if m["kind"] == "StatefulSet"]
    assert sizes == [{"requests": {"storage": "10Gi"}}]


def test_names_fit_into_kubernetes_limits() -> None:
    longest = "a" * 40
    assert len(names.store_headless(longest)) <= 63
    assert len(names.store(longest)) <= 52  # a StatefulSet's: its pods carry a label of the name and a hash


def test_mount_propagation_is_the_sites() -> None:
    mounts = template(objects(site=Site("r", "t", "None"))["DaemonSet/fritz-agent"])["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPropagation"] for mount in mounts if mount["name"] == "root"] == ["None"]


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_store_takes_its_settings(spec: dict[str, Any]) -> None:
    made = config.store_config(cluster(spec), config.store_pod(cluster(spec)))
    found, unknown = store_settings.load(made, "config.json")
    assert not unknown
    assert found.metric_store.cluster == cluster(spec).cluster
    assert found.metrics.keys() >= {metric.name for metric in METRICS}
    assert (found.metric_store.kubernetes is not None) == cluster(spec).spec.auth.kubernetes
    assert (found.metric_store.login is not None) == bool(cluster(spec).spec.auth.login_users.secret_name)


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_agent_takes_its_settings(spec: dict[str, Any]) -> None:
    made = config.agent_config(cluster(spec), config.agent_pod(cluster(spec), knows_pods=True))
    found = agent_settings.parse(msgspec.json.encode(made), "config.json")
    assert found.store is not None
    assert found.store.url == cluster(spec).store_url
    assert found.store.url.startswith("https:" if cluster(spec).spec.store.tls.secret_name else "http:")
    assert found.collectors.keys() == {*COLLECTORS, "containers"}
    assert found.pods is not None
    assert found.pods.labels == cluster(spec).spec.node_agent.containers.labels
    assert found.statsd is not None
    assert (found.api.kubernetes is not None) == cluster(spec).spec.auth.kubernetes


@pytest.mark.parametrize(
    ("spec", "statsd", "scrape"),
    [
        ({"nodeAgent": {"scrape": {"enabled": True}}}, 128 * 2000, 256 * 1000),
        ({"nodeAgent": {"statsd": {"seriesPerPod": 10}, "scrape": {"enabled": True, "seriesPerPod": 10}}}, 1280, 2560),
        ({"nodeAgent": {"statsd": {"bytesPerPod": 99}, "scrape": {"enabled": True, "bytesPerPod": 77}}}, 99, 77),
    ],
    ids=["default", "by series", "named"],
)
def test_bytes_of_a_pod_are_limited(spec: dict[str, Any], statsd: int, scrape: int) -> None:
    made = config.agent_config(cluster(spec), config.agent_pod(cluster(spec), knows_pods=True))
    found = agent_settings.parse(msgspec.json.encode(made), "config.json")
    assert found.statsd is not None
    assert (found.statsd.bytes_of_pod, found.scrape.bytes_of_pod) == (statsd, scrape)


def test_metrics_of_the_resource_override_the_catalogue() -> None:
    known = config.metrics(cluster(FULL))
    assert known["flops_any"] == {"frequency": 60, "aggregation": "sum", "unit": "F/s"}
    assert known["cpu_user"] == {"frequency": 30, "aggregation": None}
    assert known["cpu_system"] == {"frequency": 30, "aggregation": "avg"}
