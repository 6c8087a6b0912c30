from typing import Any

import pytest

from metricsoperator.spec import parse
from metricwire.errors import BadInput

from .conftest import FULL, document

CASES: list[tuple[dict[str, Any], str]] = [
    ({"store": {"storage": {"size": "ten"}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti"),
    ({"store": {"storage": {"size": "1Mi"}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti, got '1Mi'"),
    ({"store": {"storage": {"size": "65Ti"}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti, got '65Ti'"),
    ({"store": {"storage": {"whenDeleted": "Keep"}}}, "spec.store.storage.whenDeleted: expected one of Delete, Retain"),
    (
        {"store": {"retention": {"memory": "2 days"}}},
        "spec.store.retention.memory: expected a duration such as 90m, 48h or 30d",
    ),
    ({"store": {"limits": {"series": 1}}}, "spec.store.limits.series: expected int >= 1000"),
    ({"store": {"limits": {"series": "many"}}}, "spec.store.limits.series: expected int, got str"),
    ({"store": {"sise": 1}}, "spec.store.sise: unknown field; known are storage, retention, limits, service, pod"),
    ({"store": None}, "spec.store: expected object, got null"),
    ({"store": {"pod": {"labels": {"-": "x"}}}}, "spec.store.pod.labels: expected a label key"),
    ({"store": {"pod": {"labels": {"a": "-"}}}}, "spec.store.pod.labels[...]: expected a label value"),
    (
        {"store": {"pod": {"resources": {"limits": {"cpu": "lots"}}}}},
        "spec.store.pod.resources.limits[...]: expected a quantity such as 100m, 2 or 64Mi",
    ),
    ({"nodeAgent": {"interval": "10"}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h"),
    ({"nodeAgent": {"interval": "25h"}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h, got '25h'"),
    ({"nodeAgent": {"maxUnavailable": "0"}}, "spec.nodeAgent.maxUnavailable: expected a number or a percentage"),
    (
        {"nodeAgent": {"collectors": {"gpu": True}}},
        "spec.nodeAgent.collectors.gpu: unknown field; known are cpu, memory, swap, ",
    ),
    (
        {"nodeAgent": {"pod": {"tolerations": [{"operator": "In"}]}}},
        "spec.nodeAgent.pod.tolerations[0].operator: expected one of Equal, Exists",
    ),
    ({"metrics": [{}]}, "spec.metrics[0].name: missing"),
    ({"metrics": [{"name": "a"}, {"name": "a"}]}, "spec.metrics[1].name: expected each metric once, got 'a' again"),
    ({"metrics": [{"name": "a", "frequency": "2d"}]}, "spec.metrics[0].frequency: expected a duration from 1s to 24h"),
    ({"metrics": {"name": "a"}}, "spec.metrics: expected array, got object"),
    ({"auth": {"publicKeys": [{"key": "k"}]}}, "spec.auth.publicKeys[0].secretName: missing"),
    ({"clusterName": "../etc"}, "spec.clusterName: expected a cluster's name"),
    ({"image": {"tag": "a b"}}, "spec.image.tag: expected an image tag"),
    ({"paused": "no"}, "spec.paused: expected bool, got str"),
]


@pytest.mark.parametrize(("spec", "message"), CASES, ids=[message.split(":")[0] for _, message in CASES])
def test_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse(document(spec))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "v1"}, "apiVersion: expected metricscluster.io/v1alpha1, got 'v1'"),
        ({"kind": "Pod"}, "kind: expected MetricsCluster, got 'Pod'"),
        ({"metadata": None}, "metadata: expected an object with a name"),
        ({"metadata": {"name": "Fritz"}}, "metadata.name: expected lower case letters, digits and -"),
        ({"metadata": {"name": "a" * 41}}, "metadata.name: expected lower case letters, digits and -"),
        ({"metadata": {"name": 7}}, "metadata.name: expected lower case letters, digits and -"),
        ({"spec": []}, None),
        ({"spec": ["x"]}, "spec: expected object, got array"),
    ],
)
def test_document(change: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert parse(document() | change).name == "fritz"
        return
    with pytest.raises(BadInput, match="^" + message.replace("[", r"\[")):
        parse(document() | change)


def test_defaults() -> None:
    found = parse({"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": {"name": "fritz"}})
    assert (found.namespace, found.uid, found.generation, found.cluster) == ("default", "", 0, "fritz")
    assert found.spec.store.limits.series == 1_000_000
    assert [toleration.operator for toleration in found.spec.node_agent.pod.tolerations] == ["Exists"]


def test_everything() -> None:
    found = parse(document(FULL))
    assert found.cluster == "fritz-hpc"
    assert found.spec.node_agent.pod.tolerations == ()
    assert found.spec.store.pod.resources.requests == {"cpu": 2}
