"""The running operator: watches and regular lists fill a cache and a worklist, workers reconcile what is on it.

kopf watches, and nothing else: `on.event` handlers leave no finalizer and no annotation on anybody's object, so that deleting
works without an operator. What a watch misses, the next list finds.
"""

import asyncio
import copy
import logging
import random
import ssl
import time
from typing import Any

import kopf

from metricsoperator import names
from metricsoperator.kinds import CHILDREN, CLUSTER_CHILDREN, KINDS
from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Objects
from metricsoperator.observed import Key, Observed, key_of
from metricsoperator.pulse import Pulse
from metricsoperator.reconcile import Reconciler
from metricsoperator.settings import Settings
from metricsoperator.tls import as_others_check
from metricsoperator.worklist import Worklist
from metricwire.errors import MetricsError

log = logging.getLogger(__name__)

WORKERS = 4
UNREADY_SECONDS = 5.0  # between looks at a resource that is not Ready: its pods say why, and they are not watched
OURS = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}


class Operator:
    """Everything that runs, wired together."""

    def __init__(self, settings: Settings, objects: Objects) -> None:
        self.settings = settings
        self.objects = objects
        self.observed = Observed()
        self.worklist: Worklist[Key] = Worklist(random.random)
        self.pulse = Pulse(time.monotonic)
        site = Site(settings.registry, settings.tag, settings.mount_propagation, settings.cluster_roles)
        self.reconciler = Reconciler(objects=objects, observed=self.observed, site=site, now=time.time)

    @property
    def _children(self) -> dict[str, dict[str, str]]:
        """Kind of what we make -> the labels by which ours is known; of kinds without a namespace, what belongs to ours."""
        namespace = self.settings.namespace
        where = {names.NAMESPACE_LABEL: namespace} if namespace else {}
        beyond = CLUSTER_CHILDREN if self.settings.cluster_roles else {}
        return dict.fromkeys(CHILDREN, OURS) | dict.fromkeys(beyond, OURS | where)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; ends with an exception when a part of it does."""
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(self._list_regularly())]
            loops += [tasks.create_task(self._work(f"worker {number}")) for number in range(WORKERS)]
            namespace = self.settings.namespace
            await kopf.operator(
                registry=self._registry(),
                settings=kopf_settings(),
                identity=names.FIELD_MANAGER,  # type: ignore[arg-type]  # else kopf asks for the user's name, which has none
                standalone=True,
                clusterwide=not namespace,
                namespaces=[namespace] if namespace else [],
                liveness_endpoint=f"http://0.0.0.0:{self.settings.health_port}/healthz",
            )
            for loop in loops:
                loop.cancel()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_log_in)
        kopf.on.probe(registry=registry, id="pulse", errors=kopf.ErrorsMode.PERMANENT)(self._alive)
        kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)(self._seen)
        for name, labels in self._children.items():
            kind = KINDS[name]
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, labels=labels)(self._seen)
        return registry

    async def _seen(self, event: kopf.RawEvent, **_: Any) -> None:
        """An object was made, changed or deleted, or is there when the watch begins."""
        item: dict[str, Any] = copy.deepcopy(dict(event["object"]))
        if event["type"] == "DELETED":
            self.observed.drop(item)
        else:
            self.observed.put(item)
        self.worklist.add(key_of(item))

    async def _alive(self, **_: Any) -> str:
        if silent := self.pulse.silent():
            raise kopf.PermanentError(f"silent for too long: {silent}")
        return "working"

    async def _list_regularly(self) -> None:
        while True:
            self.pulse.beat("lister")
            try:
                await self._list_all()
            except MetricsError as error:
                log.warning("cannot list; the next attempt is in %g s: %s", self.settings.resync, error)
            self.pulse.rest("lister")
            await asyncio.sleep(self.settings.resync)

    async def _list_all(self) -> None:
        namespace = self.settings.namespace
        for kind, wanted in {names.KIND: {}, **self._children}.items():
            since = self.observed.tick()
            labels = ",".join(f"{name}={value}" for name, value in wanted.items())
            found = await self.objects.list(kind, "" if kind in CLUSTER_CHILDREN else namespace, labels)
            self.observed.replace(kind, found, since)
        for key in self.observed.keys():  # noqa: SIM118 (no mapping)
            self.worklist.add(key)

    async def _work(self, name: str) -> None:
        while True:
            self.pulse.rest(name)
            key = await self.worklist.take()
            self.pulse.beat(name)
            failed = True
            try:
                if not await self.reconciler.reconcile(key):
                    self.worklist.add_later(key, UNREADY_SECONDS)
                failed = False
            except MetricsError as error:
                log.warning("%s/%s: %s", *key, error)
            except Exception:
                # A fault of ours with one resource must not end the work for the others; it is retried ever more rarely.
                log.exception("BUG: cannot reconcile %s/%s", *key)
            finally:
                self.worklist.done(key, failed=failed)


class Connection(kopf.ConnectionInfo):
    """How kopf reaches the API server; see metricsoperator.tls."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """kopf's own, a little less strict."""
        return as_others_check(super().as_ssl_context())


async def _log_in(**arguments: Any) -> kopf.ConnectionInfo | None:
    """The pod's ServiceAccount, else the kubeconfig; read by kopf itself."""
    found = kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
    return Connection(**vars(found)) if found else None


def kopf_settings() -> kopf.OperatorSettings:
    """A watch that dies silently is the field's most frequent fault (field-notes.md 15): every one of them has an end."""
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = 270  # whole: the API server reads an integer
    settings.watching.client_timeout = 300.0
    settings.watching.connect_timeout = 10.0
    settings.watching.inactivity_timeout = 90.0
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.scanning.disabled = True  # the Role grants no look at namespaces and CRDs (field-notes.md 16)
    settings.posting.enabled = False
    return settings
