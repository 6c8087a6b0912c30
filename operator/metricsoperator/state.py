"""The status of a MetricsCluster as values. Every field is optional, so that what an older operator wrote stays valid."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from metricsoperator.fields import described

ConditionType = Literal["Ready", "StoreAvailable", "AgentsAvailable", "Progressing", "Degraded"]
_SIZE = Meta(max_length=32)
Truth = Literal["True", "False", "Unknown"]


class Said(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of every object within the status. Fields that are not here are a newer definition's, and count as nothing."""


class Condition(Said, frozen=True):
    """One thing that is or is not so, and why."""

    type: Annotated[ConditionType, described("What is said.")]
    status: Annotated[Truth, described("Whether it is so.")]
    reason: Annotated[str, Meta(pattern="^[A-Z][A-Za-z0-9]*$", max_length=64), described("Why, in one word for programs.")]
    message: Annotated[str, Meta(max_length=1024), described("Why, and what can be done, for people.")] = ""
    last_transition_time: Annotated[
        str | None, Meta(description="When the status last changed.", extra={"format": "date-time"})
    ] = None
    observed_generation: Annotated[int | None, described("Generation of the resource that this is about.")] = None


class VolumeState(Said, frozen=True):
    """A volume of the store."""

    name: Annotated[str, Meta(max_length=253), described("Name of the volume claim.")]
    requested: Annotated[Annotated[str, _SIZE] | None, described("Size that the claim asks for.")] = None
    capacity: Annotated[Annotated[str, _SIZE] | None, described("Size that the volume has.")] = None
    state: Annotated[
        str | None,
        described("Phase of the claim (Bound, Pending), or what it waits for, such as FileSystemResizePending."),
    ] = None
    growing_since: Annotated[
        str | None, Meta(description="Since when it has less than it asks for.", extra={"format": "date-time"})
    ] = None


class StoreState(Said, frozen=True):
    """The store."""

    endpoint: Annotated[str | None, described("URL of the store within the cluster.")] = None
    ready_replicas: Annotated[int | None, described("Store pods that are ready.")] = None
    version: Annotated[str | None, described("Version of the store, the tag of its image.")] = None
    volumes: Annotated[
        tuple[VolumeState, ...], Meta(max_length=16), described("Its volumes, while they grow too.", list_key="name")
    ] = ()


class AgentsState(Said, frozen=True):
    """The agents."""

    desired: Annotated[int | None, described("Nodes that should have an agent.")] = None
    ready: Annotated[int | None, described("Nodes with a ready agent.")] = None
    updated: Annotated[int | None, described("Nodes whose agent is as the resource says now.")] = None
    nodes: Annotated[str | None, described("Ready and desired as one text, for the table.")] = None


class KeysState(Said, frozen=True):
    """The generated keys."""

    generation: Annotated[int | None, described("Generation of the keys that sign now.")] = None
    next: Annotated[int | None, described("Generation that is announced: it counts already, and will sign.")] = None
    next_signs: Annotated[str | None, Meta(description="When the announced keys sign.", extra={"format": "date-time"})] = None
    old_ends: Annotated[str | None, Meta(description="When the keys before stop to count.", extra={"format": "date-time"})] = (
        None
    )
    unusable: Annotated[
        tuple[Annotated[str, Meta(max_length=64)], ...],
        Meta(max_length=4),
        described("Entries of the Secret that should sign and cannot: they are damaged."),
    ] = ()
    lost: Annotated[bool, described("Whether keys were lost and made anew: tokens by the lost ones stop to count.")] = False


class Status(Said, frozen=True):
    """The observed state."""

    observed_generation: Annotated[int | None, described("Generation of the resource that this is about.")] = None
    conditions: Annotated[
        tuple[Condition, ...], Meta(max_length=16), described("What is and what is not as it should be.", list_key="type")
    ] = ()
    store: Annotated[StoreState, described("The store.")] = StoreState()
    node_agents: Annotated[AgentsState, described("The agents on the nodes.")] = AgentsState()
    keys: Annotated[KeysState, described("The generated keys.")] = KeysState()
