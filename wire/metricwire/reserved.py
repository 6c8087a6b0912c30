"""What a workload may not give: tags that say where a sample is from or pass for a label of the agent's, catalogue names."""

from metricwire.catalog import BY_NAME
from metricwire.dcos import POD_LABEL
from metricwire.exposition import family, plain
from metricwire.lineprotocol import META_TAGS

# Those of a place, and ClusterCockpit's meta tags, which are dropped.
PLACE_TAGS = frozenset({"cluster", "host", "hostname", "type", "type_id", "stype", "stype_id"}) | META_TAGS
# Those of the `info` line of a container; labels of its pod begin with POD_LABEL.
CONTAINER_LABELS = frozenset({"pod", "namespace", "container", "pod_uid", "owner", "owner_kind"})
# What goes behind the name of a timer, histogram or distribution of StatsD, the quantiles last.
QUANTILES = (0.5, 0.9, 0.95, 0.99)
SPREAD_ENDINGS = (".count", ".sum", ".min", ".max", *(f".p{100 * share:g}" for share in QUANTILES))


def says_who(tag: str) -> bool:
    """Whether the tag, or what Prometheus makes of its name, is one of these."""
    name = plain(tag)
    return name in PLACE_TAGS or name in CONTAINER_LABELS or name.startswith(POD_LABEL)


def is_measured(metric: str, endings: tuple[str, ...] = ("",)) -> bool:
    """Whether the metric, with one of the endings, is one of the catalogue, or Prometheus shows it as one.

    Where the host has none of its own, those of its containers would be added up and pass for it.
    """
    return any(family(metric + ending) in BY_NAME for ending in endings)
