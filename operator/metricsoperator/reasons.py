"""Every reason that a condition of a MetricsCluster can have; docs/troubleshooting.md has a section for each."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is, in one word for programs. What is well comes first."""

    READY = "Ready"
    AVAILABLE = "Available"
    UP_TO_DATE = "UpToDate"
    NO_FAULT_KNOWN = "NoFaultKnown"

    # Something is under way, or somebody wants it so.
    PAUSED = "Paused"
    ROLLING_OUT = "RollingOut"
    WAITING_FOR_STORE = "WaitingForStore"
    VOLUME_GROWING = "VolumeGrowing"
    ROTATING_KEYS = "RotatingKeys"

    # A part does not run, and what its pods and volumes say of it; the first is said where nothing more is known.
    STORE_NOT_READY = "StoreNotReady"
    AGENTS_NOT_READY = "AgentsNotReady"
    NO_NODES = "NoNodes"
    AGENTS_MISSING = "AgentsMissing"
    MISSING_WHILE_PAUSED = "MissingWhilePaused"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 (no password)
    NODE_LOST = "NodeLost"
    PODS_REFUSED = "PodsRefused"
    VOLUME_PENDING = "VolumePending"
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    IMAGE_NOT_PULLED = "ImageNotPulled"
    CONTAINER_NOT_CREATED = "ContainerNotCreated"
    CRASH_LOOP = "CrashLoop"
    UNSCHEDULABLE = "Unschedulable"

    # The API server refused something.
    INVALID_SPEC = "InvalidSpec"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"

    # All runs, but something asked for cannot be had.
    VOLUME_CANNOT_GROW = "VolumeCannotGrow"
    VOLUME_CANNOT_SHRINK = "VolumeCannotShrink"
    VOLUME_NOT_GROWN = "VolumeNotGrown"
    KEYS_DAMAGED = "KeysDamaged"
    FOUGHT_OVER = "FoughtOver"
    CLUSTER_RIGHTS_MISSING = "ClusterRightsMissing"
    DEFINITION_NEWER = "DefinitionNewer"
