"""Environment variables put into live workloads through the API server, by the `kubernetes` package (metricsoperator.apply)."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from metricscluster.podspecs import Agents, Container, Entry, containers
from metricsoperator import names
from metricsoperator.apply import Send, connect
from metricsoperator.kinds import KINDS, Kind
from metricsoperator.names import KIND
from metricwire.errors import BadInput, MetricsError, NotFound

STATSD_PORT = 8125
ATTEMPTS = 3  # to patch what others change meanwhile
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


class _Resource(NamedTuple):
    """A kind whose pods' description can be changed, and its short names."""

    kind: Kind
    name: str
    short: tuple[str, ...] = ()


_RESOURCES = (
    _Resource(Kind("apps", "v1", "deployments"), "Deployment", ("deploy",)),
    _Resource(Kind("apps", "v1", "statefulsets"), "StatefulSet", ("sts",)),
    _Resource(Kind("apps", "v1", "daemonsets"), "DaemonSet", ("ds",)),
    _Resource(Kind("apps", "v1", "replicasets"), "ReplicaSet", ("rs",)),
    _Resource(Kind("", "v1", "replicationcontrollers"), "ReplicationController", ("rc",)),
    _Resource(Kind("batch", "v1", "cronjobs"), "CronJob", ("cj",)),
)
_FIXED = {"pod", "pods", "po", "job", "jobs", "job.batch", "jobs.batch"}  # their containers cannot be changed
_KNOWN = {
    spelling: resource
    for resource in _RESOURCES
    for word in (resource.name.lower(), resource.kind.plural, *resource.short)
    for spelling in (word, f"{word}.{resource.kind.group}")
}


class Target(NamedTuple):
    """A live workload."""

    resource: _Resource
    name: str

    @property
    def label(self) -> str:
        """As kubectl names it."""
        group = f".{self.resource.kind.group}" if self.resource.kind.group else ""
        return f"{self.resource.name.lower()}{group}/{self.name}"


class Patched(NamedTuple):
    """What was done: how many containers got variables, and what people should know."""

    containers: int
    notes: list[str]


def target(text: str) -> Target | None:
    """The workload that `deployment/web` names; None when it names none. BadInput for one that cannot be changed."""
    kind, slash, name = text.partition("/")
    if not slash or not _NAME.fullmatch(name):
        return None
    if kind.lower() in _FIXED:
        raise BadInput(f"cannot inject into {text}: its containers are fixed when it is made; inject into its file")
    resource = _KNOWN.get(kind.lower())
    return Target(resource, name) if resource else None


class Cluster:
    """The API server that KUBECONFIG names, or that of this pod."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def only_agents(self) -> Agents:
        """Those of the one MetricsCluster there is. NotFound when there is none, or no telling which."""
        found = self._ask("get", KINDS[KIND].path())["items"]
        if len(found) != 1:
            there = ", ".join("{namespace}/{name}".format(**item["metadata"]) for item in found) or "none"
            raise NotFound(f"cannot tell which MetricsCluster is meant: there are {there}; use --metricscluster NAMESPACE/NAME")
        about, statsd = found[0]["metadata"], found[0].get("spec", {}).get("nodeAgent", {}).get("statsd", {})
        if statsd.get("enabled") is False:
            raise MetricsError(f"cannot send to {about['namespace']}/{about['name']}: spec.nodeAgent.statsd.enabled is false")
        service = "" if statsd.get("hostPort") else service_name(about["namespace"], about["name"])
        return Agents(service, statsd.get("port", STATSD_PORT))

    def inject(self, target: Target, namespace: str, agents: Agents) -> Patched:
        """Add the variables to the workload; its pods are replaced as after any change. MetricsError."""
        path = target.resource.kind.path(namespace, target.name)
        wanted = agents.entries()
        for attempt in range(ATTEMPTS):
            found = self._ask("get", path)
            there = list(containers({"kind": target.resource.name, "apiVersion": target.resource.kind.api_version} | found))
            notes = [
                f"{each.label}: {' and '.join(names)} set otherwise; left alone"
                for each in there
                if (names := each.otherwise(wanted))
            ]
            lacking = [(each, lacks) for each in there if (lacks := each.lacks(wanted))]
            if not lacking:
                return Patched(0, notes)
            # With the version that was read: what others change in between is not overwritten.
            patch = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}} | _patch(lacking)
            if self._ask("patch", path, patch, again=attempt < ATTEMPTS - 1):
                return Patched(len(lacking), notes)
        raise AssertionError("the last attempt raises")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, again: bool = False) -> dict[str, Any]:
        """The answer; {} for a conflict where it is to be tried again."""
        how = (
            {"content_type": "application/strategic-merge-patch+json", "field_manager": "metricscluster-inject"} if body else {}
        )
        answer = self._send(method, path, body, how)
        if answer.status == 409 and again:
            return {}
        if not 200 <= answer.status < 300:
            raise MetricsError(f"cannot {method} {path}: {_cause(answer.status, answer.body)}")
        found: dict[str, Any] = msgspec.json.decode(answer.body)
        return found


def connected() -> Cluster:
    """The API server. SettingsError when there is none, MetricsError without the package that speaks to it."""
    try:
        return Cluster(connect())
    except ModuleNotFoundError as error:
        how = f"{sys.executable} -m pip install --require-hashes -r requirements/operator.txt"
        raise MetricsError(f"cannot speak to an API server: {error}; in MetricsCluster's repository, call {how}") from error


def current_namespace() -> str:
    """That of the kubeconfig's current context, or of this pod; else `default`, as in kubectl."""
    from kubernetes import config  # noqa: PLC0415 see metricsoperator.apply

    if POD_NAMESPACE.exists():
        return POD_NAMESPACE.read_text(encoding="utf-8").strip()
    try:
        _, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise MetricsError(f"cannot find an API server: {error}") from error
    return str(active["context"].get("namespace") or "default")


def service_name(namespace: str, name: str) -> str:
    """The Service of the agents, as pods of any namespace find it."""
    return f"{names.agent(name)}.{namespace}"


def _patch(lacking: list[tuple[Container, list[Entry]]]) -> dict[str, Any]:
    """A strategic merge: containers and variables are told apart by name."""
    patch: dict[str, Any] = {}
    for container, entries in lacking:
        inner = patch
        *above, key, _ = container.path
        for step in above:
            inner = inner.setdefault(str(step), {})
        inner.setdefault(str(key), []).append({"name": container.found["name"], "env": entries})
    return patch


def _cause(status: int, body: bytes) -> str:
    """The message of a Kubernetes Status, or what there is."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    message = found.get("message") if isinstance(found, Mapping) else None
    return str(message or f"{status or 'no answer'} {body[:200].decode(errors='replace')}".strip())
