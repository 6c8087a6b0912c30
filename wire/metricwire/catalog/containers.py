"""Metrics of containers (spec/dcos-metrics-api.md, container datapoints)."""

from metricwire.catalog.metric import Metric

CONTAINERS: tuple[Metric, ...] = ()
