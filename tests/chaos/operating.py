"""An operator as a process against a real API server, and what controllers and the garbage collector would do there."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from chaos.between import Between
from chaos.controlplane import MERGE, OPERATOR, ControlPlane
from chaos.program import free_port
from metricsoperator.crd import definition
from metricsoperator.kinds import CHILDREN, CLUSTER_CHILDREN, KINDS, cluster_rules, granted, rules
from metricsoperator.reconcile import UNREADY_SECONDS

NAMESPACE = "monitoring"
PREFIX = "monitoring-metricscluster"
OWN = "/apis/metricscluster.io/v1alpha1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROOTS = Path(__file__).parents[2]


@contextmanager
def running(plane: ControlPlane, folder: Path) -> Iterator["World"]:
    """A world, whose operator ends and whose resources go at the end."""
    made = World(plane, folder)
    made.prepare()
    yield made
    made.stop()
    for resource in plane.ask("GET", f"{OWN}/metricsclusters")["items"]:
        made.delete(resource["metadata"]["name"])


class World:
    """A namespace with the CRD and the chart's rights; one operator at a time, through a `Between`."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        self.between = Between(free_port(), plane.url)
        self.between.do = self.kill
        self.health = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "operator.log"

    def prepare(self) -> None:
        """What the chart makes."""
        ask = self.plane.ask
        ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        ask("POST", CRD, definition())
        role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "operator"}
        subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": OPERATOR}
        ask("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "operator"}, "rules": [*rules(), *cluster_rules()]})
        ask("POST", f"{RBAC}/clusterrolebindings", {"metadata": {"name": "operator"}, "roleRef": role, "subjects": [subject]})
        growing = {"metadata": {"name": "standard"}, "provisioner": "test", "allowVolumeExpansion": True}
        ask("POST", "/apis/storage.k8s.io/v1/storageclasses", growing)
        for right, rights in granted().items():
            ask("POST", f"{RBAC}/clusterroles", {"metadata": {"name": f"{PREFIX}-{right}"}, "rules": rights})
        self.until(lambda: self.plane.status(f"{OWN}/namespaces/{NAMESPACE}/metricsclusters") == 200, "the CRD counts")

    def start(self, *, resync: float = 60.0) -> None:
        """An operator; one that was there before is not any more."""
        self.kill()
        if self.process is not None:
            self.process.wait()
        self.process = self.begin(self.health, resync)

    def begin(self, health: int, resync: float = 60.0) -> "subprocess.Popen[bytes]":
        """An operator more; `start` is for one."""
        server = {"server": f"http://127.0.0.1:{self.between.port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "operator", "user": {"token": OPERATOR}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
            "current-context": "test",
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))
        environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "PYTHONPATH": os.pathsep.join(str(ROOTS / part) for part in ("wire", "operator")),
            "METRICSOPERATOR_IMAGE_TAG": "1",
            "METRICSOPERATOR_NAMESPACE": NAMESPACE,
            "METRICSOPERATOR_CLUSTER_ROLES": PREFIX,
            "METRICSOPERATOR_HEALTH_PORT": str(health),
            "METRICSOPERATOR_RESYNC_SECONDS": str(resync),
            "HOME": str(self.folder),
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "metricsoperator"]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> int:
        """Ended by SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        self.kill()
        if self.process is not None:
            self.process.wait()
        self.between.stop()

    def until(self, look: Callable[[], Any], what: str, seconds: float = 60, *, play: bool = False) -> Any:
        """What `look` finds, once it is true. With `play` controllers work, and an operator that ended is started anew."""
        end = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{self.tail()}"
            if play:
                self.play()
                if self.dead():
                    self.start()
            time.sleep(0.05)
        return found

    def tail(self) -> str:
        return self.log.read_text()[-6000:] if self.log.exists() else ""

    def get(self, path: str) -> str:
        """What the operator itself serves; "" while it serves nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    def resource(self, name: str, **spec: Any) -> None:
        """Make a MetricsCluster, or change it."""
        path = f"{OWN}/namespaces/{NAMESPACE}/metricsclusters"
        about = {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": {"name": name}}
        if self.plane.ask("POST", path, about | {"spec": spec}) is None:
            self.plane.ask("PATCH", f"{path}/{name}", {"spec": spec}, MERGE)

    def seen(self, name: str) -> Any:
        return self.plane.ask("GET", f"{OWN}/namespaces/{NAMESPACE}/metricsclusters/{name}")

    def condition(self, name: str, type: str) -> dict[str, Any]:
        found = (self.seen(name) or {}).get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == type), {})

    def delete(self, name: str) -> None:
        """The resource, and what the garbage collector deletes after it; what has no namespace is the operator's to delete."""
        self.plane.ask("DELETE", f"{OWN}/namespaces/{NAMESPACE}/metricsclusters/{name}")
        label = f"?labelSelector=app.kubernetes.io/instance={name}"
        for kind in (
            "StatefulSet",
            "DaemonSet",
            "ConfigMap",
            "ServiceAccount",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Secret",
        ):
            self.plane.ask("DELETE", KINDS[kind].path(NAMESPACE) + label)
        for item in self.objects(("Service",)):
            if item["metadata"]["labels"]["app.kubernetes.io/instance"] == name:
                self.plane.ask("DELETE", KINDS["Service"].path(NAMESPACE, item["metadata"]["name"]))
        claim = KINDS["PersistentVolumeClaim"].path(NAMESPACE, f"data-{name}-store-0")
        if self.plane.ask("PATCH", claim, {"metadata": {"finalizers": None}}, MERGE):
            self.plane.ask("DELETE", claim)

    def clean(self) -> None:
        """Without an operator: what it would delete."""
        for item in self.objects(("ClusterRoleBinding",)):
            self.plane.ask("DELETE", KINDS["ClusterRoleBinding"].path("", item["metadata"]["name"]))

    def resident(self) -> int:
        """MB of memory that the operator has."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) // 1024

    def rests(self) -> bool:
        """Whether nothing waits, and nothing was written until the look was over that follows one at what was not ready: counts
        of pods, and the claim, may be on their way into the status."""
        before = self.between.writes.total()
        time.sleep(UNREADY_SECONDS + 1)
        return self.between.writes.total() == before and "metricsoperator_queue_depth 0.0" in self.get("/metrics")

    def settled(self, name: str) -> bool:
        """Whether the resource is Ready and nothing more is under way, for what it says now."""
        resource = self.seen(name)
        if resource is None:
            return False
        conditions = {each["type"]: each for each in resource.get("status", {}).get("conditions", [])}
        return (
            bool(conditions)
            and conditions["Ready"]["status"] == "True"
            and conditions["Progressing"]["status"] == "False"
            and all(each["observedGeneration"] == resource["metadata"]["generation"] for each in conditions.values())
        )

    def objects(self, kinds: tuple[str, ...] = (*CHILDREN, *CLUSTER_CHILDREN)) -> list[dict[str, Any]]:
        """All of ours, of these kinds."""
        found = []
        for kind in kinds:
            where = "" if kind in CLUSTER_CHILDREN else NAMESPACE
            asked = f"{KINDS[kind].path(where)}?labelSelector=app.kubernetes.io/managed-by=metricscluster-operator"
            found += [{"kind": kind, **item} for item in self.plane.ask("GET", asked)["items"]]
        return found

    def play(self) -> None:
        """Controllers: workloads run as they say, claims are made and grow; the garbage collector leaves orphans alone."""
        for item in self.objects(("StatefulSet", "DaemonSet")):
            about, path = item["metadata"], KINDS[item["kind"]].path(NAMESPACE, item["metadata"]["name"])
            if "deletionTimestamp" in about:
                self.plane.ask("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
            elif item.get("status", {}).get("observedGeneration") != about["generation"]:
                status = _STATUS[item["kind"]] | {"observedGeneration": about["generation"]}
                self.plane.ask("PATCH", f"{path}/status", {"status": status}, MERGE)
            if item["kind"] == "StatefulSet":
                self._claim(item)
        for claim in self.plane.ask("GET", KINDS["PersistentVolumeClaim"].path(NAMESPACE))["items"]:
            wanted = claim["spec"]["resources"]["requests"]
            if claim.get("status", {}).get("capacity") != wanted:
                path = KINDS["PersistentVolumeClaim"].path(NAMESPACE, claim["metadata"]["name"])
                self.plane.ask("PATCH", f"{path}/status", {"status": {"phase": "Bound", "capacity": wanted}}, MERGE)

    def _claim(self, stateful_set: dict[str, Any]) -> None:
        template = stateful_set["spec"]["volumeClaimTemplates"][0]
        name = f"data-{stateful_set['metadata']['name']}-0"
        path = KINDS["PersistentVolumeClaim"].path(NAMESPACE)
        spec = template["spec"] | {"storageClassName": "standard"}
        if self.plane.ask("GET", f"{path}/{name}") is None:
            self.plane.ask("POST", path, {"metadata": {"name": name}, "spec": spec})


_STATUS: dict[str, dict[str, Any]] = {
    "StatefulSet": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"},
    "DaemonSet": {
        "currentNumberScheduled": 2,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 2,
        "numberReady": 2,
        "updatedNumberScheduled": 2,
    },
}
