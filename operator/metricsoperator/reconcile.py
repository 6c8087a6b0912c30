"""One MetricsCluster to what it wants: idempotent, from the resource and the observed objects to the whole desired set.

It may be called at any time and end at any request; the next call goes on. Nothing is sent while everything is as wanted.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from metricsoperator import growth, names
from metricsoperator.books import Books
from metricsoperator.drift import Difference, differences
from metricsoperator.events import Posting
from metricsoperator.kinds import CLUSTER_CHILDREN
from metricsoperator.manifests.metadata import Manifest, Site, check_registry
from metricsoperator.objects import Away, Objects, Refused
from metricsoperator.observed import LARGEST, Key, Observed
from metricsoperator.ownership import alive, check_owner, owner_uid, rival, title
from metricsoperator.plan import plan
from metricsoperator.reasons import Reason
from metricsoperator.restraint import WRITES, Past, Restraint
from metricsoperator.rollout import waiting
from metricsoperator.rotation import Rotation
from metricsoperator.sight import Looking, missing
from metricsoperator.spec import MetricsCluster, parse, without_newer
from metricsoperator.state import Status
from metricsoperator.status import growing, invalid, observe
from metricsoperator.trouble import Trouble
from metricsoperator.turn import RETRIES, Outcome, Turn, reason_of
from metricwire.dcos import rfc3339
from metricwire.errors import BadInput

log = logging.getLogger(__name__)

STATUS_SECONDS = 10.0  # between two writes of a status that somebody else writes too: an operator that serves the same
UNREADY_SECONDS = 5.0  # between looks at what is not ready or grows: pods and claims say how it goes, and are not watched
_STARTING = ("ConfigMap", "StatefulSet", "DaemonSet")  # what pods begin with
_TRUSTING = ("ClusterRoleBinding", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """What reconciling needs; `now` gives seconds since the epoch, `clock` seconds that never step back, `instance` says which
    operator it is."""

    objects: Objects
    observed: Observed
    site: Site
    now: Callable[[], float]
    books: Books
    clock: Callable[[], float] = time.monotonic
    instance: str = ""
    whole: dict[Key, str] = field(default_factory=dict)  # see Rotation
    restraint: Restraint = field(default_factory=Restraint)
    reports: dict[Key, tuple[Status, float]] = field(default_factory=dict)  # the status that was written last, and when

    async def reconcile(self, key: Key) -> Outcome:
        """Make it so, and report. Retry when something did not work for now."""
        resource = self.observed.get(names.KIND, *key)
        if resource is None or not alive(resource):  # owner references delete what belongs to it
            self.restraint.forget(key)
            self.reports.pop(key, None)
            await self._take_rights(key, sure=resource is not None)
            return Outcome("gone")
        before = _status_of(resource)
        plain, newer = without_newer(resource)
        try:
            cluster = parse(plain)
            check_registry(cluster, self.site)
        except BadInput as error:
            generation = resource["metadata"].get("generation", 0)
            await self._report(resource, before, invalid(generation, str(error), before, rfc3339(self.now())))
            return Outcome("invalid")  # until it changes
        turn = Turn(keys=before.keys, limits=_newer(newer))
        await turn.take(partial(self._claim, cluster, turn))
        await turn.take(partial(self._secrets, cluster, turn))
        if turn.retry:
            raise turn.retry
        if not cluster.spec.paused:
            await self._converge(cluster, turn)
        if isinstance(turn.retry, Away):
            raise turn.retry
        if turn.hopeless and turn.retries < RETRIES:  # the namespace goes
            return Outcome("gone")
        after = await self._observe(cluster, turn, before)
        if (again := await self._report(resource, before, after)) is not None:
            turn.due(again)
        for fault in turn.faults:
            self.books.error(fault.reason)
        if turn.retry:
            raise turn.retry
        ready = after.conditions[0].status == "True"
        hurry = not ready or turn.waiting or turn.held or any(growing(volume) for volume in after.store.volumes)
        times = [seconds for seconds in (turn.again, UNREADY_SECONDS if hurry else None) if seconds is not None]
        return Outcome("ready" if ready else "unready", min(times, default=None))

    async def _take_rights(self, key: Key, *, sure: bool) -> None:
        """What has no namespace has no owner that the garbage collector could miss: it goes by us.

        It goes as soon as the resource shall go, whoever holds that up: a finalizer of others may need the pods, but no rights
        in the whole cluster. Not `sure`: the API server is asked first, as we may have seen the object before the resource.
        """
        left = [child for child in self.observed.children(key) if child["kind"] in CLUSTER_CHILDREN and alive(child)]
        if left and (sure or await self.objects.get(names.KIND, *key) is None):
            for child in left:
                log.info("deleting %s, whose MetricsCluster %s/%s goes or is gone", title(child), *key)
                await self.objects.delete(child)
                self.observed.drop(child)

    async def _converge(self, cluster: MetricsCluster, turn: Turn) -> None:
        """Everything in order; one object that is refused does not hold up the others."""
        await turn.take(partial(self._keys, cluster, turn))
        await turn.take(partial(self._grow, cluster, turn))
        wanted = plan(cluster, self.site, turn.template, self.observed.served)
        for manifest in wanted:
            await turn.take(partial(self._ensure_in_order, cluster, manifest, wanted, turn))
        await turn.take(partial(self._remove_unwanted, cluster, wanted))

    async def _claim(self, cluster: MetricsCluster, turn: Turn) -> None:
        turn.claim = await growth.look(self.objects, cluster)

    async def _secrets(self, cluster: MetricsCluster, turn: Turn) -> None:
        turn.missing = await missing(self.objects, cluster)
        turn.limits += [trouble for _, trouble in turn.missing]

    async def _keys(self, cluster: MetricsCluster, turn: Turn) -> None:
        rotation = Rotation(objects=self.objects, site=self.site, now=self.now, whole=self.whole)
        turn.keys, again = await rotation.settle(cluster, known=turn.keys.generation is not None)
        if again is not None:
            turn.due(again)

    async def _grow(self, cluster: MetricsCluster, turn: Turn) -> None:
        turn.template = growth.template(self.observed, cluster)  # and stays, if the step does not work
        grown = await growth.grow(self.objects, self.observed, cluster, turn.claim)
        turn.template, turn.claim = grown.template, grown.claim
        turn.limits += grown.limits

    async def _ensure_in_order(self, cluster: MetricsCluster, manifest: Manifest, wanted: list[Manifest], turn: Turn) -> None:
        """As `_ensure`; nothing runs with what is somebody else's, or is granted to it.

        Agents keep their image, and the settings for it, until the store runs the new one. What runs stays as it is while new
        pods could not begin.
        """
        if turn.foreign and manifest["kind"] in _TRUSTING:
            return
        if any(need.holds for need, _ in turn.missing) and self._is_change(manifest):
            turn.held = True
            return
        if waiting(self.observed, cluster, manifest, wanted):
            turn.waiting = True
            return
        await self._ensure(cluster, manifest, turn)

    def _is_change(self, manifest: Manifest) -> bool:
        """Whether what pods are made of, or begin with, is there and was wanted otherwise before."""
        about = manifest["metadata"]
        found = self.observed.get(manifest["kind"], about.get("namespace", ""), about["name"])
        return manifest["kind"] in _STARTING and found is not None and _wish(found) != _wish(manifest)

    async def _ensure(self, cluster: MetricsCluster, manifest: Manifest, turn: Turn) -> None:
        kind, name, namespace = manifest["kind"], manifest["metadata"]["name"], manifest["metadata"].get("namespace", "")
        if self.observed.too_large(kind, namespace, name):
            what, remedy = title(manifest), "remove what others added to it, or delete it: it is made anew"
            raise Refused(f"cannot look after {what}: it has more than {LARGEST // 1024} KiB; {remedy}", 413)
        found = self.observed.get(kind, namespace, name) or await self.objects.get(kind, namespace, name)
        if found is not None:
            check_owner(cluster, found)
        others = list(differences(manifest, found))
        past = self.restraint.past(Key(cluster.namespace, cluster.name), manifest, _wish(manifest))
        hold = past.held(self.clock())
        if past.done(others):
            past.fight = past.fight if hold else ""
        elif hold:
            past.fight = past.fight or await self._fight(manifest, others[0])
        else:
            past.check(others, self.clock())
            await self._write(manifest, found, others, past)
        if past.fight:
            turn.limits.append(Trouble(Reason.FOUGHT_OVER, past.fight))
            turn.due(past.held(self.clock()))

    async def _write(self, manifest: Manifest, found: Manifest | None, others: list[Difference], past: Past) -> None:
        if found is None:
            log.info("making %s", title(manifest))
        else:
            log.info("%s %s", _verb(manifest, found), title(manifest), extra={"field": str(others[0])})
        try:
            made = await self.objects.apply(manifest)
        except Refused as error:
            past.failed(error, others, self.clock())
            raise
        self.observed.put(made)
        past.written(list(differences(manifest, made)), self.clock())

    async def _fight(self, manifest: Manifest, over: Difference) -> str:
        """What is fought over, with whom, and what to do."""
        about = manifest["metadata"]
        found = await self.objects.get(manifest["kind"], about.get("namespace", ""), about["name"])
        who = rival(found, over.path) if found else ""
        does = f"changes {over} of" if over.path else "deletes"
        return (
            f"{f'the field manager {who}' if who else 'somebody'} {does} {title(manifest)} again and again; made as wanted"
            f" {WRITES} times in a row, it is now repaired rarely; stop that, or set it in the MetricsCluster"
        )

    async def _remove_unwanted(self, cluster: MetricsCluster, wanted: list[Manifest]) -> None:
        """Objects that we own and that the resource does not want any more."""
        names_wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
        for child in self.observed.children(Key(cluster.namespace, cluster.name)):
            kind, name = child["kind"], child["metadata"]["name"]
            ours = kind in CLUSTER_CHILDREN or owner_uid(child) == cluster.uid
            if (kind, name) not in names_wanted and ours and alive(child):
                log.info("deleting %s, which is not wanted any more", title(child))
                await self.objects.delete(child)

    async def _observe(self, cluster: MetricsCluster, turn: Turn, before: Status) -> Status:
        looking = Looking(objects=self.objects, observed=self.observed, site=self.site, now=self.now)
        sight = looking.known(
            cluster,
            faults=turn.faults,
            limits=turn.limits,
            waiting=turn.waiting,
            held=turn.held,
            claim=turn.claim,
            keys=turn.keys,
        )
        try:
            sight = await looking.look(cluster, sight, turn.claim, [trouble for _, trouble in turn.missing])
        except Refused as error:
            turn.faults.append(Trouble(reason_of(error), str(error)))
        return observe(cluster, sight, before, rfc3339(self.now()))

    async def _report(self, resource: Manifest, before: Status, after: Status) -> float | None:
        """Write the status, if it says something new, and tell what is new in it; or after how many seconds it shall be."""
        if after == before:
            return None
        about = resource["metadata"]
        key = Key(about["namespace"], about["name"])
        last, when = self.reports.get(key, (before, 0.0))
        if before != last and self.clock() < when + STATUS_SECONDS:
            return when + STATUS_SECONDS - self.clock()
        ready = after.conditions[0]
        if ready.message not in [condition.message for condition in before.conditions if condition.type == "Ready"]:
            log.info("%s/%s: %s", about["namespace"], about["name"], ready.message, extra={"reason": ready.reason})
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": about["name"], "namespace": about["namespace"], "uid": about["uid"]},
            "status": msgspec.to_builtins(after),
        }
        made = await self.objects.apply(manifest, "status")
        self.observed.put(made)
        self.reports[key] = _status_of(made), self.clock()
        await Posting(objects=self.objects, now=self.now, instance=self.instance).tell(resource, before, after)
        return None


def _newer(fields: list[str]) -> list[Trouble]:
    """That there are fields of a newer definition; the API server would have dropped those of none."""
    text = f"this operator is older than the CustomResourceDefinition and does not know {', '.join(fields)}; upgrade it"
    return [Trouble(Reason.DEFINITION_NEWER, text)] if fields else []


def _verb(wanted: Manifest, found: Manifest) -> str:
    """What is done about an object that is not as wanted: its hash tells when it is we who want something else."""
    return "repairing" if _wish(wanted) == _wish(found) else "updating"


def _wish(manifest: Manifest) -> str:
    """The hash of what was wanted."""
    return str(manifest["metadata"].get("annotations", {}).get(names.HASH_ANNOTATION, ""))


def _status_of(resource: Manifest) -> Status:
    """What we wrote last; an older operator's, which may look otherwise, counts as nothing."""
    try:
        return msgspec.convert(resource.get("status", {}), Status)
    except msgspec.ValidationError:
        return Status()
