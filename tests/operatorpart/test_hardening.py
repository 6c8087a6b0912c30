"""reliability.md section 3: what kube-score finds, and what it does not look at."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from metricsoperator.manifests.config import NAMESPACED
from metricsoperator.plan import plan

from .conftest import FULL, SITE, cluster
from .test_plan import objects, template

SCORE = shutil.which("kube-score", path=os.environ.get("PATH", "") + f":{Path('~/.cache/kube/bin').expanduser()}")
# The images' tags are of versions, never "latest": asking the registry at each start would make it a part of the cluster.
BY_DIGIT = {"image": {"pullPolicy": "Always"}}


@pytest.mark.skipif(SCORE is None, reason="kube-score not found: shared/kube/build makes it")
@pytest.mark.parametrize("spec", [BY_DIGIT, FULL], ids=["minimal", "full"])
def test_kube_score_finds_nothing_critical(spec: dict[str, Any]) -> None:
    text = yaml.safe_dump_all(plan(cluster(spec), SITE))
    command = [str(SCORE), "score", "--output-format", "json", "--kubernetes-version", "v1.34", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    found = [
        f"{one['object_name']}: {check['check']['id']}: {comment['summary']}"
        for one in json.loads(done.stdout)
        for check in one["checks"]
        if check["grade"] == 1 and not check["skipped"]
        for comment in check["comments"] or []
    ]
    assert found == []


@pytest.mark.parametrize("key", ["StatefulSet/fritz-store", "DaemonSet/fritz-agent"])
@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_scratch_space_has_an_end(key: str, spec: dict[str, Any]) -> None:
    pod = template(objects(spec)[key])["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    sizes = [int(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"] if "emptyDir" in volume]
    assert sizes
    assert sum(sizes) < int(limits["ephemeral-storage"])


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_all_traffic_is_denied_but_for_what_is_named(spec: dict[str, Any]) -> None:
    policies = [made for key, made in objects(spec).items() if key.startswith("NetworkPolicy/")]
    assert len(policies) == 2
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule["ports"] for rule in policy["spec"]["ingress"])


def test_agents_can_do_without_the_node() -> None:
    made = objects({"nodeAgent": {"hostMounts": False}})
    pod = template(made["DaemonSet/fritz-agent"])["spec"]
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    assert not [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"].startswith("/host")]
    config = json.loads(made["ConfigMap/fritz-agent"]["data"]["config.json"])
    assert config["host"] == {"proc": "/proc", "sys": "/sys", "root": "/"}
    assert {name for name, on in config["collectors"].items() if not on} == {*NAMESPACED, "containers"}
    assert config["collectors"]["cpu"]


def test_what_the_resource_says_of_resources_counts_and_ours_give_way() -> None:
    def found(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
        pod = template(objects({"nodeAgent": {"pod": {"resources": resources}}})["DaemonSet/fritz-agent"])["spec"]
        made: dict[str, dict[str, Any]] = pod["containers"][0]["resources"]
        return {kind: {name: made[kind][name] for name in ("cpu", "memory")} for kind in made}

    assert found({}) == {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
    assert found({"requests": {"cpu": 2}}) == {
        "requests": {"cpu": 2, "memory": "64Mi"},
        "limits": {"cpu": 2, "memory": "128Mi"},
    }
    assert found({"limits": {"memory": "32Mi"}}) == {
        "requests": {"cpu": "20m", "memory": "32Mi"},
        "limits": {"cpu": "1", "memory": "32Mi"},
    }
