"""The generated keys: made once, and in three steps made anew when spec.auth.keys.generation is raised.

1. announced: the next public keys stand beside the present ones, so that every store and agent knows them before they sign;
   a kubelet takes a minute or so to bring a changed Secret into its pods.
2. overlap: the next keys sign, tokens are made anew, the old public keys stand beside them.
3. The old ones go.

How far it is stands in an annotation of the Secret, written in one request with the keys and for one version of it: killed
anywhere it goes on, and of two operators one comes too late. Entries for the other keys are always there, the same as the
present ones most of the time, so that pods need not be replaced.

What somebody did to the Secret is mended: entries by each other (metricsoperator.keyring), the annotation by the entries, and
where a private half is lost whose public half still counts, by a rotation. A pair that is lost with both halves, or with the
Secret, is made anew at once; that is told as long as an overlap lasts, since tokens by it may not count any more.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from metricsoperator import names
from metricsoperator.keyring import NEXT, NEXT_LOGIN, OTHERS, Keyring
from metricsoperator.manifests.access import key_secret, new_keys, own_tokens
from metricsoperator.manifests.metadata import Site
from metricsoperator.objects import Manifest, Objects
from metricsoperator.observed import Key
from metricsoperator.ownership import check_owner
from metricsoperator.spec import MetricsCluster
from metricsoperator.state import KeysState
from metricwire.dcos import rfc3339
from metricwire.units import duration

log = logging.getLogger(__name__)

ANNOUNCED_SECONDS = 120.0  # a kubelet's sync period of 60 s and what it adds to it, twice


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The annotation: `generation` signs; `next` is announced; since when (seconds since the epoch) the step lasts."""

    generation: Annotated[int, Meta(ge=1)] = 1
    step: Literal["", "announced", "overlap"] = ""
    next: int = 0
    since: float = 0.0
    lost: bool = False  # whether keys were lost for good before this step began, or during it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Keys of MetricsClusters; `now` gives seconds since the epoch."""

    objects: Objects
    site: Site
    now: Callable[[], float]
    whole: dict[Key, str] = field(default_factory=dict)  # the version of a Secret in which nothing had to be mended

    async def settle(self, cluster: MetricsCluster, *, known: bool = False) -> tuple[KeysState, float | None]:
        """See that the keys are there, and take the step that is due: how it stands, and the seconds to the next step.

        `known`: there were keys before. A Secret of that name that is not ours is somebody's: Refused.
        """
        found = await self.objects.get("Secret", cluster.namespace, names.keys(cluster.name))
        key = Key(cluster.namespace, cluster.name)
        if found is None:
            keys = await asyncio.to_thread(new_keys, int(self.now()))
            secret = key_secret(cluster, self.site, keys)
            if known:
                wanted = cluster.spec.auth.keys.generation
                secret["metadata"]["annotations"] = _annotation(
                    Progress(generation=wanted, step="overlap", since=self.now(), lost=True)
                )
            found = await self.objects.create(secret)
            self.whole[key] = found["metadata"]["resourceVersion"]
            log.info("made the keys of %s/%s", *key)
        check_owner(cluster, found)
        version, at = found["metadata"]["resourceVersion"], told(found)
        if at is not None and self.whole.get(key) == version and not self._is_due(cluster, at):
            return self._state(cluster, at, [])
        ring = Keyring(found)
        after = await asyncio.to_thread(self._turn, cluster, ring, at or Progress())
        unusable, data = await asyncio.to_thread(ring.unusable), ring.changes()
        if data or after != at:
            log.info("writing keys of %s/%s, %s: %s", *key, after.step or "none rotated", ", ".join(sorted(data)) or "no entry")
            change = {"metadata": {"resourceVersion": version, "annotations": _annotation(after)}, "data": data}
            await self.objects.merge("Secret", cluster.namespace, names.keys(cluster.name), change)
        elif not unusable:
            self.whole[key] = version
        return self._state(cluster, after, unusable)

    def _is_due(self, cluster: MetricsCluster, at: Progress) -> bool:
        """Whether a step is; or the clock was set back, by which one would never be."""
        keys, now = cluster.spec.auth.keys, self.now()
        if not at.step:
            return keys.generation > at.generation
        return now >= at.since + self._lasts(cluster, at) or now < at.since

    def _lasts(self, cluster: MetricsCluster, at: Progress) -> float:
        """Seconds of the present step."""
        overlap = duration(cluster.spec.auth.keys.overlap)
        return min(ANNOUNCED_SECONDS, overlap) if at.step == "announced" else overlap

    def _turn(self, cluster: MetricsCluster, ring: Keyring, at: Progress) -> Progress:
        """Mend the entries, and take the step that is due."""
        keys, now = cluster.spec.auth.keys, self.now()
        ring.mend(int(now))
        at = _plausible(at, ring, keys.generation, now)
        if ring.lost:
            at = msgspec.structs.replace(at, lost=True) if at.step else Progress(at.generation, "overlap", since=now, lost=True)
        taken = at.step == "announced" and not (ring.fits(NEXT) and ring.fits(NEXT_LOGIN))  # by somebody
        wanted = at.step == "" and (keys.generation > at.generation or ring.unusable())
        if taken or wanted:
            new = new_keys(int(now))
            ring.entries |= {
                names.NEXT_PRIVATE_KEY: new.private,
                names.OTHER_PUBLIC_KEY: new.public,
                names.OTHER_LOGIN_PRIVATE_KEY: new.login_private,
                names.OTHER_LOGIN_PUBLIC_KEY: new.login_public,
            }
            return Progress(generation=at.generation, step="announced", next=keys.generation, since=now, lost=at.lost)
        if at.step == "announced" and self._is_due(cluster, at):
            _switch(ring, int(now))
            return Progress(generation=max(at.next, at.generation), step="overlap", since=now, lost=at.lost)
        if at.step == "overlap" and self._is_due(cluster, at):
            ring.entries |= {other: ring.entries[name] for other, name in OTHERS.items() if name in ring.entries}
            return Progress(generation=at.generation)
        return at

    def _state(self, cluster: MetricsCluster, at: Progress, unusable: list[str]) -> tuple[KeysState, float | None]:
        state = KeysState(generation=at.generation, unusable=tuple(unusable), lost=at.lost)
        if not at.step:
            return state, 0.0 if unusable else None
        due = at.since + self._lasts(cluster, at)
        again = max(0.0, due - self.now())
        if at.step == "announced":
            return msgspec.structs.replace(state, next=at.next, next_signs=rfc3339(due)), again
        return msgspec.structs.replace(state, old_ends=rfc3339(due)), again


def _annotation(at: Progress) -> dict[str, str]:
    return {names.KEYS_ANNOTATION: msgspec.json.encode(at).decode()}


def told(secret: Manifest) -> Progress | None:
    """How far the Secret says it is; None when it says nothing that can be read."""
    text = secret["metadata"].get("annotations", {}).get(names.KEYS_ANNOTATION, "")
    try:
        return msgspec.json.decode(text, type=Progress)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _plausible(at: Progress, ring: Keyring, wanted: int, now: float) -> Progress:
    """How far it is by the entries too: keys that stand beside the present ones are announced or in overlap, whatever is told.
    Nothing began after now, or is of a generation that nobody has asked for."""
    at = msgspec.structs.replace(at, generation=min(at.generation, wanted), next=min(at.next, wanted), since=min(at.since, now))
    others = [(names.OTHER_PUBLIC_KEY, names.PUBLIC_KEY), (names.OTHER_LOGIN_PUBLIC_KEY, names.LOGIN_PUBLIC_KEY)]
    if at.step or all(ring.public(other) == ring.public(present) for other, present in others):
        return at
    if ring.fits(NEXT):
        return Progress(generation=at.generation, step="announced", next=wanted, since=now)
    return Progress(generation=at.generation, step="overlap", since=now)


def _switch(ring: Keyring, now: int) -> None:
    """The present and the other keys change places, tokens are signed anew."""
    present = {other: ring.entries[name] for other, name in OTHERS.items() if name in ring.entries}
    ring.entries |= {name: ring.entries[other] for other, name in OTHERS.items()} | present
    ring.entries[names.PRIVATE_KEY] = private = ring.entries.pop(names.NEXT_PRIVATE_KEY)
    ring.entries[names.ADMIN_TOKEN], ring.entries[names.AGENT_TOKEN] = own_tokens(private, now)
    ring.mend(now)  # of the keys that go: what cannot be used
