"""What a store says of itself (`metricstore_*`, docs/store.md), as numbers. Pure: the text of /metrics/self is an argument."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metricwire.promtext import Exposed, Parser

MOST = 500_000  # samples of an exposition
NEARLY = 0.9  # of a limit or a volume
SETTLED = 60.0  # seconds after which agents have found a store that has started


def parse(text: bytes) -> list[Exposed]:
    """The samples, under their own labels. BadInput, TooLarge."""
    parser = Parser(MOST, lambda _: False)
    parser.feed(text)
    return parser.close()


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store's own numbers; `rate` in samples a second since it started, bytes for the rest."""

    version: str
    series: int
    series_limit: int
    stored: int
    rejected: Mapping[str, int]  # reason -> lines
    rate: float
    used: int
    free: int
    damaged: int
    read_only: bool
    hosts: frozenset[str] | None = None  # that it has fresh samples of; None: not known, or too early to say

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in asdict(self).items() if name != "hosts"}


def store_state(samples: Iterable[Exposed], now: float, hosts: frozenset[str] | None = None) -> StoreState:
    """The state that an exposition tells; what it lacks is 0. `hosts`: those with fresh samples."""
    found: dict[str, float] = {}
    rejected: dict[str, int] = {}
    version = ""
    for name, _, tags, value in samples:
        labels = dict(tags)
        if name == "metricstore_lines_total":
            if labels.get("outcome") == "rejected" and value:
                rejected[labels.get("reason", "")] = int(value)
            elif labels.get("outcome") == "stored":
                found["stored"] = value
        elif name == "metricstore_build_info":
            version = labels.get("version", "")
        elif not labels:
            found[name] = value
    stored = found.get("stored", 0.0)
    alive = now - found.get("process_start_time_seconds", now)
    return StoreState(
        version=version,
        series=int(found.get("metricstore_series", 0)),
        series_limit=int(found.get("metricstore_series_limit", 0)),
        stored=int(stored),
        rejected=rejected,
        rate=stored / alive if alive >= 1 else 0.0,
        used=int(found.get("metricstore_log_bytes", 0) + found.get("metricstore_block_bytes", 0)),
        free=int(found.get("metricstore_disk_free_bytes", 0)),
        damaged=int(found.get("metricstore_damaged_total", 0)),
        read_only=bool(found.get("metricstore_read_only", 0)),
        hosts=hosts if alive >= SETTLED else None,
    )
