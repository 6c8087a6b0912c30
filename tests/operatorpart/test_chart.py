"""The chart: its values, what it renders with them, and that it is the operator's own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from charts import ALL, CHART, ENVIRONMENT, FIRST, MINIMAL, ROOT, needs, objects, render, run, template
from dashboards import resource
from dashboards.values import values
from metricsoperator import names, settings
from metricsoperator.kinds import cluster_rules, granted, rules
from metricwire import __version__

from .conftest import FULL

TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
KINDS = (
    "metricscluster.io/v1alpha1/MetricsCluster",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)
KNOWN = [argument for kind in KINDS for argument in ("--api-versions", kind)]


def keys(given: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Every value the schema knows, and whether values.yaml has it."""
    for name, inner in schema.get("properties", {}).items():
        if name != "global":
            yield f"{path}{name}", name in given
            yield from keys(given.get(name, {}), inner, f"{path}{name}.")


def test_values_and_schema_know_the_same() -> None:
    freely = ("operator.resources.claims", "operator.affinity.")  # what Kubernetes has there, and we have no default of
    assert [path for path, there in keys(VALUES, SCHEMA) if not there and not path.startswith(freely)] == []
    jsonschema.validate(VALUES, SCHEMA)


def test_every_value_is_documented() -> None:
    found = {value.path: value for value in values(TEXT, VALUES)}
    known = {path for path, _ in keys(VALUES, SCHEMA)}
    assert {path for path in known if path.split(".")[0] in VALUES and path.count(".") < 2} - found.keys() <= VALUES.keys()
    assert [path for path, value in found.items() if not value.meaning] == []
    page = (CHART / "README.md").read_text()
    assert [path for path in found if f"| `{path}` |" not in page] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": {"tag": "a b"}},
        {"image": {"registry": "ghcr.io/metricscluster/"}},
        {"image": {"digest": "latest"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"image": {"pullSecrets": ["regcred"]}},
        {"operator": {"logLevel": "debug"}},
        {"operator": {"resyncSeconds": 0}},
        {"operator": {"replicas": 2}},
        {"operator": {"resources": {"limit": {}}}},
        {"metricsCluster": {"name": "Fritz"}},
        {"metricsCluster": {"name": "a" * 41}},
        {"metricsCluster": {"spec": {"store": {"storge": {}}}}},
        {"metricsCluster": {"spec": {"store": {"storage": {"size": "10 GB"}}}}},
        {"metricsCluster": {"spec": {"store": {"limits": {"series": 1}}}}},
        {"metricsCluster": {"spec": {"metrics": [{"frequency": "10s"}]}}},
        {"metricsCluster": {"spec": {"nodeAgent": None}}},
        {"podMonitor": {"enabled": True}},
        {"podMonitor": {"interval": "30"}},
        {"alerts": {"as": "Secret"}},
        {"dashboards": {"labels": {"a": 1}}},
        {"tests": {"metricsCluster": "-"}},
        {"watch": {"namespaces": []}},
        {"unknown": 1},
    ],
    ids=json.dumps,
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_specs_that_are_right_are_taken() -> None:
    for spec in ({}, FULL, {"store": {"pod": {"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}}}):
        jsonschema.validate({"metricsCluster": {"spec": spec}}, SCHEMA)


def test_version_is_the_packages() -> None:
    assert ABOUT["version"] == ABOUT["appVersion"] == __version__


def test_what_artifact_hub_is_told() -> None:
    told = {name.removeprefix("artifacthub.io/"): text for name, text in ABOUT["annotations"].items()}
    images = {entry["name"]: entry["image"] for entry in yaml.safe_load(told["images"])}
    registry = VALUES["image"]["registry"]
    assert images == {part: f"{registry}/metricscluster-{part}:{__version__}" for part in ("operator", "store", "agent")}
    (entry,) = yaml.safe_load(told["crds"])
    assert (entry["kind"], entry["version"], entry["name"]) == (names.KIND, names.VERSION, f"{names.PLURAL}.{names.GROUP}")
    for example in yaml.safe_load(told["crdsExamples"]):
        jsonschema.validate(example["spec"], resource.definitions()["spec"])
    assert all(entry["kind"] in {"added", "changed", "fixed", "removed"} for entry in yaml.safe_load(told["changes"]))


def test_default_registry_is_the_operators() -> None:
    assert VALUES["image"]["registry"] == settings.Settings().registry


helm = needs("helm")


@helm
def test_lint() -> None:
    run("helm", "lint", "--strict", CHART)


@helm
@pytest.mark.parametrize(
    ("name", "arguments"), [("default", []), ("all", [*ALL, *KNOWN]), ("minimal", MINIMAL), ("first", FIRST)]
)
def test_golden(name: str, arguments: list[str], golden: Callable[[str, str], None]) -> None:
    """What is a file of its own is not shown again."""
    made = [found for found in render(*arguments) if found["kind"] != "CustomResourceDefinition"]
    for found in made:
        if found["kind"] == "ConfigMap":
            found["data"] = dict.fromkeys(found["data"], "...")
        if found["kind"] == "PrometheusRule":
            found["spec"] = "..."
        if found["kind"] == "Pod":
            found["spec"]["containers"][0]["args"][0] = "..."
    golden(f"chart/{name}.yaml", yaml.safe_dump_all(made, sort_keys=False, width=128))


def of_kind(kind: str, *arguments: str) -> list[dict[str, Any]]:
    return [found for found in render(*arguments) if found["kind"] == kind]


@helm
def test_rights_in_one_namespace_are_a_role() -> None:
    (role,) = of_kind("Role")
    assert role["rules"] == rules()
    assert [binding["roleRef"]["name"] for binding in of_kind("RoleBinding")] == [role["metadata"]["name"]]


@helm
def test_all_namespaces_need_a_cluster_role() -> None:
    made = render("--set", "watch.allNamespaces=true", "--set", "crds.install=false")
    assert not {"Role", "RoleBinding", "CustomResourceDefinition"} & {found["kind"] for found in made}
    roles = {found["metadata"]["name"]: found["rules"] for found in made if found["kind"] == "ClusterRole"}
    assert roles["monitoring-metricscluster-operator"] == rules()
    bound = {found["roleRef"]["name"] for found in made if found["kind"] == "ClusterRoleBinding"}
    assert bound == {"monitoring-metricscluster-operator", "monitoring-metricscluster-bindings"}


@helm
def test_without_rights_in_the_cluster_nothing_is_beyond_the_namespace() -> None:
    made = render("--set", "clusterRights=false")
    assert [found["kind"] for found in made if "namespace" not in found["metadata"]] == ["CustomResourceDefinition"]
    assert read_by_operator(made).cluster_roles == ""


@helm
def test_roles_that_the_operator_binds_are_there() -> None:
    made = {found["metadata"]["name"]: found["rules"] for found in of_kind("ClusterRole")}
    for right, wanted in granted().items():
        assert made[names.cluster_role("monitoring-metricscluster", right)] == wanted
    assert made["monitoring-metricscluster-bindings"] == cluster_rules()


def container(made: list[dict[str, Any]]) -> dict[str, Any]:
    deployment = next(found for found in made if found["kind"] == "Deployment")
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def read_by_operator(made: list[dict[str, Any]]) -> settings.Settings:
    return settings.read([], {env["name"]: env["value"] for env in container(made)["env"]})


@helm
def test_environment_is_what_the_operator_reads() -> None:
    made = render()
    assert read_by_operator(made) == settings.Settings(namespace="monitoring", cluster_roles="monitoring-metricscluster")
    given = {env["name"] for env in container(made)["env"]}
    assert given == {variable for _, variable, _ in settings.OPTIONS.values()} - {"METRICSOPERATOR_HEALTH_PORT"}
    assert [port["containerPort"] for port in container(made)["ports"]] == [settings.Settings().health_port]


@helm
def test_a_digest_decides_which_image_runs() -> None:
    digest = f"sha256:{'01' * 32}"
    assert container(render("--set", f"image.digest={digest}"))["image"].endswith(f":{__version__}@{digest}")
    assert read_by_operator(render("--set", f"image.digest={digest}")).tag == __version__


@helm
@pytest.mark.parametrize("tag", ["_dev", "1.2.", f"sha-{'0' * 40}-branch-of-somebody-with-more-to-say", "_"])
def test_what_is_a_tag_and_no_label_is_made_one(tag: str) -> None:
    """As the operator does with that of a MetricsCluster."""
    made = render("--set-string", f"image.tag={tag}", *FIRST)
    labels = [found["metadata"].get("labels", {}) for found in made]
    found = {one["app.kubernetes.io/version"] for one in labels if "app.kubernetes.io/version" in one}
    assert found == {tag[:63].strip("-_.")}
    assert read_by_operator(made).tag == tag


@helm
def test_monitors_and_rules_come_where_they_are_known() -> None:
    kinds = {"PodMonitor", "PrometheusRule"}
    assert not kinds & {found["kind"] for found in render()}
    assert kinds <= {found["kind"] for found in render(*KNOWN)}
    assert not kinds & {
        found["kind"] for found in render(*KNOWN, "--set", "podMonitor.enabled=Never", "--set", "alerts.as=None")
    }
    (rules,) = of_kind("PrometheusRule", "--set", "alerts.as=PrometheusRule")
    assert rules["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    (texts,) = [
        found["data"] for found in of_kind("ConfigMap", "--set", "alerts.as=ConfigMap", "--set", "dashboards.enabled=false")
    ]
    assert yaml.safe_load(texts["alerts.yaml"]) == rules["spec"]


@helm
def test_dashboards_are_the_files() -> None:
    made = {name: json.loads(text) for found in of_kind("ConfigMap") for name, text in found["data"].items()}
    files = {
        f"metricscluster-{path.name}": json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")
    }
    assert made == files


def in_release(*arguments: str) -> str:
    """Which MetricsCluster is in the manifest, as the operator's ServiceAccount says."""
    (account,) = of_kind("ServiceAccount", *arguments)
    name: str = account["metadata"].get("annotations", {}).get("metricscluster.io/in-release", "")
    return name


@helm
def test_the_first_metricscluster_waits_for_its_kind() -> None:
    """Helm makes a release's objects at once; afterwards the MetricsCluster is one of them."""
    on = ("--set", "metricsCluster.enabled=true")
    (first,) = of_kind("MetricsCluster", *on)
    assert first["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert not in_release(*on)
    assert [found["metadata"]["name"] for found in of_kind("Pod", *on)] == ["metricscluster-wait", "metricscluster-test"]
    for arguments in ([*on, *KNOWN], [*on, "--set", "crds.install=false"]):
        (later,) = of_kind("MetricsCluster", *arguments)
        assert later["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert in_release(*arguments) == "metrics"
        assert [found["metadata"]["name"] for found in of_kind("Pod", *arguments)] == ["metricscluster-test"]


@helm
def test_a_spec_that_says_nothing_may_be_left_empty() -> None:
    """As `spec:` in a file of values, with nothing below it."""
    (made,) = of_kind("MetricsCluster", "--set", "metricsCluster.enabled=true,metricsCluster.spec=null")
    assert made["spec"] == {}


@helm
@needs("kube-score")
@pytest.mark.parametrize("arguments", [[], ALL, FIRST, [*ALL, "--set", "image.pullPolicy=Always"]])
def test_kube_score_finds_nothing_critical(arguments: list[str]) -> None:
    run("kube-score", "score", "-", stdin=template(*arguments))


@helm
@needs("make")
def test_manifests_are_the_chart(tmp_path: Any) -> None:
    run(
        "make",
        "-s",
        "-C",
        ROOT,
        "manifests",
        "NAMESPACE=elsewhere",
        "BUILD_FOLDER=" + str(tmp_path),
        PATH=ENVIRONMENT["PATH"],
    )
    namespace, *made = objects((tmp_path / "install.yaml").read_text())
    assert namespace["metadata"]["name"] == "elsewhere"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert made == objects(template("--skip-tests", namespace="elsewhere"))
