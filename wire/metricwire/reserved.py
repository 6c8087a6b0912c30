"""Tags that a workload may not set: they would say where a sample is from, or pass for a label that the agent gives."""

import re

from metricwire.lineprotocol import META_TAGS

# Those of a place, and ClusterCockpit's meta tags, which are dropped.
PLACE_TAGS = frozenset({"cluster", "host", "hostname", "type", "type_id", "stype", "stype_id"}) | META_TAGS
# Those of the `info` line of a container; labels of its pod begin with POD_LABEL.
CONTAINER_LABELS = frozenset({"pod", "namespace", "container", "pod_uid", "owner", "owner_kind"})
POD_LABEL = "label_"
_NOT_IN_LABEL = re.compile("[^a-zA-Z0-9_]")


def says_who(tag: str) -> bool:
    """Whether the tag, or what Prometheus makes of its name, is one of these."""
    plain = _NOT_IN_LABEL.sub("_", tag)
    return plain in PLACE_TAGS or plain in CONTAINER_LABELS or plain.startswith(POD_LABEL)
