"""The DC/OS Metrics API's messages, made from our samples and labels (spec/dcos-metrics-api.md). No I/O, no clock.

One rendering for both servers: the agent answers for its own node, the store for every node.
"""

from metricwire.dcos.datapoints import (
    FRESH,
    application_datapoints,
    container_datapoints,
    containers,
    host_datapoints,
    is_fresh,
    is_shown,
)
from metricwire.dcos.dimensions import APPLICATION, CONTAINER, POD_LABEL, TASK, dimensions
from metricwire.dcos.message import accepts_json, message, ping, rfc3339

__all__ = [
    "APPLICATION",
    "CONTAINER",
    "FRESH",
    "POD_LABEL",
    "TASK",
    "accepts_json",
    "application_datapoints",
    "container_datapoints",
    "containers",
    "dimensions",
    "host_datapoints",
    "is_fresh",
    "is_shown",
    "message",
    "ping",
    "rfc3339",
]
