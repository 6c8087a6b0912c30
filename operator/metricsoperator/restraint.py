"""How often one object is written. What writing cannot bring about, and what somebody else always sets back, is not written on
and on.

Seconds are those of a clock that never steps back. Nothing of this is kept over a restart: then each object is tried anew.
"""

import math
from dataclasses import dataclass, field

from metricsoperator.drift import Difference
from metricsoperator.manifests.metadata import Manifest, fingerprint
from metricsoperator.objects import Refused
from metricsoperator.observed import Key

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds after what was refused, doubled with each time
WRITES = 6  # of the same in a row, each within so many seconds of the one before; the next is a fight
CALM = 60.0
LONGEST_HOLD = 600.0  # seconds for which one who fights has his way, doubled from CALM with each write


@dataclass(slots=True)
class Past:
    """What came of writing one object, since the same is wanted."""

    wish: str
    left: str = ""  # what was otherwise than wanted just after it was written: the API server keeps it so
    refusal: Refused | None = None
    refused: str = ""  # what was otherwise then
    failures: int = 0  # in a row
    not_before: float = 0.0
    writes: int = 0  # in a row
    wrote: float = -math.inf
    fight: str = ""  # what is fought over, and with whom

    def done(self, others: list[Difference]) -> bool:
        """Whether nothing is otherwise than writing can make it."""
        return not others or fingerprint(others) == self.left

    def check(self, others: list[Difference], now: float) -> None:
        """Return if it may be written, else Refused as the last time, until it is time or something is otherwise."""
        if self.refusal is not None and now < self.not_before and fingerprint(others) == self.refused:
            raise self.refusal

    def failed(self, error: Refused, others: list[Difference], now: float) -> None:
        """The API server does not take it."""
        self.not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 10))
        self.failures += 1
        self.refusal, self.refused = error, fingerprint(others)

    def written(self, left: list[Difference], now: float) -> None:
        """It was taken, and this is otherwise nevertheless."""
        self.refusal, self.failures, self.left = None, 0, fingerprint(left) if left else ""
        self.writes = 1 if now - self.wrote > max(CALM, 2 * self._hold) else self.writes + 1
        self.wrote = now

    def held(self, now: float) -> float:
        """For how many seconds somebody else has his way; 0.0: it may be written."""
        return max(0.0, self.wrote + self._hold - now)

    @property
    def _hold(self) -> float:
        return min(LONGEST_HOLD, CALM * 2 ** min(self.writes - WRITES, 10)) if self.writes >= WRITES else 0.0


@dataclass(frozen=True, slots=True)
class Restraint:
    """The past of every object."""

    _pasts: dict[Key, dict[tuple[str, str], Past]] = field(default_factory=dict)

    def past(self, key: Key, wanted: Manifest, wish: str) -> Past:
        """Of the object `wanted`; of one that is wanted otherwise than before there is none."""
        of = self._pasts.setdefault(key, {})
        place = wanted["kind"], wanted["metadata"]["name"]
        if place not in of or of[place].wish != wish:
            of[place] = Past(wish)
        return of[place]

    def forget(self, key: Key) -> None:
        """The MetricsCluster is gone."""
        self._pasts.pop(key, None)
