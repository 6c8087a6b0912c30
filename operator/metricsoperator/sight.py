"""What is looked at for the status: the workloads, and where one is not ready its pods, its volume and their events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metricsoperator import growth, names, trouble
from metricsoperator.manifests.access import granted
from metricsoperator.manifests.metadata import Manifest, Site
from metricsoperator.needs import lacking, needs
from metricsoperator.objects import Objects
from metricsoperator.observed import Observed
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

    async def look(
        self,
        cluster: MetricsCluster,
        *,
        faults: Sequence[Trouble],
        limits: Sequence[Trouble],
        waiting: bool,
        claim: Manifest | None,
        keys: KeysState,
    ) -> Sight:
        """All that the status is made of; the arguments are what the turn found out on its way."""
        store = self.observed.get("StatefulSet", cluster.namespace, names.store(cluster.name))
        agents = self.observed.get("DaemonSet", cluster.namespace, names.agent(cluster.name))
        missing = await self._missing_secrets(cluster)
        pods: dict[str, list[Manifest]] = {}
        troubles: dict[str, Trouble] = {}
        for component, workload in self._unready(store, agents).items():
            pods[component] = await self._pods(cluster, component)
            if trouble.answering(pods[component]) and component == names.STORE:
                continue
            found = missing[0] if missing else await self._trouble(component, workload, pods[component], claim)
            if found:
                troubles[component] = found
        return Sight(
            stateful_set=store,
            daemon_set=agents,
            faults=faults,
            troubles=troubles,
            limits=[*limits, *missing, *self._rights(cluster)],
            answering=trouble.answering(pods.get(names.STORE, [])),
            waiting=waiting,
            volumes=growth.volumes(claim),
            keys=keys,
        )

    def _unready(self, store: Manifest | None, agents: Manifest | None) -> dict[str, Manifest | None]:
        """The parts whose pods are not all ready, with their workload."""
        counts = (agents or {}).get("status", {})
        found: dict[str, Manifest | None] = {} if store_ready(store or {}) else {names.STORE: store}
        if counts.get("numberReady", 0) < counts.get("desiredNumberScheduled", 0):
            found[names.AGENT] = agents
        return found

    async def _pods(self, cluster: MetricsCluster, component: str) -> list[Manifest]:
        labels = ",".join(f"{name}={value}" for name, value in names.selector(cluster.name, component).items())
        return await self.objects.list("Pod", cluster.namespace, labels)

    async def _trouble(
        self, component: str, workload: Manifest | None, pods: list[Manifest], claim: Manifest | None
    ) -> Trouble | None:
        """Why a part's pods do not run: who refused them, their volume, what they say themselves, what their kubelet says."""
        unready = [pod for pod in trouble.grown(pods, self.now()) if not trouble.answering([pod])]
        desired = (workload or {}).get("status", {}).get("desiredNumberScheduled", 1)
        if workload is not None and len(pods) < desired and (found := trouble.refused(await self._events(workload))):
            return found
        waits = claim if unready and component == names.STORE else None
        if waits is not None and (found := trouble.pending(waits, await self._events(waits))):
            return found
        if found := trouble.trouble(pods, self.now()):
            return found
        return trouble.unmounted(await self._events(unready[0])) if unready else None

    async def _events(self, of: Manifest) -> list[Manifest]:
        about = of["metadata"]
        fields = f"involvedObject.name={about['name']},involvedObject.uid={about['uid']},type=Warning"
        return await self.objects.list("Event", about["namespace"], "", fields)

    async def _missing_secrets(self, cluster: MetricsCluster) -> list[Trouble]:
        """The Secrets that the resource names and that are not there."""
        found: list[Trouble] = []
        secrets: dict[str, Manifest | None] = {}
        for need in needs(cluster):
            if need.secret not in secrets:
                secrets[need.secret] = await self.objects.get("Secret", cluster.namespace, need.secret)
            if wrong := lacking(need, cluster.namespace, secrets[need.secret]):
                found.append(wrong)
        return found

    def _rights(self, cluster: MetricsCluster) -> list[Trouble]:
        """What stores and agents do without because the operator has no ClusterRoles to bind."""
        without = [] if self.site.cluster_roles else granted(cluster)
        message = " ".join([*(_WITHOUT[right] for right in without), "The chart's value clusterRights allows it."])
        return [Trouble(Reason.CLUSTER_RIGHTS_MISSING, message)] if without else []


_WITHOUT = {
    names.PODS: "Containers are known by their ids alone, since agents may not list pods.",
    names.REVIEWS: "ServiceAccount tokens are refused but the agents', since nobody here may ask what RBAC permits them.",
}
