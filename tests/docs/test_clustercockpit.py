"""examples/clustercockpit/cluster.json names metrics that the agents send, with their units, aggregation and places."""

import json
from pathlib import Path

import pytest

from metricwire.catalog import BY_NAME

CLUSTER = json.loads((Path(__file__).parents[2] / "examples" / "clustercockpit" / "cluster.json").read_text())
UNITS = {"bytes": "B", "bytes/s": "B/s", "percent": "%", "count": "load"}


@pytest.mark.parametrize("metric", CLUSTER["metricConfig"], ids=lambda metric: metric["name"])
def test_metrics_are_the_agents(metric: dict[str, object]) -> None:
    known = BY_NAME[str(metric["name"])]
    assert known.kind == "gauge", "a job's view of a counter since boot says nothing"
    assert metric["aggregation"] == known.aggregation
    assert metric["unit"] == {"base": UNITS[known.unit]}
    assert metric["scope"] in known.at or (metric["scope"] == "node" and known.aggregation)
