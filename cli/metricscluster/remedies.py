"""What to do about each reason that a condition can have, in a sentence; docs/troubleshooting.md has more of each."""

from collections.abc import Mapping

from metricsoperator.reasons import Reason

REMEDIES: Mapping[Reason, str] = {
    Reason.PAUSED: "set spec.paused to false to go on",
    Reason.ROLLING_OUT: "wait until each new pod is ready; where it stays, the pods that are not ready say why",
    Reason.WAITING_FOR_STORE: "wait until the store runs the new image; where it stays, StoreAvailable says why",
    Reason.VOLUME_GROWING: "wait until the volume has grown; where it stays, `kubectl describe pvc` says why",
    Reason.ROTATING_KEYS: "nothing: the new keys sign soon",
    Reason.STORE_NOT_READY: "see what the store waits for: `kubectl describe pod` and `kubectl logs` of its pod",
    Reason.AGENTS_NOT_READY: "see what the agents of the nodes named above wait for: `kubectl describe pod` and `kubectl logs`",
    Reason.NO_NODES: "let nodes fit what spec.nodeAgent.pod asks of them: `kubectl get nodes --show-labels`",
    Reason.AGENTS_MISSING: "see what the agents of the nodes named above wait for: `kubectl describe pod` and `kubectl logs`",
    Reason.MISSING_WHILE_PAUSED: "set spec.paused to false: then what is missing is made again",
    Reason.SECRET_MISSING: "make the Secret with that entry, or change the field that names it",
    Reason.NODE_LOST: "bring the node named above back, or remove it: `kubectl get node` shows whether it answers",
    Reason.PODS_REFUSED: "change what refuses the pods, or label the namespace pod-security.kubernetes.io/enforce=privileged",
    Reason.VOLUME_PENDING: "name a class that there is in spec.store.storage.className: `kubectl get storageclass`",
    Reason.VOLUME_NOT_MOUNTED: "see what keeps the node from the volume: `kubectl describe pod` of the pod named above",
    Reason.IMAGE_NOT_PULLED: "correct spec.image.registry, tag or pullSecrets, or load the image onto the nodes",
    Reason.CONTAINER_NOT_CREATED: "make what the container refers to: `kubectl describe pod` names it",
    Reason.CRASH_LOOP: "read its last words: `kubectl logs --previous` of the pod named above",
    Reason.UNSCHEDULABLE: "add nodes, or ask for less in the part's pod.resources, nodeSelector, affinity or tolerations",
    Reason.INVALID_SPEC: "correct the field that the message names",
    Reason.QUOTA_EXCEEDED: "raise the quota (`kubectl get resourcequota`), or ask for less in the part's pod.resources",
    Reason.FORBIDDEN: "apply the chart of the operator's version again, which has its rights",
    Reason.NAME_TAKEN: "delete or rename the object that has the name, or give the MetricsCluster another one",
    Reason.REFUSED: "change what the API server does not accept; the message quotes it",
    Reason.VOLUME_CANNOT_GROW: "set spec.store.storage.size back, or let the StorageClass grow volumes (allowVolumeExpansion)",
    Reason.VOLUME_CANNOT_SHRINK: "set spec.store.storage.size to what the message says: volumes never shrink",
    Reason.VOLUME_NOT_GROWN: "see why the volume does not grow: `kubectl describe pvc` of the claim named above",
    Reason.KEYS_DAMAGED: "fetch copied tokens again where keys were lost; new ones are made by themselves",
    Reason.DEFINITION_NEWER: "upgrade the operator: the definition is newer than it",
    Reason.FOUGHT_OVER: "let the other program leave the object alone, or say in the MetricsCluster what it shall be",
    Reason.CLUSTER_RIGHTS_MISSING: "install the chart with clusterRights=true, or do without names of pods",
}


def remedy(reason: str) -> str:
    """What to do about it, and where to read more."""
    known = REMEDIES.get(Reason(reason)) if reason in set(Reason) else None
    more = f"docs/troubleshooting.md has more under {reason}"
    return f"{known}; {more}" if known else more
