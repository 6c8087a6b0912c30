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

KEYS = Keys("private", "public", "admin", "agent")


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


def test_a_change_of_settings_rolls_the_part_concerned_alone() -> None:
    before, after = objects(), objects({"nodeAgent": {"collectors": {"cpu": False}}})
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"ConfigMap/fritz-agent", "DaemonSet/fritz-agent"}


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


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_agent_takes_its_settings(spec: dict[str, Any]) -> None:
    made = config.agent_config(cluster(spec), config.agent_pod(cluster(spec)))
    found = agent_settings.parse(msgspec.json.encode(made), "config.json")
    assert found.store.url == "http://fritz-store.monitoring.svc:8082"
    assert found.collectors.keys() == COLLECTORS.keys()


def test_metrics_of_the_resource_override_the_catalogue() -> None:
    known = config.metrics(cluster(FULL))
    assert known["flops_any"] == {"frequency": 60, "aggregation": "sum"}
    assert known["cpu_user"] == {"frequency": 30, "aggregation": None}
    assert known["cpu_system"] == {"frequency": 30, "aggregation": "avg"}
