"""Programs of this machine, run in pods of the cluster: no image has to be made for them."""

import shutil
import subprocess
from typing import Any

from . import kubernetes as k
from .conftest import CLIENT

_WAIT = """
import os, sys, time
while not os.path.exists("/work/begin"):
    time.sleep(0.1)
os.execv("/work/program", ["/work/program", *sys.argv[1:]])
"""
_TAKE = """
import os, shutil, sys
with open("/work/" + sys.argv[1], "wb") as file:
    shutil.copyfileobj(sys.stdin.buffer, file)
os.chmod("/work/" + sys.argv[1], 0o755)
"""


def found(program: str) -> str | None:
    """Where the program is; Debian puts some where only root looks."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def start(name: str, program: str, arguments: list[str], *, port: int, files: dict[str, bytes], **more: Any) -> None:
    """A pod of that name, with a Service, that runs the program with these files beside it in /work. `more`: of its spec."""
    about = {"name": name, "namespace": k.NAMESPACE, "labels": {"e2e": name, "metricscluster.io/client": "true"}}
    container = CLIENT | {
        "name": name,
        "command": ["python3", "-c", _WAIT, *arguments],
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 60},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    service = {"selector": {"e2e": name}, "ports": [{"port": port}]}
    k.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec | more},
        {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": service},
    )
    k.eventually(lambda: k.get("pod", name)["status"]["phase"] == "Running", seconds=60, what=f"pod {name} runs")
    path = found(program)
    assert path is not None
    with open(path, "rb") as file:  # noqa: PTH123 (PEP 8's own)
        put(name, "program", file.read())
    for entry, content in files.items():
        put(name, entry, content)
    put(name, "begin", b"")
    k.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def put(pod: str, entry: str, content: bytes) -> None:
    """A file in /work of a pod."""
    command = ["kubectl", "-n", k.NAMESPACE, "exec", "-i", pod, "--", "python3", "-c", _TAKE, entry]
    done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=120)
    assert not done.returncode, done.stderr.decode()


def end(name: str) -> None:
    k.kubectl("delete", f"pod/{name}", f"service/{name}", "--ignore-not-found")
