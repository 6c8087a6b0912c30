"""The book: what was sent for which slot, in order, and what may be there now."""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metricwire.samples import Labels, Place, SeriesKey

NEVER = math.inf

Slot = tuple[SeriesKey, int]  # a series, and when the slot is (seconds)
Found = dict[Slot, float]


def bits(value: float | None) -> bytes | None:
    """Values that are told apart: -0.0 is not 0.0."""
    return None if value is None else struct.pack("<d", value)


@dataclass
class Entry:
    """A value sent for a slot; None: the slot was freed. Times are numbers of operations on the disk."""

    value: object
    begun: float
    acknowledged: float = NEVER
    refused: bool = False  # and so nothing of it may be there


@dataclass
class Book:
    """All entries by slot and by place. `floor`: since when (operations) what is before which time may be forgotten."""

    slots: dict[Slot, list[Entry]] = field(default_factory=dict)
    labels: dict[Place, list[Entry]] = field(default_factory=dict)
    floors: list[tuple[float, int]] = field(default_factory=list)
    acknowledged: int = 0  # values

    def begin(self, values: Iterable[tuple[Slot, float | None]], labels: Iterable[Labels], at: float) -> list[Entry]:
        """These are being sent."""
        entries = []
        for slot, value in values:
            entries.append(Entry(value, at))
            self.slots.setdefault(slot, []).append(entries[-1])
        for one in labels:
            entries.append(Entry(one.labels, at))
            self.labels.setdefault(one.place, []).append(entries[-1])
        return entries

    def acknowledge(self, entries: Iterable[Entry], at: float) -> None:
        for entry in entries:
            entry.acknowledged = at
            self.acknowledged += 1

    @staticmethod
    def refuse(entries: Iterable[Entry]) -> None:
        for entry in entries:
            entry.refused = True

    def forgettable(self, slot: Slot, at: float) -> bool:
        """Whether the slot may be past the retention by then."""
        return any(since <= at and slot[1] < floor for since, floor in self.floors)

    @staticmethod
    def allowed(entries: Iterable[Entry], at: float) -> list[object]:
        """What may be there after that many operations: what was acknowledged last, or sent after it."""
        found: list[object] = [None]
        for entry in entries:
            if entry.begun > at or entry.refused:
                continue
            if entry.acknowledged <= at and entry.acknowledged != NEVER:
                found = []
            found.append(entry.value)
        return found

    def problems(self, found: Mapping[Slot, float], labels: Mapping[Place, object], at: float = NEVER) -> list[str]:
        """Values lost, changed and invented, as sentences."""
        said = []
        for slot, entries in self.slots.items():
            allowed = self.allowed(entries, at)
            if self.forgettable(slot, at):
                allowed += [None, *(entry.value for entry in entries if entry.begun <= at)]
            value = found.get(slot)
            if bits(value) not in map(bits, allowed):  # type: ignore[arg-type]
                said.append(f"{'changed' if value is not None else 'lost'}: {slot}: {value!r} is none of {allowed}")
        said += [f"invented: {slot}: {value!r}" for slot, value in found.items() if slot not in self.slots]
        for place, entries in self.labels.items():
            if labels.get(place) not in (allowed := self.allowed(entries, at)):
                said.append(f"labels of {place}: {labels.get(place)} are none of {allowed}")
        return said
