from typing import Any

import pytest

from metricsoperator.spec import parse
from metricwire.errors import BadInput

from .conftest import FULL, document

CASES: list[tuple[dict[str, Any], str]] = [
    ({"store": {"storage": {"size": "ten"}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti"),
    (
        {"store": {"storage": {"size": "1Mi"}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got '1Mi'",
    ),
    (
        {"store": {"storage": {"size": "65Ti"}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got '65Ti'",
    ),
    (
        {"store": {"storage": {"size": "1GiB"}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got '1GiB'",
    ),
    (
        {"store": {"storage": {"size": 10**9}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got 1000000000",
    ),
    ({"nodeAgent": {"interval": 5}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got 5"),
    ({"nodeAgent": {"interval": None}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got null"),
    (
        {"nodeAgent": {"interval": {"a": 1}}},
        "spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got an object of 1",
    ),
    ({"clusterName": "\x1b" * 99}, "spec.clusterName: expected a cluster's name such as fritz, got '" + r"\x1b" * 80 + "'..."),
    ({"metrics": [{"name": "bad name"}]}, "spec.metrics[0].name: expected a metric's name such as flops_any, got 'bad name'"),
    ({"metrics": [{"name": f"m{n}"} for n in range(513)]}, "spec.metrics: expected array of length <= 512, got a list of 513"),
    ({"store": {"pod": {"priorityClassName": "-"}}}, "spec.store.pod.priorityClassName: expected a PriorityClass, got '-'"),
    ({"` - at `$.a`": 1}, "spec.` - at `$.a`: unknown field; known are clusterName, "),
    ({"x` - at `$.a": 1}, "spec.a.x: unknown field"),
    ({"store": {"` - at `$.a`": 1}}, "spec.store.` - at `$.a`: unknown field; known are storage, "),
    (
        {"store": {"storage": {"whenDeleted": "Keep"}}},
        "spec.store.storage.whenDeleted: expected one of Delete, Retain, got 'Keep'",
    ),
    (
        {"store": {"retention": {"memory": "2 days"}}},
        "spec.store.retention.memory: expected a duration such as 90m, 48h or 30d",
    ),
    ({"store": {"limits": {"series": 1}}}, "spec.store.limits.series: expected int >= 1000, got 1"),
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
    ({"nodeAgent": {"interval": "25h"}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got '25h'"),
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
    (
        {"nodeAgent": {"containers": {"labels": ["a b"]}}},
        "spec.nodeAgent.containers.labels[0]: expected a label key, got 'a b'",
    ),
    ({"nodeAgent": {"statsd": {"port": 80}}}, "spec.nodeAgent.statsd.port: expected a port from 1024 to 65535, got 80"),
    (
        {"nodeAgent": {"statsd": {"enabled": False, "hostPort": True}}},
        "spec.nodeAgent.statsd.hostPort: expected false where enabled is false",
    ),
    (
        {"nodeAgent": {"textfile": {"directory": "/a/../b"}}},
        "spec.nodeAgent.textfile.directory: expected a folder such as /var/lib/node_exporter, or nothing, got '/a/../b'",
    ),
    (
        {"auth": {"loginUsers": {"secretName": "A"}}},
        "spec.auth.loginUsers.secretName: expected the name of a Secret, or nothing",
    ),
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


def test_a_metric_of_the_catalogue_may_repeat_the_interval() -> None:
    metrics = [{"name": "load_one", "frequency": "1m"}, {"name": "mem_used"}, {"name": "flops_any", "frequency": "2s"}]
    assert len(parse(document({"metrics": metrics, "nodeAgent": {"interval": "60s"}})).spec.metrics) == 3


def test_a_metric_of_the_catalogue_has_no_other_frequency() -> None:
    with pytest.raises(BadInput) as raised:
        parse(document({"metrics": [{"name": "load_one", "frequency": "2s"}], "nodeAgent": {"interval": "5s"}}))
    place, _, text = str(raised.value).partition(": ")
    assert place == "spec.metrics[0].frequency"
    assert text == "expected 5s, the agents' interval, or nothing for a metric of the built-in catalogue, got '2s'"
