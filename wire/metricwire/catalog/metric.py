"""What is known of a metric."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter"]
Aggregation = Literal["sum", "avg"]

FREQUENCY = 10  # seconds between samples, unless the resource or the store's settings say otherwise


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `dcos` is its name in the DC/OS Metrics API ("" where it has none), `dcos_unit` its unit there."""

    name: str
    unit: str
    kind: Kind
    aggregation: Aggregation | None
    help: str
    at: tuple[str, ...] = ("node",)
    dcos: str = ""
    dcos_unit: str = ""
    frequency: int = FREQUENCY
