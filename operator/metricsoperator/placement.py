"""What a MetricsCluster may say about the nodes that pods are on, in the words of a pod's spec."""

from typing import Annotated, Literal

from msgspec import Meta

from metricsoperator.fields import LabelKey, LabelValue, Part, described, rule

_EXISTS = "expected no value with operator Exists"
_EVERY_KEY = "expected operator Exists where there is no key"
_SECONDS = "expected tolerationSeconds with effect NoExecute alone"
_VALUES = "expected values with In and NotIn, and none with Exists and DoesNotExist"
_DURING = "DuringSchedulingIgnoredDuringExecution"


class Toleration(Part, frozen=True):
    """A taint that pods put up with, as in a pod's spec."""

    key: Annotated[LabelKey | None, described("Key of the taint; none with operator Exists: every taint.")] = None
    operator: Annotated[Literal["Exists", "Equal"], described("Whether the taint's value matters.")] = "Equal"
    value: Annotated[LabelValue | None, described("Value of the taint, with operator Equal.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None, described("Effect of the taint; none: every effect.")
    ] = None
    toleration_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=10**9)] | None, described("How long NoExecute is put up with, in seconds; none: for ever.")
    ] = None

    def __post_init__(self) -> None:
        if self.operator == "Exists" and self.value:
            raise ValueError(_EXISTS)
        if self.key is None and self.operator != "Exists":
            raise ValueError(_EVERY_KEY)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(_SECONDS)


Tolerations = tuple[
    Annotated[
        Toleration,
        Meta(
            extra={
                "rules": [
                    rule("!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''", _EXISTS),
                    rule("has(self.key) || (has(self.operator) && self.operator == 'Exists')", _EVERY_KEY),
                    rule("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')", _SECONDS),
                ]
            }
        ),
    ],
    ...,
]


class NodeRequirement(Part, frozen=True):
    """What a label of a node must be."""

    key: Annotated[LabelKey, described("Key of the label.")]
    operator: Annotated[
        Literal["In", "NotIn", "Exists", "DoesNotExist"], described("How the label's value and `values` compare.")
    ]
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=32), described("Values, with In and NotIn.")] = ()

    def __post_init__(self) -> None:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError(_VALUES)


_REQUIREMENT_RULE = rule("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", _VALUES)


class NodeTerm(Part, frozen=True):
    """Requirements that must all hold."""

    match_expressions: Annotated[
        tuple[Annotated[NodeRequirement, Meta(extra={"rules": [_REQUIREMENT_RULE]})], ...],
        Meta(min_length=1, max_length=16),
        described("What the node's labels must be."),
    ]


class RequiredNodes(Part, frozen=True):
    """Terms of which one must hold."""

    node_selector_terms: Annotated[
        tuple[NodeTerm, ...], Meta(min_length=1, max_length=8), described("Terms; one that holds is enough.")
    ]


class PreferredNodes(Part, frozen=True):
    """A term that counts for a node."""

    weight: Annotated[int, Meta(ge=1, le=100), described("How much it counts.")]
    preference: Annotated[NodeTerm, described("The term.")]


class NodeAffinity(Part, frozen=True, rename={"required": f"required{_DURING}", "preferred": f"preferred{_DURING}"}):
    """Nodes by their labels."""

    required: Annotated[RequiredNodes | None, described("Nodes that are possible at all; none: every node.")] = None
    preferred: Annotated[tuple[PreferredNodes, ...], Meta(max_length=8), described("Nodes that are better.")] = ()


class Affinity(Part, frozen=True):
    """As in a pod's spec, of nodes alone: there is one store, and an agent on every node, for pods to be near to."""

    node_affinity: Annotated[NodeAffinity | None, described("Which nodes are possible, and which are better.")] = None
