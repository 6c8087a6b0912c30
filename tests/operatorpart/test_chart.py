import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metricsoperator import names, settings
from metricsoperator.kinds import granted
from metricwire import __version__

CHART = Path(__file__).parents[2] / "charts/metricscluster"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def keys(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Every value the schema knows, and whether values.yaml has it."""
    for name, inner in schema.get("properties", {}).items():
        if name != "global":
            yield f"{path}{name}", name in values
            yield from keys(values.get(name, {}), inner, f"{path}{name}.")


def test_values_and_schema_know_the_same() -> None:
    assert [path for path, there in keys(VALUES, SCHEMA) if not there] == []


def test_every_value_is_documented() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"  \w+:", line) or re.match(r"\w+: [^{]", line):
            assert lines[number - 1].lstrip().startswith("#"), f"no comment above {line!r}"


def test_version_is_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_default_registry_is_the_operators() -> None:
    assert VALUES["image"]["registry"] == settings.Settings().registry


def render(*arguments: str) -> list[dict[str, Any]]:
    command = ["helm", "template", "metricscluster", str(CHART), "-n", "monitoring", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


helm = pytest.mark.skipif(not shutil.which("helm"), reason="helm is not on PATH")


@helm
def test_golden(golden: Callable[[str, str], None]) -> None:
    made = [found for found in render() if found["kind"] != "CustomResourceDefinition"]
    golden("chart.yaml", yaml.safe_dump_all(made, sort_keys=False, width=128))


@helm
def test_all_namespaces_need_a_cluster_role() -> None:
    kinds = {found["kind"] for found in render("--set", "watch.allNamespaces=true", "--set", "crds.install=false")}
    assert {"ClusterRole", "ClusterRoleBinding"} <= kinds
    assert not {"Role", "RoleBinding", "CustomResourceDefinition"} & kinds


@helm
def test_without_rights_in_the_cluster_nothing_is_beyond_the_namespace() -> None:
    made = render("--set", "clusterRights=false")
    assert [found["kind"] for found in made if "namespace" not in found["metadata"]] == ["CustomResourceDefinition"]
    deployment = next(found for found in made if found["kind"] == "Deployment")
    environment = {env["name"]: env["value"] for env in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert settings.read([], environment).cluster_roles == ""


@helm
def test_roles_that_the_operator_binds_are_there() -> None:
    made = {found["metadata"]["name"]: found for found in render() if found["kind"] == "ClusterRole"}
    for right, rules in granted().items():
        assert made[names.cluster_role("monitoring-metricscluster", right)]["rules"] == rules


@helm
def test_environment_is_what_the_operator_reads() -> None:
    deployment = next(found for found in render() if found["kind"] == "Deployment")
    environment = {env["name"]: env["value"] for env in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    found = settings.read([], environment)
    assert found == settings.Settings(namespace="monitoring", cluster_roles="monitoring-metricscluster")
    assert environment.keys() == {variable for _, variable, _ in settings.OPTIONS.values()} - {"METRICSOPERATOR_HEALTH_PORT"}
