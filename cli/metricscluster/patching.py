"""Environment variables put into live workloads, by the user's own kubectl."""

import json
import re
from typing import Any, NamedTuple

from metricscluster.kubectl import Conflict, Kubectl
from metricscluster.podspecs import Agents, Container, Entry, containers
from metricscluster.reach import RESOURCE
from metricsoperator import names
from metricsoperator.kinds import Kind
from metricwire.errors import BadInput, MetricsError, NotFound

STATSD_PORT = 8125
ATTEMPTS = 3  # to patch what others change meanwhile
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
    def plural(self) -> str:
        """As kubectl takes it, whatever else has such a name."""
        return f"{self.resource.kind.plural}.{self.resource.kind.group}".rstrip(".")

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
    """The API server that kubectl speaks to."""

    def __init__(self, kube: Kubectl) -> None:
        self._kube = kube

    def only_agents(self) -> Agents:
        """Those of the one MetricsCluster there is. NotFound when there is none, or no telling which."""
        found = self._kube.get(RESOURCE, "-A")["items"]
        if len(found) != 1:
            there = ", ".join("{namespace}/{name}".format(**item["metadata"]) for item in found) or "none"
            raise NotFound(f"cannot tell which MetricsCluster is meant: there are {there}; use --metricscluster NAMESPACE/NAME")
        about, statsd = found[0]["metadata"], found[0].get("spec", {}).get("nodeAgent", {}).get("statsd", {})
        if statsd.get("enabled") is False:
            raise MetricsError(f"cannot send to {about['namespace']}/{about['name']}: spec.nodeAgent.statsd.enabled is false")
        service = "" if statsd.get("hostPort") else service_name(about["namespace"], about["name"])
        return Agents(service, statsd.get("port", STATSD_PORT))

    def inject(self, target: Target, namespace: str, agents: Agents) -> Patched:
        """Add the variables to the workload, which replaces its pods; namespace "": kubectl's. MetricsError."""
        scope = ("-n", namespace) if namespace else ()
        wanted = agents.entries()
        for attempt in range(ATTEMPTS):
            found = self._kube.get(target.plural, target.name, *scope)
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
            words = ("--type=strategic", "--field-manager=metricscluster-inject", "-o", "name", "-p", json.dumps(patch))
            try:
                self._kube.text(f"patch {target.label}", "patch", target.plural, target.name, *scope, *words)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            return Patched(len(lacking), notes)
        raise AssertionError("the last attempt raises")


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
