"""Which kinds of monitors the API server has, and ours of them: asked for regularly.

They are not watched: the kinds come and go with another project's CustomResourceDefinitions. Which there are every account may
ask (ClusterRole system:discovery).
"""

from metricsoperator import names
from metricsoperator.kinds import MONITORS, MONITORS_GROUP
from metricsoperator.objects import Objects
from metricsoperator.observed import Observed, needed

SECONDS = 15.0  # between two looks
_LABELS = f"app.kubernetes.io/managed-by={names.FIELD_MANAGER}"


class MonitorList:
    """Fills `observed` with the monitors of a namespace, "" for all."""

    def __init__(self, objects: Objects, observed: Observed, namespace: str) -> None:
        self._objects, self._observed, self._namespace = objects, observed, namespace
        self._versions: set[tuple[str, str]] = set()  # (uid, resourceVersion) of each

    async def look(self) -> bool:
        """Whether something is otherwise than at the last look."""
        version = next(iter(MONITORS.values())).version
        plurals = await self._objects.served(MONITORS_GROUP, version)
        served = frozenset(kind for kind, place in MONITORS.items() if place.plural in plurals)
        versions: set[tuple[str, str]] = set()
        for kind in MONITORS:
            since = self._observed.tick()
            found = await self._objects.list(kind, self._namespace, _LABELS, keep=needed) if kind in served else []
            versions |= {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in found}
            self._observed.replace(kind, found, since)
        changed = served != self._observed.served or versions != self._versions
        self._observed.served, self._versions = served, versions
        return changed
