"""The kinds of objects that the operator works with, where the API server has them, and the rights it needs for that."""

from typing import Any, NamedTuple

from metricsoperator import names


class Kind(NamedTuple):
    """Where the API server has a kind."""

    group: str  # "" for the core
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """As objects name it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Of one object, or of all in a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(["namespaces", namespace] if namespace else []), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


CHILDREN = {
    "ServiceAccount": Kind("", "v1", "serviceaccounts"),
    "NetworkPolicy": Kind("networking.k8s.io", "v1", "networkpolicies"),
    "ConfigMap": Kind("", "v1", "configmaps"),
    "Service": Kind("", "v1", "services"),
    "PodDisruptionBudget": Kind("policy", "v1", "poddisruptionbudgets"),
    "StatefulSet": Kind("apps", "v1", "statefulsets"),
    "DaemonSet": Kind("apps", "v1", "daemonsets"),
}
"""What a MetricsCluster owns and the operator watches."""

CLUSTER_CHILDREN = {
    "ClusterRoleBinding": Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
}
"""What belongs to a MetricsCluster by labels alone, since what has no namespace can have no owner that has one."""

MONITORS_GROUP = "monitoring.coreos.com"  # the Prometheus operator's
MONITORS = {
    "ServiceMonitor": Kind(MONITORS_GROUP, "v1", "servicemonitors"),
    "PodMonitor": Kind(MONITORS_GROUP, "v1", "podmonitors"),
}
"""What a MetricsCluster owns where these kinds exist; they come and go with another project, and are listed, not watched."""

KINDS = (
    CHILDREN
    | CLUSTER_CHILDREN
    | MONITORS
    | {
        names.KIND: Kind(names.GROUP, names.VERSION, names.PLURAL),
        "Secret": Kind("", "v1", "secrets"),
        "PersistentVolumeClaim": Kind("", "v1", "persistentvolumeclaims"),
        "Pod": Kind("", "v1", "pods"),
        "Event": Kind("", "v1", "events"),
        "SelfSubjectAccessReview": Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    }
)

Rule = dict[str, list[str]]
_USED = ("get", "list", "watch", "create", "patch", "delete")


def rules() -> list[Rule]:
    """The rules of the operator's Role: what it uses, nothing else. No Secret is listed or watched, no volume deleted."""
    own = KINDS[names.KIND]
    owned: dict[str, list[str]] = {}
    for kind in CHILDREN.values():
        owned.setdefault(kind.group, []).append(kind.plural)
    return [
        _rule(own.group, [own.plural], ["get", "list", "watch"]),
        _rule(own.group, [f"{own.plural}/status"], ["patch"]),
        *(_rule(group, plurals, list(_USED)) for group, plurals in owned.items()),
        _rule("", ["secrets"], ["get", "create", "patch"]),
        _rule("", ["persistentvolumeclaims"], ["get", "patch"]),
        _rule("", ["pods"], ["list", "delete"]),
        _rule("", ["events"], ["list", "create", "patch"]),
        _rule(MONITORS_GROUP, [kind.plural for kind in MONITORS.values()], ["get", "list", "create", "patch", "delete"]),
    ]


def granted() -> dict[str, list[Rule]]:
    """Right -> the rules of the ClusterRole that grants it to stores and agents."""
    return {
        names.PODS: [_rule("", ["pods"], ["list", "watch"])],
        names.REVIEWS: [_rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"])],
    }


def cluster_rules() -> list[Rule]:
    """The rules of the operator's ClusterRole: to bind the ClusterRoles of `granted`, and, as only who has a right may grant
    it, what those grant. No verb `bind` or `escalate`."""
    binding = CLUSTER_CHILDREN["ClusterRoleBinding"]
    return [_rule(binding.group, [binding.plural], list(_USED)), *(rule for rules in granted().values() for rule in rules)]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Rule:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def access_reviews(namespace: str, *, cluster: bool) -> list[dict[str, Any]]:
    """A question to the API server for each right of `rules`, and with `cluster` of `cluster_rules`: may I?

    `namespace` "" asks for all.
    """
    where = {"namespace": namespace} if namespace else {}
    asked = [attributes | where for attributes in _attributes(rules())]
    asked += _attributes(cluster_rules()) if cluster else []
    return [
        {
            "apiVersion": KINDS["SelfSubjectAccessReview"].api_version,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        for attributes in asked
    ]


def _attributes(found: list[Rule]) -> list[dict[str, str]]:
    """Each single right of these rules, as a review names it."""
    rights = [(r["apiGroups"][0], resource, verb) for r in found for resource in r["resources"] for verb in r["verbs"]]
    asked = []
    for group, resource, verb in rights:
        plural, _, subresource = resource.partition("/")
        asked.append({"group": group, "resource": plural, "verb": verb} | ({"subresource": subresource} if subresource else {}))
    return asked
