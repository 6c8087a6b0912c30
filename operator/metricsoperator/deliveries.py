"""Whether watches still say what they should: what a list shows and no watch has said, list after list, is a dead watch.

A watch can die without an error (field-notes.md 15). To see that without writing anything, the regular lists are compared with
it: every change must come by the watch too, at the latest a few lists later. Lists that fail say nothing, so that an API
server that is away does not count. Pure.
"""

from typing import Any

Manifest = dict[str, Any]
Place = tuple[str, str, str]  # kind, namespace, name

LISTS = 3  # in a row that show a change which the watch has not said


class Deliveries:
    """The newest version that watches have said of each object, and how many lists were ahead of them."""

    def __init__(self) -> None:
        self._said: dict[Place, int] = {}
        self._owed: dict[Place, tuple[int, int]] = {}  # a version, and how many lists have shown it or a newer one

    def said(self, item: Manifest) -> None:
        """A watch has said this."""
        place, version = _place(item), _version(item)
        self._said[place] = max(version, self._said.get(place, 0))
        if place in self._owed and self._owed[place][0] <= version:
            del self._owed[place]

    def said_gone(self, item: Manifest) -> None:
        """A watch has said that the object is gone."""
        self._said.pop(_place(item), None)
        self._owed.pop(_place(item), None)

    def listed(self, kind: str, items: list[Manifest]) -> None:
        """A list of a kind has shown these. What it lacks is gone, and a watch may say so or not: nothing depends on it."""
        there = {_place(item): _version(item) for item in items}
        for known in (self._said, self._owed):
            for place in [each for each in known if each[0] == kind and each not in there]:
                del known[place]
        for place, version in there.items():
            if version > self._said.get(place, 0):
                owed, lists = self._owed.get(place, (version, 0))
                self._owed[place] = (owed, lists + 1)

    def dead(self) -> list[str]:
        """The kinds whose watch has not said what lists have shown for too long."""
        return sorted({kind for (kind, _, _), (_, lists) in self._owed.items() if lists >= LISTS})


def _place(item: Manifest) -> Place:
    about = item["metadata"]
    return item["kind"], about.get("namespace", ""), about["name"]


def _version(item: Manifest) -> int:
    return int(item["metadata"]["resourceVersion"])
