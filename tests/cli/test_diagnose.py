"""`metricscluster diagnose`: what is in the archive, and above all what is not.

A real store answers behind the forwarded port; kubectl is a program that says what kubectl says. The same on a real cluster:
tests/e2e/test_command.py.
"""

import base64
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fakekubectl import FakeKubectl, manifest
from fakeworld import cluster, ports, stamp, world
from storeserver import Store

Command = Callable[..., tuple[int, str, str]]


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
    found["configmaps"][0]["metadata"]["ownerReferences"] = [{"kind": "MetricsCluster", "name": "fritz"}]
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


FORMS = {  # a secret as it may be written, X standing for it
    "bare": "X",
    "password": "PGPASSWORD=X",
    "option": "--password=X",
    "words": "--db-password X",
    "header": "Authorization: Bearer X",
    "cookie": "Cookie: a=b; session=X",
    "url": "postgres://shop:X@db:5432/shop?sslmode=off",
    "json": '{"password": "X"}',
    "escaped": json.dumps(json.dumps({"password": "X", "user": "u"})),
    "variable": '{"name": "API_TOKEN", "value": "X"}',
    "escaped variable": json.dumps('{"name": "API_TOKEN", "value": "X"}'),
    "yaml": "client_secret: |\n  X\n",
    "key": "-----BEGIN PRIVATE KEY-----\nX\n-----END PRIVATE KEY-----",
}
SHAPES = {  # what a secret may look like, by itself enough to tell it
    "jwt": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlY2FuYXJ5",
    "github": "ghp_canaryCanary0123456789canaryCanary01",
    "aws": "AKIACANARYCANARY0123",
    "slack": "xoxb-123456789012-canarycanary",
    "gitlab": "glpat-canary-canary_0123",
    "google": "AIzaCanaryCanaryCanaryCanaryCanary01234",
    "random": "q7Rk2Zp9Xw4Lm8Vn3Tb6Yc1Hd5",
    "nkey": "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM",
}


def planted() -> dict[str, str]:
    """Secret -> the text with it."""
    found = {}
    for at, (name, text) in enumerate(FORMS.items()):
        secret = f"canary,{at:03};{name.replace(' ', '')}"
        found[secret] = text.replace("X", secret)
    return found | {shape: f"it is {shape} indeed" for shape in SHAPES.values()}


def others(texts: list[str]) -> dict[str, object]:
    """A container that is not ours, with secrets wherever texts can be."""
    asked = {"path": texts[0], "port": 80, "httpHeaders": [{"name": "Authorization", "value": text} for text in texts]}
    return {
        "name": "mesh",
        "image": "mesh",
        "args": texts,
        "command": texts,
        "env": [{"name": f"PLAIN_{at}", "value": text} for at, text in enumerate(texts)],
        "livenessProbe": {"httpGet": asked, "periodSeconds": 3},
        "readinessProbe": {"exec": {"command": texts}},
        "lifecycle": {"preStop": {"exec": {"command": texts}}},
        "workingDir": texts[0],
    }


def test_no_planted_secret_is_in_the_archive(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path, tmp_path: Path
) -> None:
    """Every form in every place where others can write: pods and templates, annotations, ConfigMaps, Events, volumes, logs."""
    secrets = planted()
    hidden = [text for secret, text in secrets.items() if secret != next(iter(secrets))]  # what only the pattern can know
    texts = list(secrets.values())
    notes = {f"example.com/{at}": text for at, text in enumerate(texts)}
    notes["kubectl.kubernetes.io/last-applied-configuration"] = json.dumps({"spec": texts})
    found = world(folder)
    for one in (*found["pods"], *found["metricsclusters"], *found["services"], *found["nodes"], *found["deployments"]):
        one["metadata"]["annotations"] = notes
    for one in found["pods"]:
        one["spec"]["containers"].append(others(texts))
        one["spec"]["containers"][0]["env"] = [{"name": f"V{at}", "value": text} for at, text in enumerate(texts)]
        one["spec"] |= {"initContainers": [others(texts)], "hostAliases": [{"hostnames": texts}]}
        one["spec"]["volumes"] = [{"name": "x", "flexVolume": {"options": notes}}]
        ended = {"name": "mesh", "lastState": {"terminated": {"exitCode": 1, "message": "\n".join(texts)}}}
        one["status"]["containerStatuses"].append(ended)
    template = {"metadata": {"annotations": notes}, "spec": {"containers": [others(texts)]}}
    found["daemonsets"][0]["spec"] = {"template": template}
    found["controllerrevisions"] = [manifest("ControllerRevision", "r", data={"spec": {"template": template}}, revision=1)]
    found["configmaps"] = [manifest("ConfigMap", "theirs", data={"a": "\n".join(texts), "config.json": texts[0]})]
    found["storageclasses"] = [{"kind": "StorageClass", "metadata": {"name": "s"}, "parameters": notes}]
    found["persistentvolumes"] = [{"kind": "PersistentVolume", "metadata": {"name": "p"}, "spec": {"csi": notes}}]
    for at, text in enumerate(hidden):
        event = manifest("Event", f"e{at}", reason="BackOff", message=text, type="Warning", lastTimestamp=stamp(-9))
        found["events"].append(event | {"involvedObject": {"kind": "Pod", "name": "fritz-store-0"}})
    theirs = manifest("Event", "theirs", message=texts[0], type="Warning")
    found["events"].append(theirs | {"involvedObject": {"kind": "Pod", "name": "web"}})
    lines = [json.dumps({"level": "error", "message": text}) for text in hidden]
    kubectl.answer(found, logs={"fritz-store-0": "\n".join([*lines, *hidden])}, ports=ports(store))
    path = tmp_path / "found.tar.gz"
    assert command("diagnose", "fritz", "-n", "monitoring", "-o", path)[0] == 0
    files = archive(path)
    for secret in secrets:
        assert not [file for file, text in files.items() if secret in text], secret
    [shown] = [one for one in json.loads(files["objects/Pod.json"]) if one["metadata"]["name"] == "fritz-store-0"]
    assert shown["spec"]["containers"][1]["env"][0] == {"name": "PLAIN_0", "value": "[15 characters withheld]"}
    assert not [file for file in files if file.startswith("logs/") and "mesh" in file]
    assert "logs of mesh in pod fritz-store-0: they are not of ours" in files["SUMMARY.txt"]
    assert files["logs/fritz-store-0.store.log"].count("[redacted]") >= 2 * len(hidden)


def test_nothing_in_the_summary_moves_a_terminal(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path, tmp_path: Path
) -> None:
    evil = "\x1b]0;title\x07\x9b2J\u202e"
    found = world(folder)
    found["events"][0]["message"] = evil
    found["metricsclusters"][0]["status"]["conditions"][0] |= {"status": "False", "message": evil}
    line = json.dumps({"level": "error", "message": evil})
    kubectl.answer(found, logs={"fritz-store-0": line}, failures={"get secret": f"error: {evil}"}, ports=ports(store))
    path = tmp_path / "found.tar.gz"
    status, out, err = command("diagnose", "fritz", "-n", "monitoring", "-o", path)
    assert status == 0
    assert all(sign.isprintable() or sign == "\n" for sign in archive(path)["SUMMARY.txt"] + out + err)


def test_what_is_cut_is_said(
    command: Command, kubectl: FakeKubectl, store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricscluster.bundle.LARGEST", 10_000)
    monkeypatch.setattr("metricscluster.gathering.READ", 20_000)
    log = "a line of a log\n" * 5000 + "the last\n"
    kubectl.answer(world(folder), logs={"fritz-store-0": log}, ports=ports(store))
    path = tmp_path / "found.tar.gz"
    assert command("diagnose", "fritz", "-n", "monitoring", "-o", path)[0] == 0
    files = archive(path)
    shown = files["logs/fritz-store-0.store.log"]
    assert 9_000 < len(shown) <= 10_000
    assert shown.startswith("a line")
    assert shown.endswith("the last\n")
    assert f"  the first {len(log) - 10_000:,} bytes of logs/fritz-store-0.store.log: " in files["SUMMARY.txt"]
