"""The API server as the rest of the operator sees it: what it can be asked, and the two ways in which it fails.

`apply.Cluster` is the real one; tests put a dictionary in its place.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

from metricwire.errors import MetricsError

Manifest = dict[str, Any]
Keep = Callable[[Manifest], Manifest | None]
"""What to keep of an item of a list, if anything: the whole may be large, and they may be many."""


def everything(item: Manifest) -> Manifest:
    """All of it."""
    return item


class Retry(MetricsError):
    """It did not work now; worth trying again later."""


class Away(Retry):
    """The API server does not answer: whatever else is asked of it would wait as long."""


class Refused(MetricsError):
    """The API server said no; trying again is pointless until something changes."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class NameTaken(Refused):
    """An object of that name, of this kind, is somebody else's."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text, HTTPStatus.CONFLICT)
        self.kind = kind


class Objects(Protocol):
    """What reconciling needs of the API server."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """One object; None when there is none."""

    async def list(self, kind: str, namespace: str, labels: str, fields: str = "", keep: Keep = everything) -> list[Manifest]:
        """What is kept of the objects with these labels and fields; namespace "" for all."""

    async def served(self, group: str, version: str) -> frozenset[str]:
        """The plurals of the kinds that the API server has of a group; none where it does not know the group."""

    async def create(self, manifest: Manifest) -> Manifest:
        """A new object; Refused with status 409 when there is one of that name."""

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """The object, made so by server-side apply. What others own in it stays."""

    async def merge(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        """The object with these fields changed, None removing one (RFC 7396).

        With a resourceVersion in it Retry when the object is not of that version any more.
        """

    async def delete(self, manifest: Manifest, *, orphan: bool = False) -> None:
        """The object gone, if it still is this one (by uid); `orphan`: what it owns stays, and has no owner any more."""
