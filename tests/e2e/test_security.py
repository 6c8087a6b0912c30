"""Store and operator are fit for Pod Security "restricted"; the agent is but for its host mounts."""

from . import kubernetes as k


def test_only_the_agents_host_mounts_are_beyond_restricted(clients: dict[str, str]) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    said = k.run("kubectl", "label", "--dry-run=server", "--overwrite", "namespace", k.NAMESPACE, label).stderr
    named = [line.removeprefix("Warning: ") for line in said.splitlines() if "existing pods" not in line]
    assert named, said
    for line in named:
        assert line.startswith(f"{k.NAME}-agent-"), line
        assert line.endswith(": restricted volume types"), line


def test_host_mounts_are_read_only() -> None:
    pod = k.get("daemonset", f"{k.NAME}-agent")["spec"]["template"]["spec"]
    host = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
    mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] in host]
    assert {mount["mountPath"] for mount in mounts} == {"/host/proc", "/host/sys", "/host/root"}
    assert all(mount["readOnly"] for mount in mounts)


def test_agents_hold_no_token_of_the_api_server() -> None:
    for part in ("store", "agent"):
        found = k.get("pods", "-l", f"app.kubernetes.io/instance={k.NAME},app.kubernetes.io/component={part}")["items"][0]
        assert found["spec"]["automountServiceAccountToken"] is False
    volumes = {volume["name"]: volume for volume in found["spec"]["volumes"]}
    token = volumes["token"]["projected"]["sources"][0]["serviceAccountToken"]
    assert token["audience"] == "metricscluster"
    assert "apiserver" not in volumes
