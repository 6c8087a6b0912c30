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


def allowed(account: str, verb: str, *what: str) -> bool:
    who = f"--as=system:serviceaccount:{k.NAMESPACE}:{k.NAME}-{account}"
    return k.run("kubectl", "auth", "can-i", who, verb, *what, check=False).stdout.strip() == "yes"


def test_store_and_agents_have_the_rights_they_use_and_no_others() -> None:
    for part in ("store", "agent"):
        found = k.get("pods", "-l", f"app.kubernetes.io/instance={k.NAME},app.kubernetes.io/component={part}")["items"][0]
        assert found["spec"]["automountServiceAccountToken"] is False
        assert allowed(part, "create", "subjectaccessreviews.authorization.k8s.io", "--all-namespaces")
        for verb, *what in (("get", "secrets", "--all-namespaces"), ("get", "pods/log", "-A"), ("delete", "pods", "-A")):
            assert not allowed(part, verb, *what), (part, verb, what)
    assert allowed("agent", "watch", "pods", "--all-namespaces")
    assert not allowed("store", "list", "pods", "--all-namespaces")
    volumes = {volume["name"]: volume for volume in found["spec"]["volumes"]}
    tokens = {name: volumes[name]["projected"]["sources"][0]["serviceAccountToken"] for name in ("token", "apiserver")}
    assert tokens["token"]["audience"] == "metricscluster"
    assert "audience" not in tokens["apiserver"] or tokens["apiserver"]["audience"] != "metricscluster"


def test_the_schema_reads_like_documentation() -> None:
    """Each field of the spec is explained, by its short name too."""
    for path, words in (
        ("store", "Limits that protect the store."),
        ("store.limits", "Memory that the store may use"),
        ("store.tls", "with it the API speaks TLS only"),
        ("nodeAgent.statsd", "Whether agents take StatsD."),
    ):
        said = " ".join(k.kubectl("explain", f"mxc.spec.{path}").split())
        assert words in said, said
