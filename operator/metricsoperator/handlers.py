"""The running operator: watches and regular lists fill a cache and a worklist, turns reconcile what is on it.

kopf watches, and nothing else: `on.event` handlers leave no finalizer and no annotation on anybody's object, so that deleting
works without an operator. What a watch misses, the next list finds; a watch that says nothing more ends the operator.

Two operators at once do the same work twice and never against each other: what is wanted follows from the resource alone, and
only what differs is written. That is why there is no Lease: it would be the one thing that an idle cluster sees us write, every
few seconds and for good, and an operator that waits for it is later at work than one that just begins.
"""

import asyncio
import logging
import platform
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kopf

from metricsoperator import monitorlist, names, orphans
from metricsoperator.books import Books
from metricsoperator.deliveries import Deliveries
from metricsoperator.kinds import CHILDREN, CLUSTER_CHILDREN, KINDS
from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Objects, Refused
from metricsoperator.observed import Key, Observed, key_of, needed
from metricsoperator.pulse import Pulse
from metricsoperator.reconcile import Reconciler
from metricsoperator.settings import Settings
from metricsoperator.worklist import Worklist
from metricwire.errors import MetricsError, SettingsError
from metricwire.trust import as_others_check

log = logging.getLogger(__name__)

FIRST_PAUSE = 2.0  # seconds after a list that failed, doubled with each
OURS = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}


class Operator:
    """Everything that runs, wired together. `worklist` is what `books` count."""

    def __init__(self, settings: Settings, objects: Objects, books: Books, worklist: Worklist[Key], pulse: Pulse) -> None:
        self.settings = settings
        self.objects = objects
        self.books = books
        self.worklist = worklist
        self.observed = Observed()
        self.deliveries = Deliveries()
        self.monitors = monitorlist.MonitorList(objects, self.observed, settings.namespace)
        self.pulse = pulse
        self.begun = False  # its rights are checked, and everything has been looked at once
        site = Site(settings.registry, settings.tag, settings.mount_propagation, settings.cluster_roles, settings.registries)
        self.reconciler = Reconciler(
            objects=objects, observed=self.observed, site=site, now=time.time, books=books, instance=platform.node()
        )

    @property
    def _children(self) -> dict[str, dict[str, str]]:
        """Kind of what we make -> the labels by which ours is known; of kinds without a namespace, what belongs to ours."""
        namespace = self.settings.namespace
        where = {names.NAMESPACE_LABEL: namespace} if namespace else {}
        beyond = CLUSTER_CHILDREN if self.settings.cluster_roles else {}
        return dict.fromkeys(CHILDREN, OURS) | dict.fromkeys(beyond, OURS | where)

    def faults(self) -> list[str]:
        """Why this process should be started anew; nothing while it works."""
        silent = [f"{loop} has not moved for {seconds:.0f} s" for loop, seconds in self.pulse.silent().items()]
        return silent + [f"the watch of {kind} says nothing more" for kind in self.deliveries.dead()]

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; ends with an exception when a part of it does."""
        namespace = self.settings.namespace
        watching = kopf.operator(
            registry=self._registry(),
            settings=self._kopf_settings(),
            identity=names.FIELD_MANAGER,  # type: ignore[arg-type]  # else kopf asks for the user's name, which has none
            standalone=True,
            clusterwide=not namespace,
            namespaces=[namespace] if namespace else [],
        )
        loops = (watching, self._list_regularly(), self._list_monitors(), self._work())
        tasks = [asyncio.ensure_future(each) for each in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            for task in done:
                task.result()
        except _End as error:
            raise SettingsError(str(error)) from error
        except Exception as error:  # kopf's own, and whatever it met
            raise SettingsError(f"cannot go on watching: {type(error).__name__}: {error}") from error

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_log_in)
        kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)(self._seen)
        for name, labels in self._children.items():
            kind = KINDS[name]
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, labels=labels)(self._seen)
        return registry

    def _kopf_settings(self) -> kopf.OperatorSettings:
        settings = kopf_settings()
        for name, labels in self._children.items():  # else every ConfigMap of a cluster would come by
            kind = KINDS[name]
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = _selector(labels)
        return settings

    async def _seen(self, event: kopf.RawEvent, **_: Any) -> None:
        """An object was made, changed or deleted, or is there when the watch begins."""
        item: dict[str, Any] = dict(event["object"])
        self.books.said(item["kind"], event["type"])
        key = key_of(item)
        if event["type"] == "DELETED" or key is None:
            self.observed.drop(item)
            self.deliveries.said_gone(item)
            for large in event["object"].keys() - {"apiVersion", "kind", "metadata"}:
                del event["object"][large]  # type: ignore[misc]  # kopf holds what it said last of each object for a while
        else:
            self.deliveries.said(item)
            self.observed.put(item)
        if key is not None:
            self.worklist.add(key)

    async def _list_regularly(self) -> None:
        failures = 0
        while True:
            self.pulse.beat("the lister")
            try:
                await self._list_all()
                failures, pause = 0, self.settings.resync
            except MetricsError as error:
                failures, pause = failures + 1, min(self.settings.resync, FIRST_PAUSE * 2 ** min(failures, 10))
                pause *= 0.75 + random.random() / 2  # noqa: S311 (jitter)
                log.warning("cannot list; the next attempt is in %.0f s: %s", pause, error)
            self.books.listed(worked=not failures)
            self.pulse.rest("the lister")
            await asyncio.sleep(pause)

    async def _list_all(self) -> None:
        for kind, wanted in {names.KIND: {}, **self._children}.items():
            since = self.observed.tick()
            try:
                found = await self._list(kind, wanted)
            except Refused as error:
                if kind == names.KIND and error.status == 404:
                    gone = f"the CustomResourceDefinition {names.PLURAL}.{names.GROUP} is gone"
                    raise _End(f"cannot go on: {gone}; the next start waits for it") from error
                raise
            self.observed.replace(kind, found, since)
            self.deliveries.listed(kind, found)
        for key in self.observed.keys():  # noqa: SIM118 (no mapping)
            self.worklist.add(key)
        await orphans.remove(self.objects, self.settings.namespace)
        self.begun = True

    async def _list(self, kind: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        namespace = "" if kind in CLUSTER_CHILDREN else self.settings.namespace
        return await self.objects.list(kind, namespace, _selector(labels), keep=needed)

    async def _list_monitors(self) -> None:
        """Monitors, and whether there are such kinds: whoever lacks or has one gets a turn."""
        while True:
            self.pulse.beat("the lister of monitors")
            try:
                if await self.monitors.look():
                    for key in self.observed.keys():  # noqa: SIM118 (no mapping)
                        self.worklist.add(key)
            except MetricsError as error:
                log.warning("cannot list monitors: %s", error)
            self.pulse.rest("the lister of monitors")
            await asyncio.sleep(monitorlist.SECONDS)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as turns:
            while True:
                turns.create_task(self._turn(await self.worklist.take()))

    async def _turn(self, key: Key) -> None:
        name = f"the turn of {key.namespace}/{key.name}"
        self.pulse.beat(name)
        async with self._counted(key):
            outcome = await self.reconciler.reconcile(key)
            self.books.turn(key, outcome.result)
            if outcome.result != "gone":
                self.books.success(key, time.time(), ready=outcome.result == "ready")
            if outcome.again is not None:
                self.worklist.add_later(key, outcome.again)
        self.pulse.rest(name)

    @asynccontextmanager
    async def _counted(self, key: Key) -> AsyncIterator[None]:
        """A turn: timed, and what goes wrong in it counted, told and tried again ever more rarely."""
        began, failed = time.monotonic(), True
        try:
            yield
            failed = False
        except MetricsError as error:
            self.books.failed(key, type(error).__name__)
            log.warning("%s/%s: %s", *key, error)
        except Exception:
            # A fault of ours with one resource must not end the work for the others.
            self.books.failed(key, "Bug")
            log.exception("BUG: cannot reconcile %s/%s", *key)
        finally:
            self.books.lasted(time.monotonic() - began)
            self.worklist.done(key, failed=failed)


class _End(Exception):
    """The process cannot go on."""


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


class Connection(kopf.ConnectionInfo):
    """How kopf reaches the API server; see metricwire.trust."""

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
    settings.watching.inactivity_timeout = 90.0  # the API server sends a bookmark every minute
    settings.watching.chunk_size = 4  # objects of a list before a watch: each may have 1.5 MB, and several copies are made
    settings.queueing.idle_timeout = 0.1  # for so long kopf holds what it has been told last of each object
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.networking.error_backoffs = (0.5, 1.0, 2.0, 4.0)  # then the stream begins anew: it never waits for long
    settings.scanning.disabled = True  # the Role grants no look at namespaces and CRDs (field-notes.md 16)
    settings.posting.enabled = False
    return settings
