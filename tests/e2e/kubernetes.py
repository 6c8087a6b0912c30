"""The tests' hands on a cluster: kubectl and helm as a user would call them, and waiting for conditions."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).parents[2]
NAMESPACE = "monitoring"
NAME = "fritz"
REGISTRY = os.environ.get("E2E_REGISTRY", "localhost")
TAG = os.environ.get("E2E_TAG", "e2e")
HELM_ARGUMENTS = os.environ.get("E2E_HELM_ARGUMENTS", "").split()

Found = TypeVar("Found")


def missing() -> str:
    """Why these tests cannot run here; "" when they can."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    lacking = [tool for tool in ("kubectl", "helm") if not shutil.which(tool)]
    return f"{' and '.join(lacking)} not on PATH" if lacking else ""


def run(*command: str, stdin: str | None = None, check: bool = True, seconds: float = 150) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done


def kubectl(*arguments: str, stdin: str | None = None, seconds: float = 150) -> str:
    """What it prints. `seconds` are more than any `--timeout` of its own, so that it says itself what has not come true."""
    return run("kubectl", "-n", NAMESPACE, *arguments, stdin=stdin, seconds=seconds).stdout


def refused(*arguments: str, stdin: str | None = None) -> str:
    """What kubectl says when the API server refuses."""
    done = run("kubectl", "-n", NAMESPACE, *arguments, stdin=stdin, check=False)
    assert done.returncode, f"not refused: {done.stdout}"
    return done.stderr


def get(kind: str, *arguments: str) -> Any:
    return json.loads(kubectl("get", kind, *arguments, "-o", "json"))


def apply(*documents: dict[str, Any]) -> None:
    run("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


def chart(*arguments: str) -> str:
    images = ["--set", f"image.registry={REGISTRY}", "--set", f"image.tag={TAG}"]
    command = [
        "helm",
        "template",
        "metricscluster",
        str(ROOT / "charts/metricscluster"),
        "-n",
        NAMESPACE,
        "--skip-tests",
        *images,
        *HELM_ARGUMENTS,
        *arguments,
    ]
    return run(*command).stdout


def example() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples/metricscluster.yaml").read_text())
    return found


def eventually(look: Callable[[], Found], *, seconds: float, what: str) -> Found:
    """What `look` finds as soon as it is true; an assertion in it, and what it looks up in vain, count as not yet."""
    end = time.monotonic() + seconds
    while True:
        last: object = None
        try:
            if found := look():
                return found
        except (AssertionError, LookupError) as error:
            last = error
        assert time.monotonic() < end, f"not within {seconds} s: {what}{f' ({last})' if last else ''}"
        time.sleep(0.3)


def python(pod: str, script: str, *, stdin: str = "", namespace: str = NAMESPACE) -> Any:
    """What a script run in a pod of the cluster prints, as JSON."""
    return json.loads(run("kubectl", "-n", namespace, "exec", "-i", pod, "--", "python3", "-c", script, stdin=stdin).stdout)
