"""A row of the table: a figure of ours, what it should be, and the same of others where they have it."""

from dataclasses import dataclass, field

MORE, LESS = "more", "less"


@dataclass(frozen=True)
class Row:
    """One figure. `peers` are figures of other stores in the same unit; `notes` say what a reader must know."""

    what: str
    unit: str
    ours: float | None
    target: float | None = None
    better: str = LESS
    peers: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    judged: bool = True  # False: not measured as the target asks, so that it is neither met nor missed

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty without a target."""
        if self.target is None:
            return ""
        if self.ours is None or not self.judged:
            return "open"
        return "met" if (self.ours >= self.target if self.better == MORE else self.ours <= self.target) else "MISSED"

    def ratio(self, other: float | None) -> float | None:
        """Ours divided by another figure."""
        return self.ours / other if self.ours is not None and other else None
