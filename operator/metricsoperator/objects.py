"""The API server as the rest of the operator sees it: what it can be asked, and the two ways in which it fails.

`apply.Cluster` is the real one; tests put a dictionary in its place.
"""

from typing import Any, Protocol

from metricwire.errors import MetricsError

Manifest = dict[str, Any]


class Retry(MetricsError):
    """It did not work now; worth trying again later."""


class Refused(MetricsError):
    """The API server said no; trying again is pointless until something changes."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Objects(Protocol):
    """What reconciling needs of the API server."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """One object; None when there is none."""

    async def list(self, kind: str, namespace: str, labels: str) -> list[Manifest]:
        """The objects with these labels; namespace "" for all."""

    async def create(self, manifest: Manifest) -> Manifest:
        """A new object; Refused with status 409 when there is one of that name."""

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """The object, made so by server-side apply. What others own in it stays."""

    async def delete(self, manifest: Manifest) -> None:
        """The object gone, if it still is this one (by uid)."""
