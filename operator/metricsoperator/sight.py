"""What is looked at for the status: the workloads, and where one is not ready its pods, its volume and their events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from metricsoperator import growth, names, trouble
from metricsoperator.manifests.access import granted
from metricsoperator.manifests.metadata import Manifest, Site
from metricsoperator.needs import Need, lacking, needs
from metricsoperator.objects import Objects
from metricsoperator.observed import Observed, needed_of_pod
from metricsoperator.ownership import alive, owner_uid
from metricsoperator.plan import plan
from metricsoperator.reasons import Reason
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import KeysState
from metricsoperator.status import Sight, store_ready
from metricsoperator.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What looking needs; `now` gives seconds since the epoch."""

    objects: Objects
    observed: Observed
    site: Site
    now: Callable[[], float]

    def known(
        self,
        cluster: MetricsCluster,
        *,
        faults: Sequence[Trouble],
        limits: Sequence[Trouble],
        waiting: bool,
        held: bool,
        claim: Manifest | None,
        keys: KeysState,
    ) -> Sight:
        """What is seen without asking; the arguments are what the turn found out on its way."""
        return Sight(
            stateful_set=self.observed.get("StatefulSet", cluster.namespace, names.store(cluster.name)),
            daemon_set=self.observed.get("DaemonSet", cluster.namespace, names.agent(cluster.name)),
            faults=faults,
            limits=[*limits, *self._rights(cluster)],
            waiting=waiting,
            held=held,
            volumes=growth.volumes(claim),
            keys=keys,
        )

    async def look(self, cluster: MetricsCluster, known: Sight, claim: Manifest | None, missing: Sequence[Trouble]) -> Sight:
        """All that the status is made of; `missing` are Secrets. Refused: something of it may not be read."""
        store, agents = known.stateful_set, known.daemon_set
        unmade = await self._unmade(cluster) if cluster.spec.paused else []
        pods: dict[str, list[Manifest]] = {}
        troubles: dict[str, Trouble] = {}
        for component, workload in self._unready(store, agents).items():
            pods[component] = await self._pods(cluster, component, workload)
            if trouble.answering(pods[component]) and component == names.STORE:
                continue
            causes = unmade if workload is None and unmade else missing
            found = causes[0] if causes else await self._trouble(component, workload, pods[component], claim)
            if found:
                troubles[component] = found
        return replace(
            known,
            troubles=troubles,
            limits=[*unmade, *known.limits],
            answering=trouble.answering(pods.get(names.STORE, [])),
        )

    def _unready(self, store: Manifest | None, agents: Manifest | None) -> dict[str, Manifest | None]:
        """The parts whose pods are not all ready, with their workload."""
        counts = (agents or {}).get("status", {})
        found: dict[str, Manifest | None] = {} if store_ready(store or {}) else {names.STORE: store}
        if agents is None or counts.get("numberReady", 0) < counts.get("desiredNumberScheduled", 0):
            found[names.AGENT] = agents
        return found

    async def _pods(self, cluster: MetricsCluster, component: str, workload: Manifest | None) -> list[Manifest]:
        labels = ",".join(f"{name}={value}" for name, value in names.selector(cluster.name, component).items())

        def keep(pod: Manifest) -> Manifest | None:
            return needed_of_pod(pod) if _belongs(pod, workload, names.store(cluster.name)) else None

        return await self.objects.list("Pod", cluster.namespace, labels, keep=keep)

    async def _trouble(
        self, component: str, workload: Manifest | None, pods: list[Manifest], claim: Manifest | None
    ) -> Trouble | None:
        """Why a part's pods do not run: their node, who refused them, their volume, what they or their kubelet say."""
        if component == names.STORE and (found := trouble.lost(pods, self.now())):
            return found
        unready = [pod for pod in trouble.grown(pods, self.now()) if not trouble.answering([pod])]
        desired = (workload or {}).get("status", {}).get("desiredNumberScheduled", 1)
        if workload is not None and len(pods) < desired and (found := trouble.refused(await self._events(workload), pods)):
            return found
        said = trouble.trouble(pods, self.now())
        waits = claim if unready and component == names.STORE and (not said or trouble.about_volumes(*said)) else None
        if waits is not None and (found := trouble.pending(waits, await self._events(waits))):
            return found
        if said:
            return said
        return trouble.unmounted(await self._events(unready[0])) if unready else None

    async def _events(self, of: Manifest) -> list[Manifest]:
        about = of["metadata"]
        fields = f"involvedObject.name={about['name']},involvedObject.uid={about['uid']},type=Warning"
        return await self.objects.list("Event", about["namespace"], "", fields)

    async def _unmade(self, cluster: MetricsCluster) -> list[Trouble]:
        """What is wanted and not there, and is not made while the resource is paused; the workloads come first."""
        wanted = plan(cluster, self.site, served=self.observed.served)
        found = [one for one in wanted if not self.observed.get(one["kind"], one["metadata"].get("namespace", ""), _name(one))]
        lacking = [f"{one['kind']} {_name(one)}" for one in sorted(found, key=lambda one: one["kind"] not in _WORKLOADS)]
        if await self.objects.get("Secret", cluster.namespace, names.keys(cluster.name)) is None:
            lacking.append(f"Secret {names.keys(cluster.name)}")
        if not lacking:
            return []
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        text = f"spec.paused is true, so what is missing is not made: {', '.join(lacking[:_NAMED])}{more}; set it to false"
        return [Trouble(Reason.MISSING_WHILE_PAUSED, text)]

    def _rights(self, cluster: MetricsCluster) -> list[Trouble]:
        """What stores and agents do without because the operator has no ClusterRoles to bind."""
        without = [] if self.site.cluster_roles else granted(cluster)
        message = " ".join([*(_WITHOUT[right] for right in without), "The chart's value clusterRights allows it."])
        return [Trouble(Reason.CLUSTER_RIGHTS_MISSING, message)] if without else []


async def missing(objects: Objects, cluster: MetricsCluster) -> list[tuple[Need, Trouble]]:
    """The Secrets that the resource names and that are not there."""
    found: list[tuple[Need, Trouble]] = []
    secrets: dict[str, Manifest | None] = {}
    for need in needs(cluster):
        if need.secret not in secrets:
            secrets[need.secret] = await objects.get("Secret", cluster.namespace, need.secret)
        if wrong := lacking(need, cluster.namespace, secrets[need.secret]):
            found.append((need, wrong))
    return found


def _name(item: Manifest) -> str:
    return str(item["metadata"]["name"])


def _belongs(pod: Manifest, workload: Manifest | None, store: str) -> bool:
    """Whether a pod is the workload's, by its owner: whoever may make pods can give them our labels.

    While the store's StatefulSet is made anew around its pod, that has no owner or the one that goes.
    """
    settled = workload is not None and alive(workload) and "observedGeneration" in workload.get("status", {})
    if workload is not None and (settled or owner_uid(pod)):
        return bool(owner_uid(pod) == workload["metadata"]["uid"])
    owners = pod["metadata"].get("ownerReferences", [])
    return _name(pod) == f"{store}-0" and all((one["kind"], one["name"]) == ("StatefulSet", store) for one in owners)


_WORKLOADS = ("StatefulSet", "DaemonSet")
_NAMED = 4  # of the objects that are missing
_WITHOUT = {
    names.PODS: "Containers are known by their ids alone, since agents may not list pods.",
    names.REVIEWS: "ServiceAccount tokens are refused but the agents', since nobody here may ask what RBAC permits them.",
}
