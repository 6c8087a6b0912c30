"""What of an object is packed by `diagnose`: what is listed here. Pure.

Pods hold what others put there: variables, command lines, annotations, containers of a mesh. So of a pod only the fields go
that say where and how it runs; values that are not our own settings are shown by their length. An object of a kind that is
not listed is not packed at all.
"""

from collections.abc import Collection, Mapping
from typing import Any

from metricsoperator import names
from metricsoperator.settings import OPTIONS
from metricwire.settings import NODE_NAME

Manifest = dict[str, Any]
COMPONENTS = (names.STORE, names.AGENT, "operator")
OWN_VARIABLES = frozenset({NODE_NAME, "NVIDIA_VISIBLE_DEVICES", *(variable for _, variable, _ in OPTIONS.values())})
_OWN_WORDS = frozenset({"--config", names.CONFIG_FILE})  # of command lines
_OWN_PATHS = frozenset({"/healthz", "/readyz"})  # of probes
_HELM = frozenset({"meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "helm.sh/resource-policy"})
_ANNOTATIONS = _HELM | {"deployment.kubernetes.io/revision", "storageclass.kubernetes.io/is-default-class"}
_METADATA = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers"),
)
_POD = (
    *("nodeName", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName", "priority"),
    *("preemptionPolicy", "restartPolicy", "serviceAccountName", "automountServiceAccountToken", "securityContext"),
    *("schedulerName", "runtimeClassName", "hostNetwork", "hostPID", "hostIPC", "dnsPolicy", "enableServiceLinks"),
    *("imagePullSecrets", "terminationGracePeriodSeconds", "schedulingGates"),
)
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_CONTAINER = (
    *("name", "image", "imagePullPolicy", "ports", "resources", "securityContext", "volumeMounts", "restartPolicy", "envFrom"),
    *("terminationMessagePath", "terminationMessagePolicy"),
)
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_VOLUMES = ("name", "configMap", "secret", "projected", "emptyDir", "hostPath", "persistentVolumeClaim", "downwardAPI")
_EVENT = (
    *("involvedObject", "reason", "message", "type", "count", "firstTimestamp", "lastTimestamp", "eventTime", "series"),
    *("source", "reportingComponent", "action"),
)
_NODE = ("conditions", "capacity", "allocatable", "nodeInfo", "addresses")
_VOLUME = (
    *("capacity", "accessModes", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode", "claimRef"),
    "nodeAffinity",
)
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_WHOLE: Mapping[str, Collection[str]] = {"spec": (), "status": ()}
_BINDING: Mapping[str, Collection[str]] = {"roleRef": (), "subjects": ()}
_FIELDS: Mapping[str, Mapping[str, Collection[str]]] = {  # kind -> field -> what of it; nothing named: all of it
    names.KIND: _WHOLE,
    "Pod": _WHOLE,
    "StatefulSet": _WHOLE,
    "DaemonSet": _WHOLE,
    "Deployment": _WHOLE,
    "ReplicaSet": _WHOLE,
    "PersistentVolumeClaim": _WHOLE,
    "NetworkPolicy": _WHOLE,
    "PodDisruptionBudget": _WHOLE,
    "ResourceQuota": _WHOLE,
    "LimitRange": _WHOLE,
    "Service": _WHOLE,
    "EndpointSlice": dict.fromkeys(("addressType", "endpoints", "ports"), ()),
    "ControllerRevision": {"revision": ()},
    "ServiceAccount": dict.fromkeys(("automountServiceAccountToken", "imagePullSecrets"), ()),
    "Role": {"rules": ()},
    "ClusterRole": {"rules": ()},
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "Event": dict.fromkeys(_EVENT, ()),
    "Node": {"spec": ("taints", "unschedulable"), "status": _NODE},
    "PersistentVolume": {"spec": _VOLUME, "status": ()},
    "StorageClass": dict.fromkeys(("provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion"), ()),
}


def excerpt(found: Manifest) -> Manifest | None:
    """What is packed of an object; None: nothing."""
    kind = found.get("kind", "")
    if kind == "ConfigMap":
        return _about(found) | {"data": _settings(found)}
    if kind not in _FIELDS:
        return None
    own = [one["name"] for one in _all_containers(found.get("spec") or {}) if is_ours(one)]
    left = _about(found)
    for field, within in _FIELDS[kind].items():
        if field in found:
            value = found[field]
            value = {key: value[key] for key in within if key in value} if within else value
            left[field] = _without_words(value, own) if field == "status" else _walked(value)
    return left


def is_ours(container: Manifest) -> bool:
    """Whether a container runs one of our three programs, and under its name."""
    image = str(container.get("image", "")).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return container.get("name") in COMPONENTS and image == f"metricscluster-{container['name']}"


def withheld(value: Any) -> Any:
    """What is shown in the place of texts: how long they are."""
    if isinstance(value, dict):
        return {key: withheld(one) for key, one in value.items()}
    if isinstance(value, list):
        return [withheld(one) for one in value]
    return f"[{len(str(value))} characters withheld]"


def _about(found: Manifest) -> Manifest:
    about = found.get("metadata") or {}
    left = _walked({key: about[key] for key in _METADATA if key in about})
    return {key: found[key] for key in ("apiVersion", "kind") if key in found} | {"metadata": left}


def _settings(found: Manifest) -> Any:
    """The settings of store or agents; what others keep in a ConfigMap is theirs."""
    ours = any(owner.get("kind") == names.KIND for owner in found["metadata"].get("ownerReferences") or ())
    data = found.get("data") or {}
    return {key: text if ours and key == "config.json" else withheld(text) for key, text in data.items()}


def _all_containers(spec: Any) -> list[Manifest]:
    return [one for kind in _CONTAINERS for one in spec.get(kind) or ()] if isinstance(spec, dict) else []


def _walked(value: Any) -> Any:
    """Wherever pods are described in it, what may be shown of them; annotations by their names."""
    if isinstance(value, list):
        return [_walked(one) for one in value]
    if not isinstance(value, dict):
        return value
    if any(isinstance(value.get(kind), list) for kind in _CONTAINERS):
        return _pod(value)
    return {key: _annotations(one) if key == "annotations" else _walked(one) for key, one in value.items()}


def _annotations(found: Any) -> Any:
    if not isinstance(found, dict):
        return withheld(found)
    return {
        key: text if key in _ANNOTATIONS or key.startswith(f"{names.GROUP}/") else withheld(text) for key, text in found.items()
    }


def _pod(spec: Manifest) -> Manifest:
    shown = {kind: [_container(one) for one in spec.get(kind) or ()] for kind in _CONTAINERS if kind in spec}
    if "volumes" in spec:
        shown["volumes"] = [_listed(one, _VOLUMES) for one in spec["volumes"] or ()]
    return _listed(spec, _POD, shown)


def _container(found: Manifest) -> Manifest:
    shown: dict[str, Any] = {probe: _probe(found[probe]) for probe in _PROBES if probe in found}
    if "env" in found:
        shown["env"] = [_variable(one) for one in found["env"] or ()]
    for words in ("command", "args"):
        if words in found:
            shown[words] = [word if word in _OWN_WORDS else withheld(word) for word in found[words] or ()]
    return _listed(found, _CONTAINER, shown)


def _variable(found: Manifest) -> Manifest:
    own = found.get("name") in OWN_VARIABLES
    return {key: one if own or key in {"name", "valueFrom"} else withheld(one) for key, one in found.items()}


def _probe(found: Manifest) -> Manifest:
    numbers = {key: one for key, one in found.items() if isinstance(one, int)}
    asked = found.get("httpGet") or {}
    path = asked.get("path", "")
    shown = {"httpGet": {"path": path if path in _OWN_PATHS else withheld(path), "port": asked.get("port")}} if asked else {}
    return _listed(found, (), numbers | shown)


def _listed(found: Manifest, keys: Collection[str], shown: Mapping[str, Any] | None = None) -> Manifest:
    """These fields as they are, or as `shown`; the others by their lengths."""
    shown = shown or {}
    return {key: shown[key] if key in shown else one if key in keys else withheld(one) for key, one in found.items()}


def _without_words(status: Any, own: Collection[str]) -> Any:
    """Without the last words of containers that are not ours."""
    if not isinstance(status, dict):
        return status
    return {
        key: [one if one.get("name") in own else _mute(one) for one in value] if key in _STATUSES else value
        for key, value in status.items()
    }


def _mute(found: Manifest) -> Manifest:
    states = {key: dict(found[key]) for key in ("state", "lastState") if found.get(key)}
    for state in states.values():
        ended = state.get("terminated") or {}
        if ended.get("message"):
            state["terminated"] = ended | {"message": withheld(ended["message"])}
    return found | states
