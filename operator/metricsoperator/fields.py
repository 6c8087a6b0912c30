"""The kinds of values in a MetricsCluster: what is allowed, for the schema, for `parse` and for the documentation alike.

A kind is an annotated type. `pattern`, `ge`, `le` and lengths are enforced by msgspec and by the schema; `extra` carries what
neither knows: `expected` (what is allowed, in words), `between` (bounds of a size or a duration), `rules` (CEL).
"""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from metricwire.units import amount, duration, quantity

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
OBJECT_PATTERN = f"^{_SUBDOMAIN}$"
OPTIONAL_OBJECT_PATTERN = f"^({_SUBDOMAIN})?$"
LABEL_KEY_PATTERN = rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base of every object within the resource: immutable, camelCase in YAML, unknown fields refused."""


def _between(kind: str, low: str, high: str, example: str) -> dict[str, Any]:
    return {"between": (kind, low, high), "expected": f"a {kind} from {low} to {high} such as {example}"}


def described(text: str, **extra: Any) -> Meta:
    """The description of one field; `rules` are CEL rules of that field alone, `list_key` the fields by which the items of a
    list are told apart, with blanks between."""
    return Meta(description=text, extra=extra or None)


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """A CEL rule; the message names the field and says what is allowed."""
    return {"rule": expression, "message": message, **more}


SIZE_PATTERN = r"^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|k|M|G|T)?$"
LARGEST_VOLUME = "64Ti"
_SIZE = Meta(pattern=SIZE_PATTERN, max_length=18)
_TYPED = 16  # characters of what has 5 at most: of more the API server would say "Too long", and not what is allowed
_INTERVAL = Meta(pattern=r"^[1-9][0-9]{0,3}(s|m|h)$", max_length=_TYPED)

VolumeSize = Annotated[str, _SIZE, Meta(extra=_between("size", "100Mi", LARGEST_VOLUME, "10Gi"))]
MemorySize = Annotated[str, _SIZE, Meta(extra=_between("size", "128Mi", "4Ti", "2Gi"))]
SpoolSize = Annotated[str, _SIZE, Meta(extra=_between("size", "1Mi", "64Gi", "64Mi"))]
BodySize = Annotated[str, _SIZE, Meta(extra=_between("size", "64Ki", "1Gi", "16Mi"))]
Interval = Annotated[str, _INTERVAL, Meta(extra=_between("duration", "1s", "24h", "10s"))]
Retention = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]{0,3}(m|h|d)$", max_length=_TYPED, extra={"expected": "a duration such as 90m, 48h or 30d"}),
]
Amount = Annotated[  # of a container's resource; finer than a thousandth the API server would round it, and we set it anew
    Annotated[str, Meta(pattern=r"^([0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?|[0-9]{1,15}m)$", max_length=21)]
    | Annotated[int, Meta(ge=0, le=10**15)],
    Meta(extra=_between("quantity", "0", "64Ti", "100m, 2 or 64Mi")),
]
ObjectName = Annotated[str, Meta(pattern=OBJECT_PATTERN, max_length=253, extra={"expected": "the name of a Kubernetes object"})]
OptionalName = Annotated[
    str,
    Meta(
        pattern=OPTIONAL_OBJECT_PATTERN,
        max_length=253,
        extra={"expected": "the name of a Kubernetes object, or nothing"},
    ),
]
NamespaceName = Annotated[
    str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=63, extra={"expected": "the name of a namespace"})
]
Name = Annotated[  # of a cluster
    str,
    Meta(
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
        max_length=63,
        extra={"expected": "a cluster's name such as fritz"},
    ),
]
SecretKey = Annotated[
    str,
    Meta(pattern=r"^[-A-Za-z0-9_][-A-Za-z0-9_.]{0,252}$", max_length=253),
    Meta(extra={"expected": "a key of a Secret such as jwt-public-key"}),
]
LabelKey = Annotated[str, Meta(pattern=LABEL_KEY_PATTERN, max_length=253, extra={"expected": "a label key"})]
LabelValue = Annotated[str, Meta(pattern=LABEL_VALUE_PATTERN, max_length=63, extra={"expected": "a label value"})]
ResourceName = Annotated[
    str,
    Meta(pattern="^(cpu|memory|ephemeral-storage)$", max_length=20),
    Meta(extra={"expected": "one of cpu, memory, ephemeral-storage"}),
]
Amounts = Annotated[dict[ResourceName, Amount], Meta(max_length=8)]
Labels = Annotated[dict[LabelKey, LabelValue], Meta(max_length=32)]
Annotations = Annotated[dict[LabelKey, Annotated[str, Meta(max_length=4096)]], Meta(max_length=32)]

_NUMBER: dict[str, Callable[[Any], Any]] = {"size": quantity, "quantity": amount, "duration": duration}


def within(value: str | int, kind: str, low: str, high: str) -> bool:
    """Whether a size, a quantity or a duration lies between two others, both included."""
    number = _NUMBER[kind]
    return bool(number(low) <= number(value) <= number(high))
