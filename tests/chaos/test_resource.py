"""T24: MetricsClusters made from the schema, against a real API server. What it accepts the operator understands and can make
objects of that are accepted too; what it refuses the operator refuses, and the other way round."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

import kubeapi
from chaos import controlplane
from chaos.conftest import Figures, Size
from chaos.resources import BREAKS, Break, broken, document, refusal, valid
from kubeapi import KubeApi, Said
from metricsoperator.crd import definition
from metricsoperator.kinds import MONITORS
from metricsoperator.manifests.metadata import Site
from metricsoperator.plan import plan
from metricsoperator.spec import parse
from operatorpart.test_spec import CASES, RULED

pytestmark = [pytest.mark.controlplane, controlplane.needed, pytest.mark.timeout(300)]
SITE = Site("registry.example/metrics", "1.2.3", cluster_roles="monitoring-metricscluster")
BY_CATALOGUE = "metric of the built-in catalogue"  # known to the operator alone: the schema does not list all metrics
FROZEN = ("spec.clusterName", "spec.store.storage.className")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with kubeapi.running(tmp_path_factory.mktemp("api")) as found:
        found.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}, dry=False)
        made = found.create(definition(), dry=False)
        assert (made.status, made.warnings) == (201, ()), made.message
        kubeapi.wait_for("the resource is served", lambda: found.create(document({})).status == 201)
        yield found


def test_24_resources(api: KubeApi, size: Size, seed: int, figures: Figures) -> None:
    """One test, for one server: it takes longer to start than the small form lasts."""
    for spec, message in [*CASES, *RULED]:
        if not message.endswith("got null"):  # which the API server drops before it looks, where there is a default
            said = api.create(document(spec))
            assert said.status in (400, 422), f"{message}: accepted"
    _pods_are_restricted(api)
    counts: Counter[str] = Counter()
    count = size.pick(15, 500)
    _accepted(api, count, seed, counts)
    _refused(api, count, seed, counts)
    figures(f"T24: {dict(counts)}")
    assert counts["accepted"] >= count
    assert counts["refused"] >= count


def _pods_are_restricted(api: KubeApi) -> None:
    """Pod Security "restricted": the store's pods are fit for it, an agent's but for its host mounts, and without these too."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}, dry=False)

    def said(spec: dict[str, Any], kind: str) -> Said:
        (workload,) = [made for made in plan(parse(document(spec)), SITE) if made["kind"] == kind]
        pod = workload["spec"]["template"]["spec"]
        pod["volumes"] += [{"name": "data", "emptyDir": {}}] if kind == "StatefulSet" else []
        return api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "strict"}, "spec": pod})

    assert said({}, "StatefulSet").fine
    assert said({"nodeAgent": {"hostMounts": False}}, "DaemonSet").fine
    against = said({}, "DaemonSet")
    assert against.status == 403
    assert against.message.endswith(
        'violates PodSecurity "restricted:latest": restricted volume types (volumes "proc", "sys", "root" use restricted volume'
        ' type "hostPath")'
    ), against.message


def _accepted(api: KubeApi, count: int, seed: int, counts: Counter[str]) -> None:
    @_examples(count, seed)
    @given(spec=valid)
    def check(spec: dict[str, Any]) -> None:
        against = refusal(spec)
        said = api.create(document(spec))
        assume(BY_CATALOGUE not in against)
        assert said.fine == (not against), f"{json.dumps(spec)}: the operator says {against!r}, the API server {said.message!r}"
        if not said.fine:
            counts["refused by a rule"] += 1
        assume(said.fine)
        assert not said.warnings, said.warnings
        counts["accepted"] += 1
        for manifest in plan(parse(document(spec)), SITE):
            made = api.apply(manifest)
            assert made.fine, f"{json.dumps(spec)}: {manifest['kind']} {manifest['metadata']['name']}: {made.message}"
            counts["objects"] += 1

    check()


def _refused(api: KubeApi, count: int, seed: int, counts: Counter[str]) -> None:
    @_examples(count, seed)
    @given(spec=valid, change=st.sampled_from(BREAKS))
    def check(spec: dict[str, Any], change: Break) -> None:
        assume(not refusal(spec))
        made = broken(spec, change)
        said = api.create(document(made))
        assert not said.fine, f"{change}: accepted"
        assert said.status in (400, 422), said
        assert refusal(made), f"{change}: the operator takes it"
        assert _says_where(said, change), f"{change}: {said.message}"
        counts["refused"] += 1

    check()


def _says_where(said: Said, change: Break) -> bool:
    """Whether the message names a field on the way to what is wrong; JSON that cannot be decoded has no fields."""
    return said.status == 400 or change.path[0] in said.message


def _examples(count: int, seed: int) -> Any:
    """The same examples for the same seed; nothing is kept."""
    made = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seeded(seed)(made(test))


def test_24_monitors_are_told_apart_from_what_is_always_there() -> None:
    made = plan(parse(document({})), SITE, served=frozenset(MONITORS))
    assert [manifest["kind"] for manifest in made][-2:] == ["ServiceMonitor", "PodMonitor"]
