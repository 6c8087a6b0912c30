"""One MetricsCluster to what it wants: idempotent, from the resource and the observed objects to the whole desired set.

It may be called at any time and end at any request; the next call goes on. Nothing is sent while everything is as wanted.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from metricsoperator import names
from metricsoperator.drift import difference
from metricsoperator.kinds import CLUSTER_CHILDREN, KINDS
from metricsoperator.manifests.access import granted, key_secret, new_keys
from metricsoperator.manifests.metadata import Manifest, Site
from metricsoperator.objects import Objects, Refused, Retry
from metricsoperator.observed import Key, Observed, key_of
from metricsoperator.plan import plan
from metricsoperator.spec import MetricsCluster, parse
from metricsoperator.state import Status
from metricsoperator.status import Sight, invalid, observe
from metricsoperator.trouble import Trouble, trouble
from metricwire.dcos import rfc3339
from metricwire.errors import BadInput
from metricwire.units import quantity

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """What reconciling needs; `now` gives seconds since the epoch."""

    objects: Objects
    observed: Observed
    site: Site
    now: Callable[[], float]

    async def reconcile(self, key: Key) -> bool:
        """Make it so, and report. Whether the resource is Ready (or gone); Retry when something did not work for now."""
        resource = self.observed.get(names.KIND, *key)
        if resource is None:
            await self._remove_left(key)
            return True
        if "deletionTimestamp" in resource["metadata"]:
            return True  # owner references delete what belongs to it
        before = _status_of(resource)
        try:
            cluster = parse(resource)
        except BadInput as error:
            generation = resource["metadata"].get("generation", 0)
            await self._report(resource, before, invalid(generation, str(error), before, rfc3339(self.now())))
            return True  # until it changes
        faults, retry = ([], None) if cluster.spec.paused else await self._converge(cluster)
        sight = await self._look(cluster, faults)
        after = observe(cluster, sight, before, rfc3339(self.now()))
        await self._report(resource, before, after)
        if retry:
            raise retry
        return after.conditions[0].status == "True"

    async def _remove_left(self, key: Key) -> None:
        """What has no namespace has no owner that the garbage collector could miss: gone with the resource, it goes by us.

        The API server is asked first: just started, we may have seen the object before the resource.
        """
        left = [child for child in self.observed.children(key) if child["kind"] in CLUSTER_CHILDREN and _alive(child)]
        if left and await self.objects.get(names.KIND, *key) is None:
            for child in left:
                log.info("deleting %s, whose MetricsCluster %s/%s is gone", _title(child), *key)
                await self.objects.delete(child)
                self.observed.drop(child)

    async def _converge(self, cluster: MetricsCluster) -> tuple[list[Trouble], Retry | None]:
        """Everything in order; one object that is refused does not hold up the others."""
        faults: list[Trouble] = []
        retry: Retry | None = None
        template = self._claim_size(cluster)
        wanted = plan(cluster, self.site, template)
        steps = [
            partial(self._ensure_keys, cluster),
            *(partial(self._ensure, cluster, manifest) for manifest in wanted),
            partial(self._grow_claim, cluster, template),
            partial(self._remove_unwanted, cluster, wanted),
        ]
        for step in steps:
            try:
                await step()
            except Refused as error:
                faults.append(Trouble("Refused" if error.status != 403 else "Forbidden", str(error)))
            except Retry as error:
                retry = error
        return faults, retry

    async def _ensure_keys(self, cluster: MetricsCluster) -> None:
        """The Secret, once. A Secret of that name that is not ours is somebody's: it is left alone, and so is the rest."""
        found = await self.objects.get("Secret", cluster.namespace, names.keys(cluster.name))
        if found is not None:
            _check_owner(cluster, found)
            return
        keys = await asyncio.to_thread(new_keys, int(self.now()))
        await self.objects.create(key_secret(cluster, self.site, keys))
        log.info("made the keys of %s/%s", cluster.namespace, cluster.name)

    async def _ensure(self, cluster: MetricsCluster, manifest: Manifest) -> None:
        kind, name, namespace = manifest["kind"], manifest["metadata"]["name"], manifest["metadata"].get("namespace", "")
        found = self.observed.get(kind, namespace, name) or await self.objects.get(kind, namespace, name)
        if found is not None:
            _check_owner(cluster, found)
            drifted = difference(manifest, found)
            if drifted is None:
                return
            log.info("%s %s", _verb(drifted), _title(manifest), extra={"field": drifted})
        else:
            log.info("making %s", _title(manifest))
        self.observed.put(await self.objects.apply(manifest))

    async def _remove_unwanted(self, cluster: MetricsCluster, wanted: list[Manifest]) -> None:
        """Objects that we own and that the resource does not want any more."""
        names_wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
        for child in self.observed.children(Key(cluster.namespace, cluster.name)):
            kind, name = child["kind"], child["metadata"]["name"]
            ours = kind in CLUSTER_CHILDREN or _owner_uid(child) == cluster.uid
            if (kind, name) not in names_wanted and ours and _alive(child):
                log.info("deleting %s, which is not wanted any more", _title(child))
                await self.objects.delete(child)

    def _claim_size(self, cluster: MetricsCluster) -> str:
        """What the StatefulSet's claim template says, which cannot be changed; "" where there is no StatefulSet."""
        found = self.observed.get("StatefulSet", cluster.namespace, names.store(cluster.name))
        if found is None or _owner_uid(found) != cluster.uid:
            return ""
        return str(found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])

    async def _grow_claim(self, cluster: MetricsCluster, template: str) -> None:
        """A larger size goes to the claim itself; where its class cannot grow, the API server says so."""
        wanted = cluster.spec.store.storage.size
        if not template or quantity(template) >= quantity(wanted):
            return
        kind, name = "PersistentVolumeClaim", names.claim(cluster.name)
        claim = await self.objects.get(kind, cluster.namespace, name)
        if claim is None or quantity(str(claim["spec"]["resources"]["requests"]["storage"])) >= quantity(wanted):
            return
        log.info("growing volume claim %s/%s to %s", cluster.namespace, name, wanted)
        await self.objects.apply(
            {
                "apiVersion": KINDS[kind].api_version,
                "kind": kind,
                "metadata": {"name": name, "namespace": cluster.namespace},
                "spec": {"resources": {"requests": {"storage": wanted}}},
            }
        )

    async def _look(self, cluster: MetricsCluster, faults: list[Trouble]) -> Sight:
        """The workloads as they are, and where one is not ready, what its pods say."""
        store = self.observed.get("StatefulSet", cluster.namespace, names.store(cluster.name))
        agents = self.observed.get("DaemonSet", cluster.namespace, names.agent(cluster.name))
        counts = (agents or {}).get("status", {})
        lacking = {
            names.STORE: (store or {}).get("status", {}).get("readyReplicas", 0) < 1,
            names.AGENT: counts.get("numberReady", 0) < counts.get("desiredNumberScheduled", 0),
        }
        troubles = {}
        for component, lacks in lacking.items():
            labels = ",".join(f"{name}={value}" for name, value in names.selector(cluster.name, component).items())
            found = trouble(await self.objects.list("Pod", cluster.namespace, labels), self.now()) if lacks else None
            if found:
                troubles[component] = found
        return Sight(stateful_set=store, daemon_set=agents, faults=faults, troubles=troubles, limits=self._limits(cluster))

    def _limits(self, cluster: MetricsCluster) -> list[Trouble]:
        """What stores and agents do without because the operator has no ClusterRoles to bind."""
        lacking = [] if self.site.cluster_roles else granted(cluster)
        message = " ".join([*(_WITHOUT[right] for right in lacking), "The chart's value clusterRights allows it."])
        return [Trouble("ClusterRightsMissing", message)] if lacking else []

    async def _report(self, resource: Manifest, before: Status, after: Status) -> None:
        """Write the status, if it says something new."""
        if after == before:
            return
        about = resource["metadata"]
        ready = after.conditions[0]
        if ready.message not in [condition.message for condition in before.conditions if condition.type == "Ready"]:
            log.info("%s/%s: %s", about["namespace"], about["name"], ready.message, extra={"reason": ready.reason})
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": about["name"], "namespace": about["namespace"], "uid": about["uid"]},
            "status": msgspec.to_builtins(after),
        }
        self.observed.put(await self.objects.apply(manifest, "status"))


_WITHOUT = {
    names.PODS: "Containers are known by their ids alone, since agents may not list pods.",
    names.REVIEWS: "ServiceAccount tokens are refused but the agents', since nobody here may ask what RBAC permits them.",
}


def _title(manifest: Manifest) -> str:
    """Which object, in words."""
    about = manifest["metadata"]
    return f"{manifest['kind']} {'/'.join(part for part in (about.get('namespace', ''), about['name']) if part)}"


def _verb(drifted: str) -> str:
    """What is done about an object whose field at this path is not as wanted: the hash tells when we want something else."""
    return "updating" if drifted.endswith(names.HASH_ANNOTATION) else "repairing"


def _status_of(resource: Manifest) -> Status:
    """What we wrote last; an older operator's, which may look otherwise, counts as nothing."""
    try:
        return msgspec.convert(resource.get("status", {}), Status)
    except msgspec.ValidationError:
        return Status()


def _owner_uid(found: Manifest) -> str | None:
    return next((str(owner["uid"]) for owner in found["metadata"].get("ownerReferences", []) if owner.get("controller")), None)


def _alive(found: Manifest) -> bool:
    return "deletionTimestamp" not in found["metadata"]


def _check_owner(cluster: MetricsCluster, found: Manifest) -> None:
    """Whether the object is this resource's to write. Refused: it is somebody else's; Retry: it is about to go.

    What has no namespace has no owner: it is ours by its labels, and those of a namesake before us are as we want them.
    """
    what = _title(found)
    owners = [owner for owner in found["metadata"].get("ownerReferences", []) if owner.get("controller")]
    ours = [owner for owner in owners if owner["uid"] == cluster.uid]
    if found["kind"] in CLUSTER_CHILDREN and key_of(found) == Key(cluster.namespace, cluster.name):
        ours = [found]
    earlier = [owner for owner in owners if owner["kind"] == names.KIND and owner["name"] == cluster.name]
    if not _alive(found) or (earlier and not ours):
        raise Retry(f"cannot write {what}: it is being deleted")
    if not ours:
        raise Refused(f"cannot write {what}: it exists and is not this MetricsCluster's; delete or rename it", 409)
