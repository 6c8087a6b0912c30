"""The built-in metrics: what an agent measures, what each name means, and what it is called elsewhere.

Names are ClusterCockpit's where it has one (cc-metric-collector's). Units are base units; shares of cpu time are percent, as
ClusterCockpit and DC/OS have them. A counter only grows until its source restarts; a `_bw` name is the rate of the counter
beside it. `at` says at which types of place a metric is measured: "node" is the host, "hwthread" one thread of it,
"filesystem", "interface", "device" and the like are subtypes of the host (stype).
"""

from metricwire.catalog.accelerators import ACCELERATORS
from metricwire.catalog.containers import CONTAINERS
from metricwire.catalog.host import HOST
from metricwire.catalog.metric import FREQUENCY, Aggregation, Kind, Metric

__all__ = ["BY_NAME", "FREQUENCY", "METRICS", "Aggregation", "Kind", "Metric"]

METRICS = (*HOST, *CONTAINERS, *ACCELERATORS)
BY_NAME = {metric.name: metric for metric in METRICS}
