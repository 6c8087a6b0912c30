from typing import Any

import pytest

from metricsoperator.spec import parse
from metricwire.errors import BadInput

from .conftest import FULL, document

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def terms(requirement: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "zone"} | requirement]}


CASES: list[tuple[dict[str, Any], str]] = [
    ({"store": {"storage": {"size": "ten"}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti"),
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
    ({"store": {"sise": 1}}, "spec.store.sise: unknown field; known are storage, retention, limits, tls, service, pod"),
    ({"store": None}, "spec.store: expected object, got null"),
    ({"store": {"pod": {"labels": {"a": "-"}}}}, "spec.store.pod.labels[...]: expected a label value"),
    (
        {"store": {"pod": {"resources": {"limits": {"cpu": "lots"}}}}},
        "spec.store.pod.resources.limits[...]: expected a quantity from 0 to 64Ti such as 100m, 2 or 64Mi",
    ),
    *(
        (
            {"store": {"pod": {"resources": {"limits": {"cpu": odd}}}}},
            "spec.store.pod.resources.limits[...]: expected a quantity from 0 to 64Ti such as 100m, 2 or 64Mi",
        )
        for odd in ("0.5m", "1e400", "1e3", "1Ei", "-1", "1.0001", "+1", "1u", ".5", "1.", "9" * 16, 1.5)
    ),
    *(
        ({"store": {"storage": {"size": odd}}}, "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi")
        for odd in ("1Ei", "1e10", "1e400", "1.5Gi", "-1Gi", "0x10", 1e10)
    ),
    ({"nodeAgent": {"interval": "10"}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h"),
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
    (
        {"store": {"tls": {"secretName": "a..b"}}},
        "spec.store.tls.secretName: expected the name of a Kubernetes object, or nothing",
    ),
    (
        {"store": {"pod": {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}}}},
        f"spec.store.pod.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms: expected array of length >= 1",
    ),
    (
        {"nats": {"url": "nats://user:secret@host"}},
        "spec.nats.url: expected nats://host:4222 or tls://host:4222, several with commas between, without a password",
    ),
    ({"nats": {"url": "nats://host:65536"}}, "spec.nats.url: expected nats://host:4222"),
    ({"nats": {"subscriptions": [{"subject": "a b"}]}}, "spec.nats.subscriptions[0].subject: expected a NATS subject"),
    (
        {"nodeAgent": {"delivery": {"subject": "a.>"}}},
        "spec.nodeAgent.delivery.subject: expected a NATS subject without wildcards",
    ),
    ({"prometheus": {"monitor": "Always"}}, "spec.prometheus.monitor: expected one of Auto, Never, got 'Always'"),
    ({"store": {"storage": {"accessMode": "ReadWriteMany"}}}, "spec.store.storage.accessMode: expected one of ReadWriteOnce, "),
    ({"prometheus": {"namespaces": ["a.b"]}}, "spec.prometheus.namespaces[0]: expected the name of a namespace"),
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
        {"nodeAgent": {"textfile": {"directory": "/a/../b"}}},
        "spec.nodeAgent.textfile.directory: expected a folder such as /var/lib/node_exporter, or nothing, got '/a/../b'",
    ),
    (
        {"auth": {"loginUsers": {"secretName": "A"}}},
        "spec.auth.loginUsers.secretName: expected the name of a Kubernetes object, or nothing",
    ),
    ({"paused": "no"}, "spec.paused: expected bool, got str"),
]
RULED: list[tuple[dict[str, Any], str]] = [  # what takes a rule
    (
        {"nodeAgent": {"hostMounts": False, "textfile": {"directory": "/a"}}},
        "spec.nodeAgent.textfile.directory: expected nothing where hostMounts is false",
    ),
    (
        {"store": {"storage": {"size": "1Mi"}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got '1Mi'",
    ),
    (
        {"store": {"storage": {"size": "65Ti"}}},
        "spec.store.storage.size: expected a size from 100Mi to 64Ti such as 10Gi, got '65Ti'",
    ),
    ({"store": {"pod": {"labels": {"-": "x"}}}}, "spec.store.pod.labels: expected a label key"),
    *(
        (
            {"nodeAgent": {"pod": {"resources": {"requests": {"memory": odd}}}}},
            "spec.nodeAgent.pod.resources.requests[...]: expected a quantity from 0 to 64Ti such as 100m, 2 or 64Mi, got ",
        )
        for odd in ("999999999999999Ti", "65Ti", 10**14, "70368744177664.001")
    ),
    ({"nodeAgent": {"interval": "25h"}}, "spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got '25h'"),
    ({"metrics": [{"name": "a"}, {"name": "a"}]}, "spec.metrics[1].name: expected each name once, got 'a' again"),
    ({"metrics": [{"name": "a", "unit": "\n"}]}, "spec.metrics[0].unit: expected a unit such as F/s, of 32 characters at most"),
    (
        {"auth": {"publicKeys": [{"secretName": "a"}, {"secretName": "a", "key": "jwt-public-key"}]}},
        "spec.auth.publicKeys[1]: expected each secretName and key once, got 'a', 'jwt-public-key' again",
    ),
    ({"image": {"pullSecrets": [{"name": "a"}, {"name": "a"}]}}, "spec.image.pullSecrets[1].name: expected each name once"),
    ({"image": {"tag": "1\n"}}, "spec.image.tag: expected an image tag such as 1.2.3, got '1\\n'"),
    ({"store": {"pod": {"labels": {"a\n": "x"}}}}, "spec.store.pod.labels: expected a label key, got 'a\\n'"),
    ({"store": {"pod": {"labels": {"a..b/c": "x"}}}}, "spec.store.pod.labels: expected a label key"),
    (
        {"store": {"pod": {"resources": {"requests": {"gpu": 1}}}}},
        "spec.store.pod.resources.requests: expected one of cpu, memory, ephemeral-storage",
    ),
    (
        {"store": {"pod": {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}}}},
        "spec.store.pod.resources: expected each request to be no more than the limit of the same name",
    ),
    (
        {"store": {"pod": {"tolerations": [{"operator": "Exists", "value": "x"}]}}},
        "spec.store.pod.tolerations[0]: expected no value with operator Exists",
    ),
    ({"store": {"pod": {"tolerations": [{"value": "x"}]}}}, "spec.store.pod.tolerations[0]: expected operator Exists where"),
    (
        {"store": {"pod": {"tolerations": [{"key": "a", "tolerationSeconds": 1}]}}},
        "spec.store.pod.tolerations[0]: expected tolerationSeconds with effect NoExecute alone",
    ),
    (
        {"store": {"pod": {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [terms({"operator": "In"})]}}}}}},
        f"spec.store.pod.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0]: expected values with In",
    ),
    ({"nats": {"subscriptions": [{"subject": "a"}]}}, "spec.nats.url: expected NATS servers where there are subscriptions"),
    (
        {"nats": {"url": "nats://a", "subscriptions": [{"subject": "a"}, {"subject": "a"}]}},
        "spec.nats.subscriptions[1].subject: expected each subject once, got 'a' again",
    ),
    ({"nats": {"username": "a"}}, "spec.nats.credentialsSecret: expected a Secret with the password of spec.nats.username"),
    ({"nodeAgent": {"delivery": {"by": "NATS"}}}, "spec.nodeAgent.delivery.subject: expected a NATS subject where by is NATS"),
    (
        {"nodeAgent": {"delivery": {"by": "NATS", "subject": "hpc-nats"}}},
        "spec.nats.url: expected NATS servers where spec.nodeAgent.delivery.by is NATS",
    ),
    (
        {"nodeAgent": {"statsd": {"enabled": False, "hostPort": True}}},
        "spec.nodeAgent.statsd.hostPort: expected false where enabled is false",
    ),
]


ALL = [*CASES, *RULED]


@pytest.mark.parametrize(("spec", "message"), ALL, ids=[message.split(":")[0] for _, message in ALL])
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


def test_a_metric_of_the_catalogue_has_its_unit() -> None:
    with pytest.raises(BadInput, match=r"^spec.metrics\[0\].unit: expected nothing for a metric of the built-in catalogue$"):
        parse(document({"metrics": [{"name": "load_one", "unit": "load"}]}))


def test_text_that_may_go_over_lines_does() -> None:
    found = parse(document({"store": {"pod": {"annotations": {"note": "two\nlines\n"}}}}))
    assert found.spec.store.pod.annotations == {"note": "two\nlines\n"}
