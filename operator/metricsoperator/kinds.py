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

KINDS = CHILDREN | {
    names.KIND: Kind(names.GROUP, names.VERSION, names.PLURAL),
    "Secret": Kind("", "v1", "secrets"),
    "PersistentVolumeClaim": Kind("", "v1", "persistentvolumeclaims"),
    "Pod": Kind("", "v1", "pods"),
    "SelfSubjectAccessReview": Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
}

Rule = dict[str, list[str]]


def rules() -> list[Rule]:
    """The rules of the operator's Role: what it uses, nothing else. No Secret is listed or watched, no volume deleted."""
    own = KINDS[names.KIND]
    used = ["get", "list", "watch", "create", "patch", "delete"]
    owned: dict[str, list[str]] = {}
    for kind in CHILDREN.values():
        owned.setdefault(kind.group, []).append(kind.plural)
    return [
        _rule(own.group, [own.plural], ["list", "watch"]),
        _rule(own.group, [f"{own.plural}/status"], ["patch"]),
        *(_rule(group, plurals, list(used)) for group, plurals in owned.items()),
        _rule("", ["secrets"], ["get", "create"]),
        _rule("", ["persistentvolumeclaims"], ["get", "patch"]),
        _rule("", ["pods"], ["list"]),
    ]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Rule:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def access_reviews(namespace: str) -> list[dict[str, Any]]:
    """A question to the API server for each right of `rules`: may I? `namespace` "" asks for all."""
    rights = [(r["apiGroups"][0], resource, verb) for r in rules() for resource in r["resources"] for verb in r["verbs"]]
    where = {"namespace": namespace} if namespace else {}
    return [
        {
            "apiVersion": KINDS["SelfSubjectAccessReview"].api_version,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": _attributes(*right) | where},
        }
        for right in rights
    ]


def _attributes(group: str, resource: str, verb: str) -> dict[str, str]:
    plural, _, subresource = resource.partition("/")
    return {"group": group, "resource": plural, "verb": verb} | ({"subresource": subresource} if subresource else {})
