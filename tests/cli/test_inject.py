"""`metricscluster inject`: what comes out is what went in and the variables, whatever went in; live, through kubectl.

Against a real API server: tests/chaos/test_kubectl.py.
"""

import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fakekubectl import FakeKubectl
from metricscluster import patching
from metricscluster.__main__ import main
from metricscluster.kubectl import Kubectl
from metricscluster.patching import Cluster, target
from metricscluster.podspecs import HOST, PORT, Agents
from metricscluster.workloads import DEEPEST, LARGEST, inject
from metricwire.errors import BadInput, MetricsError, NotFound

Command = Callable[..., tuple[int, str, str]]
AGENTS = Agents("fritz-agent.monitoring", 8125)
ENTRIES = [{"name": HOST, "value": "fritz-agent.monitoring"}, {"name": PORT, "value": "8125"}]
NODE = [{"name": HOST, "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, {"name": PORT, "value": "9125"}]

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
KINDS = [
    ("v1", "Pod", ("spec",)),
    ("v1", "PodTemplate", ("template", "spec")),
    ("v1", "ReplicationController", ("spec", "template", "spec")),
    *[("apps/v1", kind, ("spec", "template", "spec")) for kind in TEMPLATED],
    ("batch/v1", "Job", ("spec", "template", "spec")),
    ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
]


def workload(api: str, kind: str, path: tuple[str, ...], spec: Any) -> dict[str, Any]:
    for key in reversed(path):
        spec = {key: spec}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "web"}} | spec


def within(found: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        found = found[key]
    return found


def injected(text: str, agents: Agents = AGENTS) -> str:
    return inject(text.encode(), "f", agents).text


@pytest.mark.parametrize(("api", "kind", "path"), KINDS)
def test_every_container_of_every_kind_gets_the_variables(api: str, kind: str, path: tuple[str, ...]) -> None:
    spec = {
        "initContainers": [{"name": "setup"}, {"name": "sidecar", "image": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "image": "a", "env": [{"name": "A", "value": "$(STATSD_UDP_HOST)"}]}, {"name": "b"}],
    }
    found = inject(yaml.safe_dump(workload(api, kind, path, spec)).encode(), "f", AGENTS)
    pods = within(yaml.safe_load(found.text), path)
    for container in (*pods["initContainers"], *pods["containers"]):
        assert container["env"][:2] == ENTRIES
    assert pods["containers"][0]["env"][2:] == spec["containers"][0]["env"]
    assert (found.containers, found.seen, found.notes) == (4, 4, [])


@pytest.mark.parametrize("kind", ["List", "PodList"])
def test_items_of_lists_are_workloads_too(kind: str) -> None:
    items = [workload("v1", "Pod", ("spec",), {"containers": [{"name": "a"}]}), {"kind": "ConfigMap", "apiVersion": "v1"}]
    if kind == "PodList":  # its items need not say what they are
        items = [{key: value for key, value in items[0].items() if key not in {"kind", "apiVersion"}}]
    found = yaml.safe_load(injected(yaml.safe_dump({"apiVersion": "v1", "kind": kind, "items": items})))
    assert found["items"][0]["spec"]["containers"][0]["env"] == ENTRIES
    assert found["items"][1:] == items[1:]


PRETTY = """\
# The shop's front.
apiVersion: apps/v1
kind: Deployment   # as ever
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: app
        image: "nginx:1"  # pinned
        args: ['--x',
          "y"]
        # nothing else
      - name: more
        env:
        # theirs
        - name: A
          value: |
            b
      - {name: flow, env: [{name: B, value: c}, ]}
      - name: none
        env:  # not yet
      - name: empty
        env: []
      - env: ~
        name: tilde
---
kind: ConfigMap
apiVersion: v1
data: {x: *y, "kind: Deployment": [}
... # whatever that is
"""


def test_the_text_stays_as_it_is() -> None:
    text = injected(PRETTY)
    expected = PRETTY.replace(
        'image: "nginx:1"  # pinned\n',
        'image: "nginx:1"  # pinned\n'
        "        env:\n"
        "          - name: STATSD_UDP_HOST\n"
        '            value: "fritz-agent.monitoring"\n'
        "          - name: STATSD_UDP_PORT\n"
        '            value: "8125"\n',
    )
    expected = expected.replace(
        "        # theirs\n",
        "        # theirs\n"
        "        - name: STATSD_UDP_HOST\n"
        '          value: "fritz-agent.monitoring"\n'
        "        - name: STATSD_UDP_PORT\n"
        '          value: "8125"\n',
    )
    flow = ", ".join(map(json.dumps, ENTRIES))
    expected = expected.replace("env: [{name: B", f"env: [{flow}, {{name: B")
    expected = expected.replace("env:  # not yet", f"env: [{flow}]  # not yet").replace("env: []", f"env: [{flow}]")
    expected = expected.replace("env: ~", f"env: [{flow}]")
    assert text == expected


def test_json_stays_json_and_line_ends_stay() -> None:
    pod = workload("v1", "Pod", ("spec",), {"containers": [{"name": "a"}, {"name": "b", "env": [{"name": "A", "value": "1"}]}]})
    found = json.loads(injected(json.dumps(pod, indent=2)))
    assert [container["env"][:2] for container in found["spec"]["containers"]] == [ENTRIES, ENTRIES]
    text = yaml.safe_dump(pod).replace("\n", "\r\n")
    assert (
        re.sub("[^\n]*(STATSD|8125|agent)[^\n]*\n", "", injected(text)).replace("  env:\r\n  name", "  name").count("\r\n") >= 8
    )
    assert not re.search("(?<!\r)\n", injected(text))


def test_what_is_set_otherwise_is_left_alone_and_named() -> None:
    spec = {
        "containers": [
            {"name": "mine", "env": [{"name": HOST, "value": "mine"}]},
            {"name": "port", "env": [{"name": PORT, "value": "9125"}]},
            {"name": "from", "env": [{"name": HOST, "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, ENTRIES[1]]},
            {"name": "half", "env": [ENTRIES[1], {"name": "A", "value": "1"}]},
            {"name": "whole", "env": ENTRIES},
        ]
    }
    text = yaml.safe_dump(json.loads(json.dumps(workload("v1", "Pod", ("spec",), spec))), sort_keys=False)
    found = inject(text.encode(), "web.yaml", AGENTS)
    after = yaml.safe_load(found.text)["spec"]["containers"]
    assert after[:3] == spec["containers"][:3]
    assert after[3]["env"] == [ENTRIES[0], *spec["containers"][3]["env"]]  # type: ignore[misc]
    assert after[4] == spec["containers"][4]
    lines = text.splitlines()
    assert found.notes == [
        f"web.yaml:{lines.index(f'  - name: {name}') + 1}: Pod web, container {name}: {variable} set otherwise; left alone"
        for name, variable in (("mine", HOST), ("port", PORT), ("from", HOST))
    ]


def test_the_services_longer_name_is_what_is_wanted() -> None:
    entries = [{"name": HOST, "value": "fritz-agent.monitoring.svc"}, ENTRIES[1]]
    text = json.dumps(workload("v1", "Pod", ("spec",), {"containers": [{"name": "app", "env": entries}]}))
    assert inject(text.encode(), "web.json", AGENTS) == (text, 0, 1, [])


def test_the_nodes_address_where_the_agents_have_a_host_port() -> None:
    text = injected(PRETTY, Agents("", 9125))
    containers = yaml.safe_load(text.partition("---")[0])["spec"]["template"]["spec"]["containers"]
    assert all(container["env"][:2] == NODE for container in containers)
    assert injected(text, Agents("", 9125)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n",
        "# nothing\n---\n...\n",
        "%YAML 1.2\n---\na: 1\n",
        "kind: Deployment\n",
        "kind: Deployment\napiVersion: apps/v1\nspec: null\n",
        "kind: Deployment\napiVersion: example.com/v1\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
        "kind: Rollout\napiVersion: apps/v1\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
        "kind: Pod\napiVersion: v1\nspec: {containers: {name: a}, initContainers: [1, null, text]}\n",
        "- kind: Pod\n",
        "text\n",
        "kind: ConfigMap\ndata: &a [*a]\n",
    ],
)
def test_what_has_no_containers_is_printed_as_it_is(text: str) -> None:
    found = inject(text.encode(), "f", AGENTS)
    assert (found.text, found.containers, found.seen) == (text, 0, 0)


POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b\n---\nkind: Pod\nx: [1\n", "f:5: cannot read YAML: "),
        ("kind: Pod\nx: &a 1\ny: *a\n", r"f:3: cannot read YAML: alias \*a: write the value again"),
        ("kind: Pod\nx: " + "[" * DEEPEST + "]" * DEEPEST, "f:2: cannot read YAML: it is nested more than 100 levels"),
        ("kind: Pod\nx: !!int one\n", "f:1: cannot read YAML: "),
        ("kind: Pod\nx: !mine one\n", "f:2: cannot read YAML: "),
        ("kind: Pod\nx: \x07\n", "f:2: cannot read YAML: special characters"),
        ('kind: Pod\nx: "\\UFFFFFFFF"\n', "f:1: cannot read YAML: there is no such"),
        (b"kind: Pod\nx: \xff\n", "f:2: cannot read YAML: it is not UTF-8"),
        (b" " * (LARGEST + 1), "f:1: cannot read YAML: it is larger than 32 MiB"),
        (f"{POD}  - ? name\n    : app\n", "cannot inject into"),
        (f"{POD}  - name: |\n      app\n", "f:5: cannot inject into Pod without a name, container app"),
        (f"{POD}  - name: app\n    env: &e\n    - name: A\n", "f:5: cannot inject into"),
        (f"{POD}  - name: app\n    env: text\n", "f:5: cannot inject into"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_changed_is_an_error_with_its_line(text: str | bytes, said: str) -> None:
    with pytest.raises(BadInput, match=f"^{said}|{said}"):
        inject(text if isinstance(text, bytes) else text.encode(), "f", AGENTS)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=6)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), TEXT, st.sampled_from(["a\nb\n", "# x", "- y", "{", "---"])
)
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4)
ENV = st.lists(
    st.one_of(
        st.builds(lambda name, value: {"name": name, "value": value}, st.sampled_from(["A", "B"]), TEXT),
        st.sampled_from([*ENTRIES, *NODE, {"name": PORT, "value": 8125}]),
        VALUE,
    ),
    max_size=3,
)
CONTAINER = st.builds(
    lambda first, name, more, env: {**first, "name": name, **more, **env},
    st.dictionaries(st.sampled_from(["image", "args"]), VALUE, max_size=2),
    TEXT,
    st.dictionaries(TEXT.filter(lambda key: key != "env"), VALUE, max_size=2),
    st.one_of(st.just({}), st.builds(lambda env: {"env": env}, st.none() | ENV)),
)
OBJECT = st.builds(
    lambda kind, more, spec: {**more, **workload(*kind, spec)},
    st.sampled_from(KINDS),
    st.dictionaries(TEXT, VALUE, max_size=2),
    st.dictionaries(st.sampled_from(["containers", "initContainers", "x"]), st.lists(CONTAINER, max_size=3), max_size=3),
)
SPELLING = st.sampled_from([
    json.dumps,
    lambda found: json.dumps(found, indent=1),
    yaml.safe_dump,
    lambda found: yaml.safe_dump(found, sort_keys=False, explicit_start=True, explicit_end=True, allow_unicode=True),
    lambda found: yaml.safe_dump(found, default_flow_style=None, width=20),
    lambda found: yaml.safe_dump(found, default_flow_style=True, line_break="\r\n"),
    lambda found: yaml.safe_dump(found, default_style='"', indent=5),
])  # fmt: skip


def without(found: Any) -> Any:
    """A value without the variables, and without an env that is empty."""
    if isinstance(found, list):
        return [without(item) for item in found]
    if not isinstance(found, dict):
        return repr(found)
    left = {repr(key): without(value) for key, value in found.items() if key != "env"}
    env = found.get("env")
    rest = [without(item) for item in env if item not in ENTRIES] if isinstance(env, list) else []
    return left | ({"env": rest} if rest else {})


@settings(max_examples=20)
@given(st.lists(st.tuples(OBJECT, SPELLING), min_size=1, max_size=2))
def test_nothing_but_the_variables_changes_and_twice_is_once(objects: list[tuple[Any, Any]]) -> None:
    text = "---\n".join(spell(json.loads(json.dumps(found))) + "\n" for found, spell in objects)
    once = inject(text.encode(), "f", AGENTS)
    before, after = list(yaml.safe_load_all(text)), list(yaml.safe_load_all(once.text))
    assert [without(found) for found in after] == [without(found) for found in before]
    twice = inject(once.text.encode(), "f", AGENTS)
    assert (twice.text, twice.containers, twice.seen) == (once.text, 0, once.seen)
    said = [[note.partition(": ")[2] for note in found.notes] for found in (once, twice)]
    assert said[0] == said[1]


@settings(max_examples=15)
@given(OBJECT)
def test_what_is_spelt_as_nobody_does_is_right_or_refused(found: Any) -> None:
    text = yaml.safe_dump(json.loads(json.dumps(found)), default_style="|")
    with suppress(BadInput):
        assert without(yaml.safe_load(injected(text))) == without(yaml.safe_load(text))


@given(st.one_of(st.binary(max_size=40), st.text("kind: Pod\n-[]{}&*!|>'\"#,?x", max_size=60).map(str.encode)))
def test_any_bytes_are_documents_or_an_error(data: bytes) -> None:
    for body in (data, b"kind: Pod\napiVersion: v1\n" + data, POD.encode() + b"  - name: a\n    " + data):
        with suppress(BadInput):
            found = inject(body, "f", AGENTS)
            if found.containers:
                assert list(map(without, yaml.safe_load_all(found.text))) == list(map(without, yaml.safe_load_all(body)))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["metricscluster", "inject", *arguments])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    return main()


def test_a_file_or_standard_input_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(PRETTY)
    assert run(monkeypatch, str(path), "--metricscluster", "monitoring/fritz") == 0
    assert capsys.readouterr() == (injected(PRETTY), "")
    assert run(monkeypatch, "-", "--metricscluster", "monitoring/fritz", "--port", "9", stdin=PRETTY) == 0
    assert capsys.readouterr() == (injected(PRETTY, AGENTS._replace(port=9)), "")
    assert run(monkeypatch, "-", "--host-port", "--port", "9125", stdin="kind: ConfigMap\n") == 0
    assert capsys.readouterr() == ("kind: ConfigMap\n", "standard input: there is no workload in it\n")
    text = f"{POD}  - name: a\n    env: [{{name: {HOST}, value: x}}]\n"
    assert run(monkeypatch, "-", "--host-port", stdin=text) == 0
    assert capsys.readouterr() == (
        text,
        f"standard input:5: Pod without a name, container a: {HOST} set otherwise; left alone\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml", "--host-port"], "cannot read nowhere.yaml: No such file or directory"),
        (["-", "-n", "shop", "--host-port"], "cannot use --namespace with a file: "),
        (["pod/web"], "cannot inject into pod/web: its containers are fixed when it is made; inject into its file"),
        (["job.batch/web"], "cannot inject into job.batch/web: "),
    ],
)
def test_what_cannot_be_done_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    "arguments", [["-", "--metricscluster", "fritz"], ["-", "--metricscluster", "a/B"], ["-", "--port", "0"], []]
)
def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *arguments)


def live(kind: str, inner: tuple[str, ...]) -> dict[str, Any]:
    spec = {
        "initContainers": [{"name": "side", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}, {"name": "b"}],
    }
    return workload("", kind, inner, spec) | {"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"}}


WEB = {"deployments": [live("Deployment", ("spec", "template", "spec"))]}


@pytest.fixture
def cluster(kubectl: FakeKubectl) -> Cluster:
    kubectl.answer(WEB)
    return Cluster(Kubectl())


def web() -> patching.Target:
    found = target("deployment/web")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("deployment/web", "deployment.apps/web"),
        ("deploy/web", "deployment.apps/web"),
        ("Deployments.apps/web", "deployment.apps/web"),
        ("sts/db", "statefulset.apps/db"),
        ("ds/x", "daemonset.apps/x"),
        ("replicaset/x", "replicaset.apps/x"),
        ("rc/x", "replicationcontroller/x"),
        ("cronjob.batch/x", "cronjob.batch/x"),
    ],
)
def test_workloads_are_named_as_for_kubectl(text: str, label: str) -> None:
    found = target(text)
    assert found
    assert found.label == label


@pytest.mark.parametrize(
    "text", ["web.yaml", "-", "./deployment/web", "charts/web", "deployment/", "deployment/a/b", "deployment/A"]
)
def test_other_names_are_files(text: str) -> None:
    assert target(text) is None


def test_a_live_workload_gets_the_variables_and_keeps_the_rest(cluster: Cluster, kubectl: FakeKubectl) -> None:
    assert cluster.inject(web(), "shop", AGENTS) == (3, [])
    [found] = kubectl.objects("deployments")
    spec = found["spec"]["template"]["spec"]
    assert spec["initContainers"] == [{"name": "side", "restartPolicy": "Always", "env": ENTRIES}]
    assert spec["containers"] == [
        {"name": "app", "env": [{"name": "A", "value": "1"}, *ENTRIES]},
        {"name": "b", "env": ENTRIES},
    ]
    assert cluster.inject(web(), "shop", AGENTS) == (0, [])
    assert [call[0] for call in kubectl.calls()] == ["get", "patch", "get"]
    assert cluster.inject(web(), "shop", AGENTS._replace(port=9)) == (
        0,
        [f"Deployment web, container {name}: {PORT} set otherwise; left alone" for name in ("side", "app", "b")],
    )


def test_a_live_cronjob(cluster: Cluster, kubectl: FakeKubectl) -> None:
    path = ("spec", "jobTemplate", "spec", "template", "spec")
    kubectl.answer({"cronjobs": [live("CronJob", path)]})
    found = target("cj/web")
    assert found
    assert cluster.inject(found, "shop", Agents("", 9125)) == (3, [])
    assert within(kubectl.objects("cronjobs")[0], path)["containers"][1]["env"] == NODE


def test_a_change_in_between_is_read_again_but_not_for_ever(cluster: Cluster, kubectl: FakeKubectl) -> None:
    kubectl.answer(WEB, conflicts=2)
    assert cluster.inject(web(), "shop", AGENTS).containers == 3
    kubectl.answer(WEB, conflicts=3)
    with pytest.raises(MetricsError, match=r"cannot patch deployment\.apps/web: Operation cannot be fulfilled on .*: modified"):
        cluster.inject(web(), "shop", AGENTS)


@pytest.mark.parametrize(
    ("spec", "agents"),
    [
        ({}, AGENTS),
        ({"nodeAgent": {"statsd": {"port": 9125}}}, AGENTS._replace(port=9125)),
        ({"nodeAgent": {"statsd": {"port": 9125, "hostPort": True}}}, Agents("", 9125)),
    ],
)
def test_the_only_metricscluster_is_meant(cluster: Cluster, kubectl: FakeKubectl, spec: Any, agents: Agents) -> None:
    kubectl.answer({"metricsclusters": [{"metadata": {"namespace": "monitoring", "name": "fritz"}, "spec": spec}]})
    assert cluster.only_agents() == agents


def test_no_or_several_metricsclusters_are_an_error(cluster: Cluster, kubectl: FakeKubectl) -> None:
    with pytest.raises(NotFound, match="there are none; use --metricscluster"):
        cluster.only_agents()
    kubectl.answer({"metricsclusters": [{"metadata": {"namespace": "a", "name": name}} for name in "bc"]})
    with pytest.raises(NotFound, match="there are a/b, a/c; use --metricscluster"):
        cluster.only_agents()
    disabled = {"nodeAgent": {"statsd": {"enabled": False}}}
    kubectl.answer({"metricsclusters": [{"metadata": {"namespace": "a", "name": "b"}, "spec": disabled}]})
    with pytest.raises(MetricsError, match=r"cannot send to a/b: spec\.nodeAgent\.statsd\.enabled is false"):
        cluster.only_agents()


def test_the_command_speaks_to_the_cluster_that_is_named(command: Command, kubectl: FakeKubectl) -> None:
    kubectl.answer(WEB | {"metricsclusters": [{"metadata": {"namespace": "monitoring", "name": "fritz"}, "spec": {}}]})
    done = command("inject", "deployment/web", "-n", "shop", "--context", "test", "--kubeconfig", "/c")
    assert done == (0, "deployment.apps/web injected into 3 containers\n", "")
    assert kubectl.objects("deployments")[0]["spec"]["template"]["spec"]["containers"][1]["env"] == ENTRIES
    assert [call[:2] for call in kubectl.calls()] == [["--context=test", "--kubeconfig=/c"]] * 3
    assert command("inject", "deployment/web", "-n", "shop")[1] == "deployment.apps/web unchanged\n"


def test_the_namespace_is_kubectls(command: Command, kubectl: FakeKubectl) -> None:
    kubectl.answer(WEB)
    status, _, err = command("inject", "deployment/web", "--host-port")
    assert (status, err) == (1, 'cannot get deployments.apps web: deployments.apps "web" not found\n')
    assert "-n" not in kubectl.calls()[0]
