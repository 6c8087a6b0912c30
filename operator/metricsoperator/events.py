"""Events: what `kubectl describe` shows of a MetricsCluster's life, one for each reason that its conditions newly have.

What was said before is in the status, so that an operator that starts anew repeats nothing. The status is written first: ended
in between, an event is lost, and none is there twice. A reason that comes again within the hour that events live is the same
event, counted.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from metricsoperator import names
from metricsoperator.kinds import KINDS
from metricsoperator.objects import Manifest, Objects, Refused, Retry
from metricsoperator.reasons import Reason
from metricsoperator.state import Condition, Status
from metricwire.dcos import rfc3339

log = logging.getLogger(__name__)

TOLD = ("Ready", "Degraded", "Progressing")  # Ready says what its parts say
# A part that is not ready yet is as it should be for a while; what else keeps it from running has a reason of its own.
_NORMAL = frozenset(
    {
        *(Reason.READY, Reason.UP_TO_DATE, Reason.NO_FAULT_KNOWN, Reason.PAUSED, Reason.ROLLING_OUT, Reason.WAITING_FOR_STORE),
        *(Reason.VOLUME_GROWING, Reason.ROTATING_KEYS, Reason.STORE_NOT_READY, Reason.AGENTS_NOT_READY),
    }
)


def news(before: Status, after: Status) -> Iterator[Condition]:
    """The conditions with a reason that none had before; of those with the same reason or words the first.

    That at the start nothing is wrong is no news.
    """
    told = [condition.reason for condition in before.conditions if condition.type in TOLD]
    said = {*told, *([] if told else [str(Reason.NO_FAULT_KNOWN)])}
    for condition in sorted((each for each in after.conditions if each.type in TOLD), key=lambda each: TOLD.index(each.type)):
        if said.isdisjoint({condition.message, condition.reason}):
            said |= {condition.message, condition.reason}
            yield condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Where events go; `now` gives seconds since the epoch, `instance` says which operator it is."""

    objects: Objects
    now: Callable[[], float]
    instance: str

    async def tell(self, resource: Manifest, before: Status, after: Status) -> None:
        """Post what is new. What cannot be posted is logged: nothing waits for it."""
        for condition in news(before, after):
            try:
                await self._post(self._event(resource, condition))
            except (Refused, Retry) as error:
                log.warning("%s", error)

    async def _post(self, event: Manifest) -> None:
        about = event["metadata"]
        try:
            await self.objects.create(event)
        except Refused as error:
            if error.status != 409:
                raise
            again = {"lastTimestamp": event["lastTimestamp"], "message": event["message"]}
            known = await self.objects.merge("Event", about["namespace"], about["name"], again)
            count = {"count": int(known.get("count") or 1) + 1}
            await self.objects.merge("Event", about["namespace"], about["name"], count)

    def _event(self, resource: Manifest, condition: Condition) -> Manifest:
        about, now = resource["metadata"], rfc3339(self.now())
        named = f"{about['uid']} {condition.reason}"
        return {
            "apiVersion": KINDS["Event"].api_version,
            "kind": "Event",
            "metadata": {
                "name": f"{about['name']}.{hashlib.sha256(named.encode()).hexdigest()[:16]}",
                "namespace": about["namespace"],
            },
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": about["name"],
                "namespace": about["namespace"],
                "uid": about["uid"],
                "resourceVersion": about["resourceVersion"],
            },
            "type": "Normal" if Reason(condition.reason) in _NORMAL else "Warning",
            "reason": condition.reason,
            "message": condition.message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self.instance,
        }
