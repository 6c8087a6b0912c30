"""Metrics of accelerators: one place of type "accelerator" by device, its type-id the PCI address."""

from metricwire.catalog.metric import Metric

ACCELERATORS: tuple[Metric, ...] = ()
