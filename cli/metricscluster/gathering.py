"""What a diagnosis consists of: objects, logs, what the parts say of themselves. What cannot be had is noted with the reason.

Nothing is collected that is not ours, and of objects what is known to be harmless (excerpt). No Secret is put into it: those
that the MetricsCluster uses are read, where that is allowed, so that their values can be blacked out wherever they turn up
(redaction).
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from metricscluster import reach
from metricscluster.asking import Asking
from metricscluster.bundle import LARGEST, Bundle
from metricscluster.client import Client
from metricscluster.excerpt import excerpt, is_ours
from metricscluster.findings import cluster_name
from metricscluster.kubectl import Kubectl
from metricscluster.observation import COMPONENT, OURS, Manifest, Observed
from metricscluster.redaction import Redactor
from metricsoperator import names
from metricwire.errors import MetricsError
from metricwire.exposition import RESERVED

AGENTS = 20  # whose logs and metrics are taken, those that are not ready first
AT_ONCE = 4  # kubectls
LINES = 20_000  # of a log
READ = 2 * LARGEST  # bytes of a log that are looked through for secrets: of one that is cut the end is taken, without halves
_OURS = (  # kinds whose objects carry our labels
    *("pods", "statefulsets", "daemonsets", "deployments", "replicasets", "controllerrevisions", "services", "endpointslices"),
    *("configmaps", "persistentvolumeclaims", "serviceaccounts", "networkpolicies", "poddisruptionbudgets"),
    *("roles", "rolebindings"),
)
_OTHERS = (reach.RESOURCE, "events", "resourcequotas", "limitranges")
_OURS_OF_CLUSTER = ("clusterroles", "clusterrolebindings")
_OTHERS_OF_CLUSTER = ("nodes", "storageclasses", "persistentvolumes")


class Job(NamedTuple):
    """Something to get: files by their path, and how many bytes before them were left out."""

    what: str
    get: Callable[[], dict[str, tuple[str, int]]]


class Gathering:
    """One MetricsCluster; `observed` is what its status shows of it."""

    def __init__(self, kube: Kubectl, cluster: Manifest, observed: Observed, bundle: Bundle) -> None:
        self._kube, self._cluster, self._observed, self._bundle = kube, cluster, observed, bundle
        self._namespace, self._name = cluster["metadata"]["namespace"], cluster["metadata"]["name"]
        self._operators = observed.operator_pods()
        self._known: list[bytes] = []
        self._token: str | None = None
        self.redactor = Redactor()
        self.state = b""  # /metrics/self of the store
        self.hosts: frozenset[str] | None = None  # that the store has fresh samples of

    def read_secrets(self) -> None:
        """What must not be in the archive. A Secret that may not be read is noted."""
        wanted = {names.keys(self._name), *_secret_names(self._cluster.get("spec", {}))}
        for name in sorted(wanted):
            try:
                found = reach.secret(self._kube, self._namespace, name)
            except MetricsError as error:
                self._bundle.lack(f"the values of secret {name}, to black them out (patterns did)", str(error))
                continue
            self._known += found.values()
            if name == names.keys(self._name) and names.ADMIN_TOKEN in found:
                self._token = found[names.ADMIN_TOKEN].decode("ascii", "replace").strip()
        self.redactor = Redactor(self._known)

    def steps(self) -> int:
        """How many things there are to get."""
        return len(self._jobs()) + len(self._asked())

    def gather(self, done: Callable[[str], None]) -> None:
        """Get all of it; `done` is told of each."""
        for pod in self._pods():
            others = [one["name"] for one in pod["spec"].get("containers", []) if not is_ours(one)]
            if others:
                self._bundle.lack(f"logs of {', '.join(others)} in pod {pod['metadata']['name']}", "they are not of ours")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for job, files in zip(jobs := self._jobs(), pool.map(self._get, jobs), strict=True):
                for path, (text, before) in files.items():
                    self._bundle.add(path, text, before)
                done(job.what)
        for pod, port, paths in self._asked():  # when no other thread runs: see kubectl.Forwarding
            self._ask(pod, port, paths)
            done(pod["metadata"]["name"])

    def _get(self, job: Job) -> dict[str, tuple[str, int]]:
        try:
            return job.get()
        except MetricsError as error:
            self._bundle.lack(job.what, self.redactor.text(str(error)))
        return {}

    def _jobs(self) -> list[Job]:
        labels, inside = ("-l", OURS), ("-n", self._namespace)
        groups = ((_OURS, (*inside, *labels)), (_OTHERS, inside), (_OURS_OF_CLUSTER, labels), (_OTHERS_OF_CLUSTER, ()))
        jobs = [Job("objects", partial(self._objects, kinds, where)) for kinds, where in groups]
        jobs.append(self._text("versions/kubectl.txt", "tell versions", "version"))
        jobs.append(self._text("objects/pods.txt", "get pods", "get", "pods", "-A", "-o", "wide", *labels))
        jobs.append(Job("images", self._images))
        jobs.append(Job("operators", self._deployments))
        for pod in self._pods():
            jobs += self._logs(pod)
        return jobs

    def _text(self, path: str, what: str, *arguments: str) -> Job:
        """What kubectl prints, as a file."""

        def get() -> dict[str, tuple[str, int]]:
            text, before = self._kube.end(what, *arguments, most=READ)
            return {path: (self.redactor.text(text), before)}

        return Job(path, get)

    def _objects(self, kinds: Sequence[str], where: Sequence[str]) -> dict[str, tuple[str, int]]:
        """A file for each kind that there is."""
        try:
            items = self._kube.get(",".join(kinds), *where)["items"]
        except MetricsError:  # of one of them, but which?
            items = [one for kind in kinds for one in self._kind(kind, where)]
        found: dict[str, list[Manifest]] = {}
        for one in items:
            if self._concerns(one) and (shown := excerpt(one)) is not None:
                found.setdefault(one["kind"], []).append(self.redactor.plain(shown))
        return {f"objects/{kind}.json": (json.dumps(those, indent=1), 0) for kind, those in found.items()}

    def _deployments(self) -> dict[str, tuple[str, int]]:
        """Operators may run in another namespace."""
        found = [self.redactor.plain(excerpt(one)) for one in self._observed.operators]
        return {"objects/operators.json": (json.dumps(found, indent=1), 0)}

    def _concerns(self, found: Manifest) -> bool:
        """Whether an object that carries none of our labels is about this MetricsCluster."""
        if found["kind"] == "Event":
            about: str = found.get("involvedObject", {}).get("name", "")
            ours = [self._name, names.store(self._name), names.agent(self._name), names.claim(self._name)]
            ours += [one["metadata"]["name"] for one in self._observed.operators]
            return about in ours or about.startswith(tuple(f"{one}-" for one in ours[1:]))
        if found["kind"] == "PersistentVolume":
            claim = found.get("spec", {}).get("claimRef") or {}
            wanted = (self._namespace, names.claim(self._name))
            return wanted == (claim.get("namespace"), claim.get("name"))
        return True

    def _kind(self, kind: str, where: Sequence[str]) -> list[Manifest]:
        try:
            found: list[Manifest] = self._kube.get(kind, *where)["items"]
        except MetricsError as error:
            self._bundle.lack(kind, self.redactor.text(str(error)))
            return []
        return found

    def _logs(self, pod: Manifest) -> Iterator[Job]:
        about = pod["metadata"]
        for container in pod["spec"].get("containers", []):
            if not is_ours(container):
                continue
            where = ("logs", "-n", about["namespace"], about["name"], "-c", container["name"], f"--tail={LINES}")
            stem = f"logs/{about['name']}.{container['name']}"
            what = f"read the log of pod {about['name']}"
            yield self._text(f"{stem}.log", what, *where, "--timestamps")
            said = pod.get("status", {}).get("containerStatuses", [])
            if any(one["name"] == container["name"] and one.get("restartCount") for one in said):
                yield self._text(f"{stem}.previous.log", what, *where, "--previous")

    def _images(self) -> dict[str, tuple[str, int]]:
        lines = []
        for pod in self._pods():
            name, said = pod["metadata"]["name"], pod.get("status", {}).get("containerStatuses", [])
            lines += [f"{name} {one['name']}: {one.get('image')} {one.get('imageID')}" for one in said]
        return {"versions/images.txt": (self.redactor.text("\n".join(lines) + "\n"), 0)}

    def _pods(self) -> list[Manifest]:
        """The operator's, the store's, and agents'."""
        agents = self._observed.of(self._cluster, "pods", names.AGENT)
        agents.sort(key=lambda pod: (_ready(pod), pod["metadata"]["name"]))
        return [*self._operators, *self._observed.of(self._cluster, "pods", names.STORE), *agents[:AGENTS]]

    def _asked(self) -> list[tuple[Manifest, int, dict[str, str]]]:
        """Pods, the port on which they tell of themselves, and path -> file."""
        found = []
        for pod in self._pods():
            name = pod["metadata"]["name"]
            ours = [one for one in pod["spec"]["containers"] if is_ours(one)]
            ports = {port.get("name"): port["containerPort"] for one in ours for port in one.get("ports", [])}
            port = next((ports[wanted] for wanted in ("ops", "metrics") if wanted in ports), 0)
            store = _is_store(pod)
            paths = {"/metrics/self" if store else "/metrics": f"metrics/{name}.txt", "/healthz": f"metrics/{name}.healthz.txt"}
            found.append((pod, port, paths | ({"/readyz": f"metrics/{name}.readyz.txt"} if store else {})))
        return found

    def _ask(self, pod: Manifest, port: int, paths: dict[str, str]) -> None:
        about = pod["metadata"]
        store = _is_store(pod)
        if not port:
            self._bundle.lack(f"metrics of pod {about['name']}", "it names no port for them")
            return
        wanted = (port, names.STORE_API_PORT) if store else (port,)
        try:
            with self._kube.forward(about["namespace"], about["name"], wanted) as ports:
                client = Client(f"http://127.0.0.1:{ports[port]}")
                for path, file in paths.items():
                    self._answer(client, path, file)
                if store:
                    self._cardinality(ports[names.STORE_API_PORT])
                    self.hosts = Asking(client, cluster_name(self._cluster)).heard()
        except MetricsError as error:
            self._bundle.lack(f"metrics of pod {about['name']}", self.redactor.text(str(error)))

    def _answer(self, client: Client, path: str, file: str) -> None:
        try:
            text = client.ask(path)
        except MetricsError as error:
            self._bundle.lack(file, self.redactor.text(str(error)))
            return
        if path == "/metrics/self":
            self.state = text
        shown = _own(text) if path.startswith("/metrics") else text.decode("utf-8", "replace")
        if file.endswith(".json"):
            self._bundle.add(file, self.redactor.json(shown))
        else:
            self._bundle.add(file, self.redactor.text(shown))

    def _cardinality(self, port: int) -> None:
        """Where the series come from, which only those with a token are told."""
        if self._token is None:
            self._bundle.lack("metrics/cardinality.json", f"secret {names.keys(self._name)} gave no token")
            return
        if (self._cluster["spec"].get("store", {}).get("tls") or {}).get("secretName"):
            chosen = reach.choose(self._kube, self._namespace, self._name)
            context, scheme = reach.trusting(self._kube, chosen, None), "https"
        else:
            context, scheme = None, "http"
        client = Client(f"{scheme}://127.0.0.1:{port}", token=lambda: self._token or "", context=context)
        self._answer(client, "/api/cardinality", "metrics/cardinality.json")


def folder(name: str) -> str:
    """What the archive's folder is called."""
    return f"metricscluster-{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"


def _secret_names(found: Any) -> Iterator[str]:
    """The Secrets that a spec names."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in {"secretName", "credentialsSecret"} and isinstance(value, str) and value:
                yield value
            else:
                yield from _secret_names(value)
    elif isinstance(found, list):
        for one in found:
            yield from _secret_names(one)


def _own(text: bytes) -> str:
    """The lines of an exposition that a program says of itself."""
    lines = text[: 16 * LARGEST].decode("utf-8", "replace").splitlines()
    own = [line for line in lines if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith((*RESERVED, "go_"))]
    return "\n".join(own) + "\n"


def _ready(pod: Manifest) -> bool:
    said = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in said)


def _is_store(pod: Manifest) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(COMPONENT) == names.STORE)
