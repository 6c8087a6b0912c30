"""Monitors as long as the Prometheus operator's kinds are there, and a real Prometheus that finds and scrapes what they say."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from . import kubernetes as k
from . import tools
from .changing import change

pytestmark = pytest.mark.timeout(400)
NAME = "prometheus"
OURS = f"app.kubernetes.io/instance={k.NAME}"
SIGNS = str.maketrans("./-", "___")  # of labels that Prometheus has no names for
URL = f"http://{NAME}.{k.NAMESPACE}.svc:9090"
_ASK = """
import json, sys, urllib.parse, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.stdin.read(), timeout=10) as answer:
    print(answer.read().decode())
"""
_TEXT = """
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.stdin.read(), timeout=10) as answer:
    print(json.dumps(answer.read().decode()))
"""


def definition(kind: str, plural: str) -> dict[str, Any]:
    """The kind as the Prometheus operator has it, without its schema."""
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural, "singular": plural[:-1]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


TARGET = "the-target"  # in labels that the Prometheus operator gives whatever it scrapes
KINDS = {"servicemonitors": "ServiceMonitor", "podmonitors": "PodMonitor"}
MONITORS = [f"podmonitor.monitoring.coreos.com/{k.NAME}-agent", f"servicemonitor.monitoring.coreos.com/{k.NAME}-store"]


def present() -> list[str]:
    return sorted(k.kubectl("get", ",".join(KINDS), "-o", "name", "--ignore-not-found").split())


@pytest.fixture
def kinds(seconds_to_ready: float) -> Iterator[None]:
    """The kinds, for as long as the test."""
    k.apply(*(definition(kind, plural) for plural, kind in KINDS.items()))
    yield
    k.kubectl("delete", "crd", *(f"{plural}.monitoring.coreos.com" for plural in KINDS), "--ignore-not-found")


def test_monitors_come_and_go(kinds: None) -> None:
    k.eventually(lambda: present() == MONITORS, seconds=60, what="monitors, after their kinds")
    k.kubectl("delete", MONITORS[0])
    k.eventually(lambda: present() == MONITORS, seconds=60, what="the deleted one is back")
    change({"prometheus": {"monitor": "Never"}})
    assert present() == []
    change({"prometheus": None})
    k.eventually(lambda: present() == MONITORS, seconds=30, what="monitors again")
    k.kubectl("delete", "crd", *(f"{plural}.monitoring.coreos.com" for plural in KINDS))
    found = change({"nodeAgent": {"maxUnavailable": "20%"}})
    assert {each["status"] for each in found["status"]["conditions"] if each["type"] == "Ready"} == {"True"}
    change({"nodeAgent": {"maxUnavailable": None}})


def finds_by_itself() -> bool:
    """Whether this Prometheus was built with Kubernetes' service discovery; Debian's was not."""
    config = {"scrape_configs": [{"job_name": "x", "kubernetes_sd_configs": [{"role": "pod"}]}]}
    command = [str(tools.found("promtool")), "check", "config", "--syntax-only", "/dev/stdin"]
    return not subprocess.run(command, input=yaml.safe_dump(config).encode(), capture_output=True, check=False).returncode


def discovery(role: str) -> dict[str, Any]:
    """Where targets come from: the API server, or files in which they stand with the labels that it would give them."""
    if finds_by_itself():
        return {"kubernetes_sd_configs": [{"role": role, "namespaces": {"names": [k.NAMESPACE]}}]}
    return {"file_sd_configs": [{"files": [f"/work/{role}.json"]}]}


def targets() -> dict[str, bytes]:
    """Those files; the labels are as Prometheus' documentation has them."""
    services = {found["metadata"]["name"]: found["metadata"]["labels"] for found in k.get("services", "-l", OURS)["items"]}
    endpoints = [
        target(address["ip"], port["port"], "service", services[found["metadata"]["name"]], endpoint_port_name=port["name"])
        for found in k.get("endpoints", "-l", OURS)["items"]
        for subset in found.get("subsets", [])
        for address in subset["addresses"]
        for port in subset["ports"]
    ]
    pods = [
        target(
            found["status"]["podIP"],
            port["containerPort"],
            "pod",
            found["metadata"]["labels"],
            pod_container_port_name=port["name"],
            pod_node_name=found["spec"]["nodeName"],
        )
        for found in k.get("pods", "-l", "app.kubernetes.io/name=metricscluster")["items"]
        for port in found["spec"]["containers"][0]["ports"]
        if port["protocol"] == "TCP"
    ]
    return {"endpoints.json": json.dumps(endpoints).encode(), "pod.json": json.dumps(pods).encode()}


def target(address: str, port: int, kind: str, labels: dict[str, str], **more: str) -> dict[str, Any]:
    meta = {f"{kind}_label_{name.translate(SIGNS)}": value for name, value in labels.items()} | more
    return {"targets": [f"{address}:{port}"], "labels": {f"__meta_kubernetes_{name}": value for name, value in meta.items()}}


def scrape_configs(service: dict[str, Any], pods: dict[str, Any]) -> list[dict[str, Any]]:
    """What the Prometheus operator makes of the two monitors; and the operator itself, by its pod's port."""
    (of_store,), (of_agents,) = service["spec"]["endpoints"], pods["spec"]["podMetricsEndpoints"]
    operator = {"app.kubernetes.io/component": "operator"}
    return [
        {
            "job_name": "store",
            "honor_labels": of_store["honorLabels"],
            "metrics_path": of_store["path"],
            **discovery("endpoints"),
            "relabel_configs": [
                *_kept("__meta_kubernetes_service_label_", service["spec"]["selector"]["matchLabels"]),
                {"source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": of_store["port"], "action": "keep"},
                *({"target_label": name, "replacement": TARGET} for name in ("namespace", "pod", "container")),
            ],
        },
        {
            "job_name": "agents",
            "metrics_path": of_agents["path"],
            **discovery("pod"),
            "relabel_configs": [
                *_kept("__meta_kubernetes_pod_label_", pods["spec"]["selector"]["matchLabels"]),
                {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": of_agents["port"], "action": "keep"},
                *map(_snake, of_agents["relabelings"]),
            ],
            "metric_relabel_configs": list(map(_snake, of_agents["metricRelabelings"])),
        },
        {
            "job_name": "operator",
            **discovery("pod"),
            "relabel_configs": [
                *_kept("__meta_kubernetes_pod_label_", operator),
                {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics|ops", "action": "keep"},
            ],
        },
    ]


def _kept(prefix: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"source_labels": [prefix + name.translate(SIGNS)], "regex": value, "action": "keep"} for name, value in labels.items()
    ]


def _snake(rule: dict[str, Any]) -> dict[str, Any]:
    words = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {words.get(name, name): value for name, value in rule.items()}


def rights() -> list[dict[str, Any]]:
    """Of a Prometheus in this namespace: to find what is in it."""
    about = {"name": NAME, "namespace": k.NAMESPACE}
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["pods", "services", "endpoints"], "verbs": ["get", "list", "watch"]}]
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": k.NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
            "subjects": [subject],
        },
    ]


@pytest.fixture
def prometheus(kinds: None, clients: dict[str, str], nodes: list[str]) -> Iterator[str]:
    """A Prometheus; the value is a pod that may ask it."""
    k.eventually(lambda: present() == MONITORS, seconds=60, what="monitors, after their kinds")
    configs = scrape_configs(k.get("servicemonitor", f"{k.NAME}-store"), k.get("podmonitor", f"{k.NAME}-agent"))
    config = {"global": {"scrape_interval": "3s", "scrape_timeout": "3s"}, "scrape_configs": configs}
    k.apply(*rights())
    arguments = ["--config.file=/work/config.yaml", "--storage.tsdb.path=/work/data"]
    files = {"config.yaml": yaml.safe_dump(config).encode()} | targets()
    more = {"serviceAccountName": NAME, "automountServiceAccountToken": True}
    tools.start(NAME, "prometheus", arguments, port=9090, files=files, **more)
    yield clients[nodes[0]]
    tools.end(NAME)
    k.kubectl("delete", f"role/{NAME}", f"rolebinding/{NAME}", f"serviceaccount/{NAME}")


def ask(pod: str, path: str) -> Any:
    return k.python(pod, _ASK, stdin=f"{URL}/api/v1/{path}")["data"]


def query(pod: str, expression: str) -> list[dict[str, str]]:
    """The labels of each series."""
    return [row["metric"] for row in ask(pod, f"query?query={expression}")["result"]]


@pytest.mark.skipif(tools.found("prometheus") is None, reason="prometheus is not installed here (Debian package prometheus)")
def test_a_prometheus_scrapes_store_agents_and_operator(prometheus: str, nodes: list[str]) -> None:
    def up() -> bool:
        targets = ask(prometheus, "targets?state=active")["activeTargets"]
        assert all(target["health"] == "up" for target in targets), [target["lastError"] for target in targets]
        jobs = sorted(target["labels"]["job"] for target in targets)
        assert jobs == ["agents"] * len(nodes) + ["operator", "store"]
        return True

    k.eventually(up, seconds=60, what="every target is up")

    def samples() -> bool:
        found = query(prometheus, "load_one")
        assert sorted(series["hostname"] for series in found) == sorted(nodes), "each host once"
        assert {series["job"] for series in found} == {"store"}
        return {series["job"] for series in query(prometheus, "metricagent_process_cpu_seconds_total")} == {"agents"}

    k.eventually(samples, seconds=30, what="samples of every host")
    of_agents = query(prometheus, "metricagent_process_cpu_seconds_total")
    assert sorted(series["hostname"] for series in of_agents) == sorted(nodes)
    assert query(prometheus, "metricstore_series")
    containers = 'container_memory_usage_bytes{pod="fritz-store-0"}'
    k.eventually(lambda: query(prometheus, containers), seconds=30, what="labels of containers are their own, not the store's")
    assert not query(prometheus, f'{{__name__=~"container_.+",pod="{TARGET}"}}'), "nor of whoever shows them"
    assert query(prometheus, f'metricstore_series{{pod="{TARGET}"}}')


@pytest.mark.skipif(tools.found("promtool") is None, reason="promtool is not installed here (Debian package prometheus)")
def test_promtool_is_content(clients: dict[str, str], nodes: list[str]) -> None:
    urls = [
        f"http://{k.NAME}-store.{k.NAMESPACE}.svc:8083/metrics/self",
        f"http://{k.NAME}-agent.{k.NAMESPACE}.svc:61091/metrics",
    ]
    operator = k.get("pods", "-l", "app.kubernetes.io/component=operator")["items"][0]
    ports = {port["name"]: port["containerPort"] for port in operator["spec"]["containers"][0]["ports"]}
    urls.append(f"http://{operator['status']['podIP']}:{ports.get('metrics', ports.get('ops'))}/metrics")
    for url in urls:
        text = k.python(clients[nodes[0]], _TEXT, stdin=url)
        ours = [
            line
            for line in text.splitlines(keepends=True)
            if "metricstore_" in line or "metricagent_" in line or "metricsoperator_" in line
        ]
        assert ours, url
        done = subprocess.run(
            [str(tools.found("promtool")), "check", "metrics"], input="".join(ours), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{url}: {done.stdout}{done.stderr}"
