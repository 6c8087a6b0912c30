"""`metricscluster status` and `diagnose`: what they make of objects, and of a cluster in which much is broken.

A real store answers behind the forwarded port; kubectl is a program that says what kubectl says. The same on a real cluster:
tests/e2e/test_command.py.
"""

import base64
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakekubectl import FakeKubectl, manifest
from metricscluster.findings import findings, healthy, lacks
from metricscluster.observation import Observed
from metricscluster.selfmetrics import StoreState, parse, store_state
from metricwire import tokens
from storeserver import Store

Command = Callable[..., tuple[int, str, str]]
Manifest = dict[str, Any]
NOW = 1_795_262_400.0  # 2026-11-21T12:00:00Z
STATE = StoreState("1", 100, 1000, 5000, {}, 12.5, 10, 90, 0, read_only=False)
WELL = {"Ready": "True", "StoreAvailable": "True", "AgentsAvailable": "True", "Progressing": "False", "Degraded": "False"}


def condition(kind: str, status: str, reason: str = "Available", message: str = "") -> Manifest:
    since = "2026-11-21T11:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def cluster(*changed: Manifest, generation: int = 1, seen: int = 1, **spec: Any) -> Manifest:
    said = {kind: condition(kind, status) for kind, status in WELL.items()} | {one["type"]: one for one in changed}
    status = {
        "observedGeneration": seen,
        "conditions": list(said.values()),
        "store": {"endpoint": "http://fritz-store.monitoring.svc:8082", "readyReplicas": 1, "version": "1"},
        "nodeAgents": {"desired": 2, "ready": 2, "updated": 2},
    }
    found = manifest("MetricsCluster", "fritz", spec=spec, status=status)
    found["metadata"]["generation"] = generation
    return found


def pod(name: str, component: str, node: str = "n1", *, ready: bool = True, **container: Any) -> Manifest:
    said = {"name": component, "image": "i", "imageID": "sha256:1", "restartCount": 0} | container
    port = {"store": ("ops", 8083), "agent": ("metrics", 61091), "operator": ("health", 8080)}[component]
    spec = {"nodeName": node, "containers": [{"name": component, "ports": [{"name": port[0], "containerPort": port[1]}]}]}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [said],
    }
    return manifest("Pod", name, component=component, spec=spec, status=status)


def node(
    name: str, *, labels: dict[str, str] | None = None, taints: list[Manifest] | None = None, ready: bool = True
) -> Manifest:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    about = {"name": name, "labels": labels or {}}
    return {"kind": "Node", "metadata": about, "spec": {"taints": taints or []}, "status": {"conditions": conditions}}


def observed(found: Manifest, *pods: Manifest, nodes: list[Manifest] | None = None, **wanted: Any) -> Observed:
    sets = [manifest("DaemonSet", "fritz-agent", component="agent", spec={"template": {"spec": wanted}})]
    return Observed([found], {"pods": pods, "daemonsets": sets}, nodes, ())


# what is wrong


def test_nothing_is_wrong_with_what_is_well() -> None:
    found = cluster()
    assert findings(found, observed(found, pod("fritz-store-0", "store")), STATE, NOW) == []


def reasons(found: Manifest, *pods: Manifest, state: StoreState | None = STATE) -> list[tuple[str, bool]]:
    return [(one.reason, one.grave) for one in findings(found, observed(found, *pods), state, NOW)]


def test_what_the_operator_says_comes_first() -> None:
    ready = condition("Ready", "False", "ImageNotPulled", "pod fritz-store-0, image x: ErrImagePull; check spec.image")
    waiting = pod("fritz-store-0", "store", ready=False, state={"waiting": {"reason": "ErrImagePull"}})
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    assert reasons(cluster(ready), waiting) == [("ImageNotPulled", True)]


def test_what_an_operator_that_is_away_cannot_say_is_seen() -> None:
    waiting = pod("fritz-store-0", "store", ready=False, state={"waiting": {"reason": "ErrImagePull"}})
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    assert reasons(cluster(generation=2), waiting) == [("NotObserved", True), ("ImageNotPulled", True)]


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"restartCount": 1, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}, "OutOfMemory"),
        ({"restartCount": 7, "lastState": {"terminated": {"exitCode": 1}}}, "Restarted"),
        ({"restartCount": 7}, "Restarted"),
        ({"restartCount": 1}, None),
    ],
)
def test_restarts(container: Manifest, reason: str | None) -> None:
    assert reasons(cluster(), pod("fritz-store-0", "store", **container)) == ([(reason, False)] if reason else [])


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"read_only": True}, [("ReadOnly", True)]),
        ({"used": 95, "free": 5}, [("VolumeNearlyFull", False)]),
        ({"series": 950}, [("SeriesNearlyAtLimit", False)]),
        ({"damaged": 1}, [("Damaged", False)]),
        ({"rejected": {"too old": 3}}, [("LinesRefused", False)]),
    ],
)
def test_what_the_store_says_of_itself(changed: dict[str, Any], found: list[tuple[str, bool]]) -> None:
    assert reasons(cluster(), state=StoreState(**(STATE.plain() | changed))) == found


def test_degraded_and_paused_are_notes() -> None:
    degraded = condition("Degraded", "True", "ClusterRightsMissing", "no names")
    paused = condition("Progressing", "False", "Paused")
    found = findings(cluster(degraded, paused), observed(cluster()), STATE, NOW)
    assert [one.reason for one in found] == ["ClusterRightsMissing", "Paused"]
    assert healthy(found)


TAINT = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("there", "wanted", "why"),
    [
        (node("n2", taints=[TAINT]), {}, "spec.nodeAgent.pod.tolerations lacks the node's taint gpu=a100:NoSchedule"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"key": "gpu", "value": "v100"}]}, "lacks the node's taint"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"operator": "Exists"}]}, "no pod yet"),
        (node("n2", taints=[TAINT]), {"tolerations": [{"key": "gpu", "operator": "Exists"}]}, "no pod yet"),
        (node("n2", taints=[TAINT | {"effect": "PreferNoSchedule"}]), {}, "no pod yet"),
        (node("n2", labels={"a": "c"}), {"nodeSelector": {"a": "b"}}, "spec.nodeAgent.pod.nodeSelector asks for a=b"),
    ],
)
def test_why_a_node_has_no_agent(there: Manifest, wanted: Manifest, why: str) -> None:
    seen = observed(cluster(), pod("fritz-agent-a", "agent"), nodes=[node("n1"), there], **wanted)
    [lack] = lacks(cluster(), seen, NOW)
    assert lack.node == "n2"
    assert why in lack.why


def test_a_pod_that_waits_for_its_node_counts_for_it() -> None:
    waiting = pod("fritz-agent-a", "agent", ready=False)
    waiting["metadata"]["creationTimestamp"] = "2026-11-21T11:00:00Z"
    waiting["spec"] |= {"nodeName": None, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]}}}}  # fmt: skip
    waiting["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    }
    [lack] = lacks(cluster(), observed(cluster(), waiting, nodes=[node("n2")]), NOW)
    assert (lack.node, "fits on no node" in lack.why) == ("n2", True)
    assert lacks(cluster(), observed(cluster(), nodes=[node("n1", ready=False)]), NOW)


# the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    private, public = tokens.new_pair()
    (made / "public.key").write_text(public)
    (made / "private").write_text(private)
    (made / "admin").write_text(tokens.sign(private, "admin", ["admin"], issued=int(time.time())))
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("store"), {"load_one": {"frequency": 10}}, folder / "public.key").start()
    made.write(f"load_one,cluster=fritz,hostname=n1 value=1 {int(time.time())}", token_file=folder / "admin")
    yield made
    made.stop()


def test_the_numbers_of_a_real_store(store: Store) -> None:
    from metricscluster.client import Client

    found = store_state(parse(Client(f"http://127.0.0.1:{store.operations_port}").ask("/metrics/self")), time.time())
    assert (found.series, found.series_limit, found.stored, found.read_only, found.rejected) == (1, 1_000_000, 1, False, {})
    assert found.rate > 0
    assert found.used > 0
    assert found.free > 0


def world(folder: Path) -> dict[str, list[Manifest]]:
    claim = {"resources": {"requests": {"storage": "1Gi"}}}
    volume = manifest("PersistentVolumeClaim", "data-fritz-store-0", component="store", spec=claim, status={"phase": "Bound"})
    secret = {"admin-token": (folder / "admin").read_bytes(), "private.key": (folder / "private").read_bytes()}
    data = {name: base64.b64encode(value).decode() for name, value in secret.items()}
    event = manifest("Event", "fritz-store-0.1", reason="BackOff", message="again \x1b[31mand again", count=9, type="Warning")
    event |= {"involvedObject": {"kind": "Pod", "name": "fritz-store-0"}, "lastTimestamp": stamp(-60)}
    return {
        "metricsclusters": [cluster()],
        "pods": [pod("fritz-store-0", "store"), pod("fritz-agent-a", "agent"), pod("operator-1", "operator")],
        "daemonsets": [manifest("DaemonSet", "fritz-agent", component="agent", spec={"template": {"spec": {}}})],
        "persistentvolumeclaims": [volume],
        "nodes": [node("n1"), node("n2", taints=[TAINT])],
        "secrets": [manifest("Secret", "fritz-keys", data=data)],
        "events": [event],
    }


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def ports(store: Store) -> dict[str, int]:
    return {"8082": store.port, "8083": store.operations_port, "61091": 1, "8080": 1}


def test_status_of_a_healthy_one(command: Command, kubectl: FakeKubectl, store: Store, folder: Path) -> None:
    kubectl.answer(world(folder), ports=ports(store))
    status, out, err = command("status", "-n", "monitoring")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("monitoring/fritz  healthy  cluster fritz, age ")
    assert lines[1].split() == ["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]
    assert "          1 of 1,000,000 series, " in out
    assert "  agents  2 of 2 nodes have a ready one, 2 are as the resource says now" in lines
    assert any(line.startswith("          node n2: no agent is wanted there: ") for line in lines)
    assert r" ago, 9 times, Pod fritz-store-0: BackOff: again \x1b[31mand again" in out
    assert "\x1b" not in out


def test_status_for_programs(command: Command, kubectl: FakeKubectl, store: Store, folder: Path) -> None:
    kubectl.answer(world(folder), ports=ports(store))
    [found] = json.loads(command("status", "fritz", "-n", "monitoring", "-o", "json")[1])
    assert (found["name"], found["healthy"], found["wrong"], found["unseen"]) == ("fritz", True, [], [])
    assert found["store"]["self"]["series"] == 1
    assert [one["node"] for one in found["nodeAgents"]["lacking"]] == ["n2"]


def test_status_shows_what_it_can_and_says_what_not(command: Command, kubectl: FakeKubectl, folder: Path) -> None:
    found = world(folder)
    found["metricsclusters"] = [cluster(condition("Ready", "False", "StoreNotReady", "The store is not ready yet."))]
    failures = {
        "get nodes": 'Error from server (Forbidden): nodes is forbidden: User "ada" cannot list resource "nodes"',
        "port-forward": "error: pod is not running",
    }
    kubectl.answer(found, failures=failures)
    status, out, err = command("status", "-A")
    assert (status, err) == (1, "")
    assert "monitoring/fritz  not healthy" in out
    assert "wrong   StoreNotReady: The store is not ready yet." in out
    assert "its own numbers are missing: cannot reach pod monitoring/fritz-store-0: pod is not running" in out
    assert out.endswith('not seen: cannot get nodes: nodes is forbidden: User "ada" cannot list resource "nodes"\n')


def test_status_of_none(command: Command, kubectl: FakeKubectl) -> None:
    kubectl.answer()
    text = "cannot find a MetricsCluster: there is none in this namespace; -A looks in all\n"
    assert command("status") == (1, "", text)
    error = 'cannot get metricsclusters.metricscluster.io alex: metricsclusters.metricscluster.io "alex" not found\n'
    assert command("status", "alex") == (1, "", error)
    assert command("status", "alex", "-A")[0] == 2


# diagnose


def archive(path: Path) -> dict[str, str]:
    with tarfile.open(path) as found:
        assert found.getnames()[0].endswith("/SUMMARY.txt")
        members = found.getmembers()
        return {one.name.partition("/")[2]: found.extractfile(one).read().decode() for one in members}  # type: ignore[union-attr]


def test_a_diagnosis_has_all_but_secrets(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path, tmp_path: Path
) -> None:
    """Canaries in logs, events, ConfigMaps, environment, annotations; the Secret's values wherever they may turn up."""
    private, admin = (folder / "private").read_text(), (folder / "admin").read_text()
    found = world(folder)
    sidecar = {"name": "sidecar", "env": [{"name": "DB_PASSWORD", "value": "canary-env"}], "args": ["--token=canary-arg"]}
    found["pods"][0]["spec"]["containers"].append(sidecar)
    found["pods"][0]["status"]["containerStatuses"][0]["restartCount"] = 4
    config = json.dumps({"nats": {"password": "canary-config", "address": "nats://h"}})
    found["configmaps"] = [manifest("ConfigMap", "fritz-store", data={"config.json": config})]
    found["metricsclusters"][0]["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "canary-applied", "example.com/api-key": "canary-annotation",
    }  # fmt: skip
    log = json.dumps({"level": "error", "message": f"cannot use {private}: nats://u:canary-url@h 17"})
    logs = {
        "fritz-store-0": f"2026-11-21T12:00:00Z {log}\n2026-11-21T12:00:01Z {log.replace('17', '18')}\n",
        "fritz-store-0 previous": f"Authorization: Bearer {admin}\n",
        "operator-1": base64.b64encode(private.encode()).decode() + "\n",
    }
    kubectl.answer(found, logs=logs, ports=ports(store))
    path = tmp_path / "found.tar.gz"
    status, out, _ = command("diagnose", "fritz", "-n", "monitoring", "-o", path)
    assert status == 0
    assert out.startswith(f"wrote {path}: ")
    files = archive(path)
    for secret in (private, admin, *(f"canary-{where}" for where in ("env", "arg", "config", "applied", "annotation", "url"))):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            assert not [file for file, text in files.items() if form in text], secret
    assert not [file for file in files if "secret" in file]
    assert {"logs/fritz-store-0.store.log", "logs/fritz-store-0.store.previous.log", "objects/ConfigMap.json"} <= files.keys()
    assert "metricstore_series 1.0" in files["metrics/fritz-store-0.txt"]
    assert json.loads(files["metrics/cardinality.json"])["series"] == 1
    assert "nats://h" in files["objects/ConfigMap.json"]
    assert all(json.loads(text) for file, text in files.items() if file.endswith(".json"))
    summary = files["SUMMARY.txt"]
    assert "  - Restarted: pod fritz-store-0 has restarted 4 times" in summary
    assert "  2 x fritz-store-0.store.log: error: cannot use [redacted]" in summary
    assert "  logs/fritz-agent-a.agent.log: cannot read the log of pod fritz-agent-a: container is waiting to start" in summary
    assert "  metrics/fritz-agent-a.txt: cannot read http://127.0.0.1:1/metrics: [Errno 111] Connection refused" in summary
    token = (folder / "admin").read_text()
    assert not [call for call in kubectl.calls() if token in " ".join(call)]


def test_a_diagnosis_of_what_is_broken_says_what_is_missing(
    command: Command, kubectl: FakeKubectl, folder: Path, tmp_path: Path
) -> None:
    kinds = (
        "secret fritz-keys",
        "nodes",
        "events",
        "configmaps",
        "pods",
        "daemonsets",
        "persistentvolumeclaims",
        "statefulsets",
    )
    failures = {f"get {kind}": f"Error from server (Forbidden): {kind.split()[0]}s is forbidden" for kind in kinds}
    kubectl.answer({"metricsclusters": [cluster()]}, failures=failures)
    path = tmp_path / "found.tar.gz"
    assert command("diagnose", "-o", path)[0] == 0
    summary = archive(path)["SUMMARY.txt"].partition("What could not be had")[2]
    for kind in kinds:
        assert f"cannot get {kind}: {kind.split()[0]}s is forbidden" in summary
    assert command("diagnose", "-o", path)[::2] == (2, f"cannot write {path}: it exists\n")


def test_a_diagnosis_without_a_cluster_leaves_no_file(command: Command, kubectl: FakeKubectl, tmp_path: Path) -> None:
    kubectl.answer(failures={"get": "The connection to the server was refused"})
    status, _, err = command("diagnose", "-o", tmp_path / "found.tar.gz")
    assert (status, err) == (1, "cannot get metricsclusters.metricscluster.io: The connection to the server was refused\n")
    assert not list(tmp_path.glob("found*"))
