"""The chart as Helm sees it: rendered, linted, and as it was before."""

import os
import shutil
import subprocess
import tarfile
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/metricscluster"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), str(Path("~/.cache/kube/bin").expanduser())])
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast
ENVIRONMENT = os.environ | {"PATH": _PATH}

# Values to render it with: many, few, and those of a first MetricsCluster.
ALL = [
    *(
        "--set",
        "watch.allNamespaces=true",
        "--set",
        "metricsCluster.enabled=true",
        "--set",
        "metricsCluster.spec.clusterName=fritz-hpc",
    ),
    *("--set", "metricsCluster.spec.store.tls.secretName=store-tls", "--set", f"image.digest=sha256:{'ab' * 32}"),
    *(
        "--set",
        "image.pullSecrets[0].name=regcred",
        "--set",
        "operator.nodeSelector.disk=ssd",
        "--set",
        "operator.priorityClassName=high",
    ),
    *(
        "--set",
        "operator.tolerations[0].operator=Exists",
        "--set",
        "operator.podLabels.team=hpc",
        "--set",
        "operator.podAnnotations.a=b",
    ),
    *("--set", "podMonitor.labels.release=prometheus", "--set", "alerts.labels.release=prometheus"),
    *(
        "--set",
        "dashboards.annotations.grafana_folder=Metrics",
        "--set",
        "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=p",
    ),
]
FIRST = ["--set", "metricsCluster.enabled=true", "--set", "dashboards.enabled=false"]
MINIMAL = [
    *("--set", "crds.install=false", "--set", "clusterRights=false", "--set", "networkPolicy.enabled=false"),
    *("--set", "podDisruptionBudget.enabled=false", "--set", "dashboards.enabled=false"),
]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of them is missing."""
    lacking = [program for program in programs if not shutil.which(program, path=_PATH)]
    return pytest.mark.skipif(bool(lacking), reason=f"{' and '.join(lacking)} not on PATH; shared/kube/build makes them")


def run(*command: str | Path, stdin: str | None = None, **environment: str) -> str:
    """What it prints; it must succeed."""
    done = subprocess.run(
        [*map(str, command)], input=stdin, capture_output=True, text=True, check=False, env=ENVIRONMENT | environment
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@cache
def template(*arguments: str, namespace: str = "monitoring") -> str:
    """What `helm template` makes of it for the release metricscluster."""
    return run("helm", "template", "metricscluster", CHART, "-n", namespace, *arguments)


def objects(text: str) -> list[dict[str, Any]]:
    """Those of a file."""
    return [found for found in yaml.load_all(text, _LOADER) if found]


def render(*arguments: str) -> list[dict[str, Any]]:
    """The objects of `template`."""
    return objects(template(*arguments))


def previous_commit() -> str:
    """The last commit in which the chart was another than it is now; "" without such a history."""

    def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["git", "-C", str(ROOT), *arguments, "--", "charts/metricscluster"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    commits = git("log", "--format=%H").stdout.split()
    return next((commit for commit in commits if git("diff", "--quiet", commit).returncode), "")


def previous(folder: Path) -> Path:
    """The chart of that commit."""
    if not (commit := previous_commit()):
        pytest.skip("no earlier version of the chart: this is no git checkout, or one without its history")
    command = ["git", "-C", str(ROOT), "archive", commit, "charts/metricscluster"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "charts/metricscluster"
