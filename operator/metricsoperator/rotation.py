"""The generated keys: made once, and in three steps made anew when spec.auth.keys.generation is raised.

1. announced: the next public keys stand beside the present ones, so that every store and agent knows them before they sign;
   a kubelet takes a minute or so to bring a changed Secret into its pods.
2. overlap: the next keys sign, tokens are made anew, the old public keys stand beside them.
3. The old ones go.

How far it is stands in an annotation of the Secret, written in one request with the keys and for one version of it: killed
anywhere it goes on, and of two operators one comes too late. Entries for the other keys are always there, the same as the
present ones most of the time, so that pods need not be replaced.
"""

import asyncio
import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from metricsoperator import names
from metricsoperator.manifests.access import encoded, key_secret, new_keys, own_tokens
from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Manifest, Objects
from metricsoperator.ownership import check_owner
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import KeysState
from metricwire.dcos import rfc3339
from metricwire.units import duration

log = logging.getLogger(__name__)

ANNOUNCED_SECONDS = 120.0  # a kubelet's sync period of 60 s and what it adds to it, twice
_OTHERS = {
    names.OTHER_PUBLIC_KEY: names.PUBLIC_KEY,
    names.OTHER_LOGIN_PRIVATE_KEY: names.LOGIN_PRIVATE_KEY,
    names.OTHER_LOGIN_PUBLIC_KEY: names.LOGIN_PUBLIC_KEY,
}


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The annotation: `generation` signs; `next` is announced; since when (seconds since the epoch) the step lasts."""

    generation: int = 1
    step: Literal["", "announced", "overlap"] = ""
    next: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Keys of MetricsClusters; `now` gives seconds since the epoch."""

    objects: Objects
    site: Site
    now: Callable[[], float]

    async def settle(self, cluster: MetricsCluster) -> tuple[KeysState, float | None]:
        """See that the keys are there, and take the step that is due: how it stands, and the seconds to the next step.

        A Secret of that name that is not ours is somebody's: Refused.
        """
        found = await self.objects.get("Secret", cluster.namespace, names.keys(cluster.name))
        if found is None:
            keys = await asyncio.to_thread(new_keys, int(self.now()))
            found = await self.objects.create(key_secret(cluster, self.site, keys))
            log.info("made the keys of %s/%s", cluster.namespace, cluster.name)
        check_owner(cluster, found)
        change = await self._due(cluster, found)
        if change:
            change["metadata"] = change.get("metadata", {}) | {"resourceVersion": found["metadata"]["resourceVersion"]}
            found = await self.objects.merge("Secret", cluster.namespace, names.keys(cluster.name), change)
        return self._state(cluster, progress(found))

    async def _due(self, cluster: MetricsCluster, found: Manifest) -> Manifest:
        """What to change in the Secret now; nothing while no step is due."""
        keys, at, data = cluster.spec.auth.keys, progress(found), found.get("data", {})
        lost = at.step == "announced" and not {names.NEXT_PRIVATE_KEY, *_OTHERS} <= data.keys()  # somebody took it away
        if (at.step == "" and keys.generation > at.generation) or lost:
            new = await asyncio.to_thread(new_keys, int(self.now()))
            log.info("announcing keys of generation %d of %s/%s", keys.generation, cluster.namespace, cluster.name)
            entries = {
                names.NEXT_PRIVATE_KEY: new.private,
                names.OTHER_PUBLIC_KEY: new.public,
                names.OTHER_LOGIN_PRIVATE_KEY: new.login_private,
                names.OTHER_LOGIN_PUBLIC_KEY: new.login_public,
            }
            after = Progress(generation=at.generation, step="announced", next=keys.generation, since=self.now())
            return _changed(after, encoded(entries))
        if at.step == "announced" and self.now() >= at.since + self._lead(cluster):
            log.info("keys of generation %d of %s/%s sign from now on", at.next, cluster.namespace, cluster.name)
            return _changed(Progress(generation=at.next, step="overlap", since=self.now()), self._switched(data))
        if at.step == "overlap" and self.now() >= at.since + duration(keys.overlap):
            log.info("the keys before generation %d of %s/%s are gone", at.generation, cluster.namespace, cluster.name)
            only = {other: data[name] for other, name in _OTHERS.items() if name in data}
            return _changed(Progress(generation=at.generation), only)
        lacking = {other: data[name] for other, name in _OTHERS.items() if other not in data and name in data}
        return {"data": lacking} if lacking else {}

    def _lead(self, cluster: MetricsCluster) -> float:
        return min(ANNOUNCED_SECONDS, duration(cluster.spec.auth.keys.overlap))

    def _switched(self, data: dict[str, str]) -> dict[str, str | None]:
        """The present and the other keys change places, tokens are signed anew."""
        private = base64.b64decode(data[names.NEXT_PRIVATE_KEY]).decode()
        admin, agent = own_tokens(private, int(self.now()))
        swapped = {other: data[name] for other, name in _OTHERS.items() if name in data}
        swapped |= {name: data[other] for other, name in _OTHERS.items()}
        made = encoded({names.PRIVATE_KEY: private, names.ADMIN_TOKEN: admin, names.AGENT_TOKEN: agent})
        return {**swapped, **made, names.NEXT_PRIVATE_KEY: None}

    def _state(self, cluster: MetricsCluster, at: Progress) -> tuple[KeysState, float | None]:
        state = KeysState(generation=at.generation)
        if at.step == "announced":
            due = at.since + self._lead(cluster)
            return msgspec.structs.replace(state, next=at.next, next_signs=rfc3339(due)), max(0.0, due - self.now())
        if at.step == "overlap":
            due = at.since + duration(cluster.spec.auth.keys.overlap)
            return msgspec.structs.replace(state, old_ends=rfc3339(due)), max(0.0, due - self.now())
        return state, None


def progress(secret: Manifest) -> Progress:
    """How far the Secret says it is; one that says nothing that can be read has its first keys."""
    text = secret["metadata"].get("annotations", {}).get(names.KEYS_ANNOTATION, "{}")
    try:
        return msgspec.json.decode(text, type=Progress)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Progress()


def _changed(after: Progress, data: dict[str, str] | dict[str, str | None]) -> Manifest:
    return {"metadata": {"annotations": {names.KEYS_ANNOTATION: msgspec.json.encode(after).decode()}}, "data": data}
