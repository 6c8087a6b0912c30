"""What a workload may not give: tags that say where a sample is from or pass for a label of the agent's, catalogue names."""

import re

from metricwire.catalog import BY_NAME
from metricwire.exposition import family
from metricwire.lineprotocol import META_TAGS

# Those of a place, and ClusterCockpit's meta tags, which are dropped.
PLACE_TAGS = frozenset({"cluster", "host", "hostname", "type", "type_id", "stype", "stype_id"}) | META_TAGS
# Those of the `info` line of a container; labels of its pod begin with POD_LABEL.
CONTAINER_LABELS = frozenset({"pod", "namespace", "container", "pod_uid", "owner", "owner_kind"})
POD_LABEL = "label_"
# What goes behind the name of a timer, histogram or distribution of StatsD.
SPREAD_ENDINGS = (".count", ".sum", ".min", ".max", ".p50", ".p90", ".p95", ".p99")
_NOT_IN_LABEL = re.compile("[^a-zA-Z0-9_]")


def says_who(tag: str) -> bool:
    """Whether the tag, or what Prometheus makes of its name, is one of these."""
    plain = _NOT_IN_LABEL.sub("_", tag)
    return plain in PLACE_TAGS or plain in CONTAINER_LABELS or plain.startswith(POD_LABEL)


def is_measured(metric: str, endings: tuple[str, ...] = ("",)) -> bool:
    """Whether the metric, with one of the endings, is one of the catalogue, or Prometheus shows it as one.

    Where the host has none of its own, those of its containers would be added up and pass for it.
    """
    return any(family(metric + ending) in BY_NAME for ending in endings)
