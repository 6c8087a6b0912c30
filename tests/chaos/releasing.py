"""A release on an API server without nodes, and the commands that install and look at it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

import kubeapi
from chaos import controlplane
from charts import CHART, ENVIRONMENT, run

ACCOUNT = "monitoring:metricscluster-operator"
CRD = "metricsclusters.metricscluster.io"


class Server:
    """The API server at `url`, whose files are in `folder`; everything is in its namespace monitoring."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.admin = self.account(controlplane.ADMIN)
        self.kubectl("create", "namespace", "monitoring")

    def account(self, token: str) -> Path:
        """A kubeconfig."""
        authority = str(self.folder / "certificates" / "apiserver.crt")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": authority}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "monitoring"}}],
            "current-context": "c",
        }
        path = self.folder / f"{token.replace(':', '-')}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run("kubectl", "-n", "monitoring", *arguments, stdin=stdin, KUBECONFIG=str(self.admin))

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def served(self) -> None:
        """Wait until it serves MetricsClusters, and discovery, which Helm asks, names them."""

        def listed() -> bool:
            command = ["kubectl", "get", "metricscluster", "--kubeconfig", str(self.admin)]
            return not subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).returncode

        kubeapi.wait_for("the kind is served", lambda: self._named() and listed())

    def forget(self) -> None:
        """Delete the kind, and wait until discovery does not name it any more."""
        self.kubectl("delete", "crd", CRD)
        kubeapi.wait_for("the kind is forgotten", lambda: not self._named())

    def _named(self) -> bool:
        """What discovery says now; `kubectl get` is content with what it said a while ago."""
        command = ["kubectl", "api-resources", "--api-group=metricscluster.io", "-o", "name", "--kubeconfig", str(self.admin)]
        return CRD in subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False).stdout

    def helm(self, verb: str, *arguments: str | Path) -> str:
        return run("helm", "-n", "monitoring", verb, "metricscluster", *arguments, KUBECONFIG=str(self.admin))

    def refused(self, verb: str, *arguments: str | Path) -> str:
        """What helm says, and does nothing."""
        command = ["helm", "-n", "monitoring", verb, "metricscluster", *map(str, arguments)]
        environment = ENVIRONMENT | {"KUBECONFIG": str(self.admin)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode, done.stdout
        return done.stderr

    def follow(self, said: str) -> None:
        """Run the command of such a message."""
        command = next(line for line in said.splitlines() if line.startswith("  ")).replace("<this chart>", str(CHART))
        run("bash", "-c", f"set -o pipefail; {command}", KUBECONFIG=str(self.admin))
