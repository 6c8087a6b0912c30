"""`metricscluster query` and `top` against a real store; through kubectl, a program that says what kubectl says."""

import base64
import csv
import io
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certificates import check_as_newer_pythons, write_pair
from fakekubectl import FakeKubectl, manifest
from metricscluster import query
from metricscluster.asking import Asking, Place, Series
from metricscluster.client import Client
from metricscluster.moments import rfc3339
from metricwire import tokens
from storeserver import Store

Command = Callable[..., tuple[int, str, str]]
METRICS = {
    "load_one": {"frequency": 10},
    "cpu_used": {"frequency": 10, "aggregation": "avg"},
    "odd": {"frequency": 10},
    **{name: {"frequency": 10, "aggregation": "sum"} for name in ("mem_used", "mem_total", "num_cpus")},
    "container_cpu_usage_seconds_total": {"frequency": 10, "aggregation": "sum"},
    "container_memory_working_set_bytes": {"frequency": 10, "aggregation": "sum"},
}
IDS = ("a" * 64, "b" * 64, "c" * 64)
MI = 1024 * 1024
RESOURCE = "metricsclusters.metricscluster.io"
INSTALL = "; install the operator and its CustomResourceDefinition first (docs/kubernetes.md)"
NO_TYPE = "the server doesn't have a resource type"


@pytest.fixture(scope="module")
def now() -> int:
    return int(time.time()) // 10 * 10


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, now: int) -> Path:
    """A folder with `public.key`, and the tokens `admin` and `writer`."""
    folder = tmp_path_factory.mktemp("keys")
    private, public = tokens.new_pair()
    (folder / "public.key").write_text(public)
    (folder / "admin").write_text(tokens.sign(private, "admin", ["admin"], issued=now))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, now: int, keys: Path) -> Iterator[Store]:
    """Two nodes for five minutes, with two hardware threads each; three containers, two of them of one pod.

    For the store no time passes, so that all of it stays fresh.
    """
    made = Store(tmp_path_factory.mktemp("store"), METRICS, keys / "public.key", clock=lambda: now).start()
    stamps = range(now - 300, now, 10)
    lines = []
    for at, stamp in enumerate(stamps):
        for number, node in enumerate(("n1", "n2")):
            tags = f"cluster=fritz,hostname={node}"
            lines += [f"load_one,{tags} value={at + number} {stamp}", f"num_cpus,{tags} value=8 {stamp}"]
            lines += [f"mem_used,{tags} value={number + 1}073741824 {stamp}", f"mem_total,{tags} value=8589934592 {stamp}"]
            lines += [f"cpu_used,{tags},type=hwthread,type-id={t} value={25 * (t + 1)} {stamp}" for t in (0, 1)]
            lines += [f"cpu_used,{tags} value={50 * (number + 1)} {stamp}"]
        lines += [f"odd,cluster=fritz,hostname=n1,type=socket,type-id={t} value=1 {stamp}" for t in (0, 1)]
        for number, one in enumerate(IDS):
            tags = f"cluster=fritz,hostname=n1,type=container,type-id={one}"
            lines.append(f"container_cpu_usage_seconds_total,{tags} value={at * 5 * (number + 1)} {stamp}")
            lines.append(f"container_memory_working_set_bytes,{tags} value={(number + 1) * 10 * MI} {stamp}")
    for one, pod, container in ((IDS[0], "web-1", "app"), (IDS[1], "web-1", "proxy"), (IDS[2], "db-0", "db")):
        space = "shop" if pod == "web-1" else "data"
        tags = f"cluster=fritz,hostname=n1,type=container,type-id={one},pod={pod},namespace={space},container={container}"
        lines.append(f"info,{tags} value=1")
    made.write(*lines, token_file=keys / "admin")
    yield made
    made.stop()


@pytest.fixture
def ask(command: Command, store: Store, keys: Path) -> Command:
    def ask(what: str, *arguments: object) -> tuple[int, str, str]:
        return command(what, *arguments, "--url", store.url, "--token-file", keys / "admin")

    return ask


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# query


def test_a_table_has_a_row_for_each_node(ask: Command, now: int) -> None:
    status, out, err = ask("query", "load_one")
    assert (status, err) == (0, "")
    title, head, *found = out.splitlines()
    assert title == f"load_one of fritz, {rfc3339(now - 300)} to {rfc3339(now - 10)}"
    assert head.split() == ["HOST", "PART", "LAST", "MIN", "AVG", "MAX", "SAMPLES", "COURSE"]
    assert [line.split()[:7] for line in found] == [
        ["n1", "-", "29", "0", "14.5", "29", "30"],
        ["n2", "-", "30", "1", "15.5", "30", "30"],
    ]
    assert found[0].split()[7].startswith("▁▁")
    assert found[0].endswith("█")


def test_csv_has_every_sample(ask: Command, now: int) -> None:
    status, out, _ = ask("query", "load_one", "--host", "n2", "--from", now - 100, "--to", now, "-o", "csv")
    assert status == 0
    found = list(csv.DictReader(io.StringIO(out)))
    assert [(row["time"], float(row["value"])) for row in found] == [
        (rfc3339(stamp), 21 + at) for at, stamp in enumerate(range(now - 100, now, 10))
    ]
    assert {(row["hostname"], row["type"], row["metric"]) for row in found} == {("n2", "", "load_one")}


def test_samples_have_the_same_times_whenever_the_question_begins(ask: Command, now: int) -> None:
    status, out, _ = ask("query", "load_one", "--host", "n2", "--from", now - 97, "--to", now, "-o", "csv")
    assert status == 0
    assert [row["time"] for row in csv.DictReader(io.StringIO(out))] == [rfc3339(stamp) for stamp in range(now - 90, now, 10)]
    assert ask("query", "load_one", "--from", now - 7, "--to", now)[1] == ""


def test_json_names_unit_and_places(ask: Command, now: int) -> None:
    found = json.loads(ask("query", "cpu_used", "--type", "hwthread", "--host", "n1", "-o", "json")[1])
    assert (found["cluster"], found["metric"], found["unit"]) == ("fritz", "cpu_used", "percent")
    assert [(one["host"], one["type"], one["type-ids"]) for one in found["series"]] == [
        ("n1", "hwthread", ["0"]),
        ("n1", "hwthread", ["1"]),
    ]
    assert found["series"][0]["samples"][0] == [now - 300, 25.0]


def test_parts_become_one_by_the_metrics_rule(ask: Command) -> None:
    found = json.loads(ask("query", "cpu_used", "--type", "hwthread", "--aggregate", "-o", "json")[1])["series"]
    assert [(one["host"], one["type-ids"], one["samples"][0][1]) for one in found] == [
        ("n1", ["0", "1"], 37.5),
        ("n2", ["0", "1"], 37.5),
    ]
    status, out, err = ask("query", "odd", "--type", "socket", "--aggregate")
    assert (status, out) == (1, "")
    assert "cannot aggregate 2 series" in err


def test_named_parts_need_not_be_fresh(ask: Command) -> None:
    assert ask("query", "cpu_used", "--type", "hwthread", "--type-id", "1", "--host", "n1", "-o", "csv")[1].count("\n") == 31
    status, out, err = ask("query", "cpu_used", "--type", "socket")
    assert (status, out) == (1, "")
    assert err == "cannot find cpu_used of type socket: no part sends it now; name those of before by --type-id\n"


def test_a_plot_has_axes_and_a_legend(ask: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    status, out, err = ask("query", "mem_used", "-o", "plot")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mem_used in bytes, cluster fritz"
    assert lines[1].startswith("1.93 GiB ┤")
    assert lines[-1].split() == ["b", "n1"]
    assert lines[-2].split() == ["a", "n2"]
    assert lines[-3].endswith(" UTC")
    assert "a" in lines[1]
    one = ask("query", "load_one", "--host", "n1", "-o", "plot")[1].splitlines()
    assert one[0] == "load_one in count of n1, cluster fritz"
    assert any("⠀" < sign <= "⣿" for sign in one[17])


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ("mem_usd", 1, "cannot query mem_usd: cannot read: unknown metric: mem_usd; did you mean mem_used, "),
        ("load_one --host nobody", 1, "no samples of load_one in fritz"),
        ("load_one --from 2020-01-01 --to 2020-01-02", 1, "no samples of load_one in fritz"),
        ("load_one --from now --to 1h", 2, "cannot query from "),
        ("load_one --from yesterday", 2, "cannot read the time 'yesterday': expected"),
        ("load_one --resolution often", 2, "cannot read duration 'often'"),
        ("load_one --type-id 1", 2, "cannot use --type-id or --aggregate without --type"),
        ("load_one --metricscluster a/b", 2, "cannot use --url with --metricscluster or --service-account"),
        ("load_one --cluster other", 1, "no samples of load_one in other"),
    ],
)
def test_errors_say_what_and_why(ask: Command, arguments: str, status: int, error: str) -> None:
    found = ask("query", *arguments.split())
    assert found[:2] == (status, "")
    assert found[2].startswith(error)
    assert found[2].count("\n") == 1


def test_without_a_token_it_is_refused_and_said(command: Command, store: Store) -> None:
    status, out, err = command("query", "load_one", "--url", store.url, "--cluster", "fritz")
    assert (status, out) == (1, "")
    assert err.startswith(f"cannot POST {store.url}/api/query: 401: ")


def test_a_store_that_is_not_there(command: Command) -> None:
    status, out, err = command("query", "load_one", "--url", "http://127.0.0.1:1")
    assert (status, out) == (1, "")
    assert err == "cannot read http://127.0.0.1:1/api/cardinality: [Errno 111] Connection refused\n"


def test_who_reads_no_more_gets_no_traceback(store: Store, keys: Path) -> None:
    """`metricscluster query ... | head -1`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    asked = ("query", "load_one", "-o", "csv", "--url", store.url, "--token-file", str(keys / "admin"))
    process = subprocess.Popen(
        [sys.executable, "-m", "metricscluster", *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


# top


def test_hosts_that_the_store_hears_of_need_no_token(store: Store) -> None:
    assert Asking(Client(f"http://127.0.0.1:{store.operations_port}"), "fritz").heard() == {"n1", "n2"}


def test_nodes_of_which_the_load_is_not_measured(command: Command, tmp_path: Path, now: int) -> None:
    store = Store(tmp_path, {"mem_used": {"frequency": 10}}, clock=lambda: now).start()
    store.write(*(f"mem_used,cluster=fritz,hostname={node} value=1048576 {now - 10}" for node in ("n1", "n2")))
    queried = command("query", "mem_used", "--url", store.url)
    shown = command("top", "nodes", "--url", store.url)
    store.stop()
    assert [row[0] for row in rows(queried[1])[2:]] == ["n1", "n2"]
    assert rows(shown[1])[1:] == [[node, "-", "-", "1.00", "MiB", "-", "-"] for node in ("n1", "n2")]


def test_nodes_by_memory(ask: Command) -> None:
    status, out, err = ask("top", "nodes", "--sort", "memory")
    assert (status, err) == (0, "")
    assert rows(out) == [
        ["NODE", "CPU", "CPU%", "MEMORY", "MEMORY%", "LOAD"],
        ["n2", "8.00", "100", "%", "1.93", "GiB", "24", "%", "30"],
        ["n1", "4.00", "50", "%", "1.00", "GiB", "12", "%", "29"],
    ]


def test_containers_and_pods(ask: Command) -> None:
    assert rows(ask("top", "containers")[1])[1:] == [
        ["data", "db-0", "db", "n1", "1.50", "30.0", "MiB"],
        ["shop", "web-1", "proxy", "n1", "1.00", "20.0", "MiB"],
        ["shop", "web-1", "app", "n1", "0.50", "10.0", "MiB"],
    ]
    assert rows(ask("top", "pods", "-n", "shop")[1])[1:] == [["shop", "web-1", "n1", "1.50", "30.0", "MiB"]]
    assert ask("top", "pods", "-n", "none")[0] == 1
    assert ask("top", "nodes", "-n", "shop")[::2] == (2, "cannot use --namespace with nodes: they have none\n")


# through kubectl


def cluster(name: str = "fritz", namespace: str = "monitoring") -> dict[str, object]:
    return manifest("MetricsCluster", name, namespace=namespace)


def keys_secret(keys: Path) -> dict[str, object]:
    token = base64.b64encode((keys / "admin").read_bytes()).decode()
    return {"metadata": {"name": "fritz-keys", "namespace": "monitoring"}, "data": {"admin-token": token}}


def test_the_only_metricscluster_is_found_and_reached(command: Command, kubectl: FakeKubectl, store: Store, keys: Path) -> None:
    ports = {"8082": store.port, "8083": store.operations_port}
    kubectl.answer({"metricsclusters": [cluster()], "secrets": [keys_secret(keys)]}, ports=ports)
    status, out, err = command("query", "load_one", "--context", "lab")
    assert (status, err) == (0, "")
    assert rows(out)[2][:3] == ["n1", "-", "29"]
    token = (keys / "admin").read_text()
    for call in kubectl.calls():
        assert call[0] == "--context=lab"
        assert token not in " ".join(call)
    forwarded = ["-n", "monitoring", "port-forward", "--address=127.0.0.1", "pod/fritz-store-0", ":8082", ":8083"]
    assert ["--context=lab", *forwarded] in kubectl.calls()


def test_a_token_is_made_for_a_service_account(command: Command, kubectl: FakeKubectl, store: Store, keys: Path) -> None:
    ports, token = {"8082": store.port, "8083": store.operations_port}, (keys / "admin").read_text()
    kubectl.answer({"metricsclusters": [cluster()]}, ports=ports, token=token)
    asked = ("query", "load_one", "--metricscluster", "monitoring/fritz", "--service-account", "shop/reader")
    assert command(*asked)[::2] == (0, "")
    [made] = [call for call in kubectl.calls() if call[0] == "create"]
    assert made == ["create", "token", "reader", "-n", "shop", "--audience=metricscluster", "--duration=10m"]


@pytest.mark.parametrize(
    ("objects", "failures", "error"),
    [
        ([], {}, "cannot tell which MetricsCluster is meant: there are none; name one"),
        (
            [cluster(), cluster("alex")],
            {},
            "cannot tell which MetricsCluster is meant: there are monitoring/fritz, monitoring/alex; name one",
        ),
        (
            [cluster()],
            {"get metricsclusters": f"error: {NO_TYPE}"},
            f"cannot get {RESOURCE}: {NO_TYPE}{INSTALL}",
        ),
        (
            [cluster()],
            {"get metricsclusters": "E1121 memcache.go\nThe connection to the server localhost:8080 was refused"},
            "cannot get metricsclusters.metricscluster.io: The connection to the server localhost:8080 was refused",
        ),
        (
            [cluster()],
            {"get secret": 'Error from server (Forbidden): secrets "fritz-keys" is forbidden'},
            'cannot get secret fritz-keys: secrets "fritz-keys" is forbidden; use --service-account or --token-file',
        ),
        (
            [cluster()],
            {"port-forward": "error: unable to forward port because pod is not running"},
            "cannot reach pod monitoring/fritz-store-0: unable to forward port because pod is not running",
        ),
    ],
)
def test_what_kubectl_cannot_do_is_said(
    command: Command, kubectl: FakeKubectl, keys: Path, objects: list[dict[str, object]], failures: dict[str, str], error: str
) -> None:
    kubectl.answer({"metricsclusters": objects, "secrets": [keys_secret(keys)]}, failures=failures)
    assert command("query", "load_one") == (1, "", f"{error}\n")


def test_a_store_with_tls_is_known_by_its_own_certificate(command: Command, kubectl: FakeKubectl, tmp_path: Path) -> None:
    def kept(name: str) -> dict[str, object]:
        data = {"tls.crt": base64.b64encode((tmp_path / f"{name}.crt").read_bytes()).decode()}
        return {"metadata": {"name": "fritz-tls", "namespace": "monitoring"}, "data": data}

    pair, _ = (
        write_pair(tmp_path, "own", "fritz-store.monitoring.svc"),
        write_pair(tmp_path, "other", "fritz-store.monitoring.svc"),
    )
    spoken = Store(tmp_path / "data", METRICS, tls=pair).start()
    try:
        found = cluster() | {"spec": {"store": {"tls": {"secretName": "fritz-tls"}}}}
        ports = {"8082": spoken.port, "8083": spoken.operations_port}
        (tmp_path / "token").write_text("any")
        asked = ("query", "load_one", "--token-file", tmp_path / "token")
        kubectl.answer({"metricsclusters": [found], "secrets": [kept("own")]}, ports=ports)
        assert command(*asked) == (1, "", "no samples of load_one in fritz\n")
        assert command(*asked, "--ca-file", pair[0]) == (1, "", "no samples of load_one in fritz\n")
        kubectl.answer({"metricsclusters": [found], "secrets": [kept("other")]}, ports=ports)
        assert "CERTIFICATE_VERIFY_FAILED" in command(*asked)[2]
    finally:
        spoken.stop()


def test_an_authority_is_taken_as_curl_takes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_as_newer_pythons(monkeypatch)
    context = Client("https://store", ca_file=write_pair(tmp_path, "ca", "authority")[0])._context
    assert context is not None
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_without_kubectl(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = command("top", "nodes")
    assert status == 1
    assert err.startswith("cannot get metricsclusters.metricscluster.io: there is no kubectl on PATH; install it")


@pytest.mark.parametrize("form", ["table", "plot", "csv", "json"])
def test_names_of_others_do_not_move_the_terminal(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "n1\x1b[2J\x9b\u202e\r"
    query._FORMS[form]([Series(Place(evil, evil, (evil,)), "load_one", 0, 10, [1.0, 2.0])], "load_one", evil)
    out = capsys.readouterr().out
    assert "n1" in out
    assert all(sign.isprintable() or sign == "\n" for sign in out)


def test_top_shows_nodes_unless_told_otherwise(ask: Command) -> None:
    assert ask("top") == ask("top", "nodes")
