"""The release on a real API server: what that takes, the operator's rights, upgrade and rollback, what is left behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import kubeapi
from chaos import controlplane
from chaos.program import free_port
from chaos.releasing import ACCOUNT, CRD, Server
from charts import ALL, CHART, ENVIRONMENT, MINIMAL, needs, objects, previous, run, template

pytestmark = [pytest.mark.controlplane, controlplane.needed, needs("helm", "kubectl"), pytest.mark.timeout(400)]
LATER = ("--set", "crds.install=false")  # as if the kind were there already
ON = ("--set", "metricsCluster.enabled=true", "--set", "metricsCluster.name=fritz")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    with kubeapi.running(folder, authorization="RBAC", accounts=(ACCOUNT,)) as api:
        yield Server(folder, api.url)


def schema(found: dict[str, Any]) -> Any:
    return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].keys()


def works(server: Server) -> bool:
    """Whether the operator, with the release's settings and rights and no others, finds all that it needs and serves."""
    pod = server.get("deployment", "metricscluster-operator")["spec"]["template"]["spec"]
    environment = {env["name"]: env.get("value", "") for env in pod["containers"][0]["env"]}
    environment |= {"KUBECONFIG": str(server.account(ACCOUNT)), "METRICSOPERATOR_HEALTH_PORT": str(free_port())}
    command = [sys.executable, "-m", "metricsoperator"]
    with subprocess.Popen(
        command, env=ENVIRONMENT | environment | {"PYTHONPATH": ":".join(sys.path)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            said = next((line for line in process.stdout if '"serving ' in line or "ERROR" in line), "")
        finally:
            process.kill()
    wanted = environment["METRICSOPERATOR_NAMESPACE"] or "all namespaces"
    assert f'"serving {wanted}"' in said, said
    return True


def test_objects_are_as_the_api_server_wants_them(server: Server) -> None:
    """No field is unknown to it and none has a wrong value. It does not know what Prometheus Operator brings."""
    server.kubectl("create", "-f", str(CHART / "files/crd.yaml"))
    server.served()
    made = [found for arguments in ([], [*ALL, *LATER], MINIMAL, [*ON, *LATER]) for found in objects(template(*arguments))]
    made = [found for found in made if found["kind"] not in {"PodMonitor", "PrometheusRule", "CustomResourceDefinition"}]
    said = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(made))
    assert len(said.splitlines()) == len(made)
    server.forget()


@pytest.mark.parametrize("arguments", [[], ALL, MINIMAL, ["--set", "tests.metricsCluster=fritz"]])
def test_notes_are_commands_for_what_was_installed(server: Server, arguments: list[str]) -> None:
    notes = server.helm("install", CHART, "--dry-run=server", *arguments).split("NOTES:")[1]
    assert "rollout status deployment/metricscluster-operator" in notes
    assert "helm -n monitoring test metricscluster" in notes
    assert ("kubectl apply --server-side -f" in notes) == (arguments == MINIMAL)
    assert "no value" not in notes


@pytest.mark.chaos
def test_the_operator_has_the_rights_it_needs(server: Server) -> None:
    """Of one namespace, and of all; and no others: the audit of the end-to-end tests (tests/e2e/test_rights.py) says so."""
    server.helm("install", CHART)
    assert works(server)
    server.helm("upgrade", CHART, "--set", "watch.allNamespaces=true")
    assert not server.get("role,rolebinding")["items"]
    assert works(server)
    server.helm("uninstall")
    server.forget()


@pytest.mark.chaos
def test_life_of_a_release(server: Server, tmp_path: Path) -> None:
    """From the chart before: upgraded, rolled back, uninstalled, installed again; MetricsClusters stay, whoever made them."""
    server.helm("install", previous(tmp_path))
    server.served()
    own = {"apiVersion": "metricscluster.io/v1alpha1", "kind": "MetricsCluster", "metadata": {"name": "own"}}
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(own))
    uid = server.get("metricscluster", "own")["metadata"]["uid"]

    server.helm("upgrade", CHART, *ON)
    wanted = yaml.safe_load((CHART / "files/crd.yaml").read_text())
    assert schema(server.get("crd", CRD)) == schema(wanted), "the schema was upgraded with the release"
    assert server.get("metricscluster", "fritz")["metadata"]["annotations"]["meta.helm.sh/release-name"] == "metricscluster"
    assert works(server)

    server.helm("rollback", "1")
    assert {found["metadata"]["name"] for found in server.get("metricscluster")["items"]} == {"fritz", "own"}

    server.helm("uninstall")
    assert not server.get("deployment,role,rolebinding,serviceaccount,networkpolicy,poddisruptionbudget")["items"]
    assert not [
        one for one in server.get("clusterrole,clusterrolebinding")["items"] if "metricscluster" in one["metadata"]["name"]
    ]
    assert server.get("metricscluster", "own")["metadata"]["uid"] == uid
    assert server.get("metricscluster", "fritz")

    server.follow(server.refused("install", CHART, *ON))  # the kind is the older one's
    server.helm("install", CHART, *ON)
    assert server.get("metricscluster", "own")["metadata"]["uid"] == uid
    server.helm("uninstall")
    server.forget()


def size(gibibytes: int) -> tuple[str, ...]:
    """A MetricsCluster with the release, and how large its volume is."""
    return (*ON, "--set", f"metricsCluster.spec.store.storage.size={gibibytes}Gi")


def has(server: Server, gibibytes: int) -> bool:
    found: str = server.get("metricscluster", "fritz")["spec"]["store"]["storage"]["size"]
    return found == f"{gibibytes}Gi"


def test_values_are_never_ignored(server: Server) -> None:
    """Helm takes what `helm uninstall` kept as it is: values that say other are refused, with the command that helps."""
    server.helm("install", CHART)
    server.served()
    server.helm("upgrade", CHART, *size(1))
    server.helm("uninstall")
    said = server.refused("install", CHART, *size(2))
    assert "would leave it as it is in spec.store.storage.size." in said
    assert has(server, 1)
    server.follow(said)
    server.helm("install", CHART, *size(2))
    server.helm("upgrade", CHART, *size(3))
    assert has(server, 3)

    server.helm("uninstall")
    server.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps([OLDER]))
    said = server.refused("install", CHART, *size(3))
    assert "the CustomResourceDefinition that is in the cluster is another" in said
    server.follow(said)
    server.helm("install", CHART, *size(3))
    wanted = yaml.safe_load((CHART / "files/crd.yaml").read_text())
    assert schema(server.get("crd", CRD)) == schema(wanted)
    server.helm("uninstall")
    server.forget()


OLDER = {
    "op": "remove",
    "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/paused",
}


def test_the_first_upgrade_changes_what_was_made_as_a_hook(server: Server) -> None:
    """It makes the MetricsCluster an object of the release; Helm does not change it then, and does from then on."""
    server.helm("install", CHART)
    server.served()
    (hook,) = [found for found in objects(template(*size(1))) if found["kind"] == "MetricsCluster"]
    server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(hook))
    said = server.refused("upgrade", CHART, *size(2))
    assert has(server, 1)
    server.follow(said)
    server.helm("upgrade", CHART, *size(2))
    server.helm("upgrade", CHART, *size(2))
    server.helm("upgrade", CHART, *size(3))
    assert has(server, 3)
    server.helm("uninstall")
    server.forget()


def test_a_wrong_spec_makes_nothing(server: Server) -> None:
    said = server.refused("install", CHART, *ON, "--set", "metricsCluster.spec.store.storge.size=2Gi")
    assert "at '/metricsCluster/spec/store': additional properties 'storge' not allowed" in said
    assert not server.get("deployment")["items"]


def test_what_was_switched_off_meanwhile_is_not_ignored(server: Server) -> None:
    """By an upgrade, or by going back to before; switched on again it is as the values say, or that is said."""
    server.helm("install", CHART)
    server.served()
    server.helm("upgrade", CHART, *size(1))
    server.helm("upgrade", CHART, "--set", "metricsCluster.enabled=false")
    assert has(server, 1), "it is kept"
    server.follow(server.refused("upgrade", CHART, *size(2)))
    server.helm("upgrade", CHART, *size(2))
    server.helm("upgrade", CHART, *size(2), "--set", "metricsCluster.spec.paused=true")
    server.helm("rollback", "4")
    server.helm("upgrade", CHART, *size(3))
    assert has(server, 3), "the revision that was gone back to has it"
    server.helm("rollback", "1")
    said = server.refused("upgrade", CHART, *size(4))
    assert "would leave it as it is in spec.store.storage.size." in said
    server.helm("uninstall")
    server.forget()


@pytest.mark.chaos
def test_a_second_release_leaves_the_kind_to_the_first(server: Server) -> None:
    server.helm("install", CHART)
    server.kubectl("create", "namespace", "other")
    run("helm", "-n", "other", "install", "second", CHART, "--set", "crds.install=false", KUBECONFIG=str(server.admin))
    run("helm", "-n", "other", "uninstall", "second", KUBECONFIG=str(server.admin))
    assert server.get("crd", CRD)
    assert works(server)
    server.helm("uninstall")
    server.forget()
