"""What a client asks of `/api/query` and `/api/healthcheck` (spec/metric-store-api.md "Query")."""

from typing import NamedTuple, TypeVar

import msgspec

from metricwire.errors import BadInput, TooLarge

Request = TypeVar("Request", bound=msgspec.Struct)


LONG = 1024**2  # bytes of a body whose parts are counted first


class Query(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=False):
    """One metric of one host, or of parts of it."""

    metric: str = ""
    host: str = ""
    type: str | None = None
    type_ids: list[str] | None = None
    subtype: str | None = None
    subtype_ids: list[str] | None = None
    resolution: int | None = 0
    scale_by: float | None = None
    aggreg: bool | None = False


class Frame(msgspec.Struct, frozen=True, rename="kebab"):
    """A request for samples but for its queries. What is null counts as not said."""

    cluster: str | None = ""
    from_: int | None = msgspec.field(name="from", default=0)
    to: int | None = 0
    for_all_nodes: list[str] | None = None
    with_stats: bool | None = True
    with_data: bool | None = True
    with_padding: bool | None = True


class QueryRequest(Frame, frozen=True, rename="kebab"):
    """A request for samples. Times in seconds; `to` is exclusive."""

    queries: list[Query] | None = None


class Subject(NamedTuple):
    """What a request asks for, whenever: the same for two that ask for the same in the same words."""

    cluster: str
    queries: bytes
    for_all_nodes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the words, roughly."""
        return len(self.cluster) + len(self.queries) + sum(map(len, self.for_all_nodes))


class SkimmedRequest(Frame, frozen=True, rename="kebab"):
    """A request for samples whose queries are not looked at yet."""

    queries: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def subject(self) -> Subject:
        """What it asks for."""
        return Subject(self.cluster or "", bytes(self.queries), tuple(self.for_all_nodes or ()))


class HealthRequest(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Are these metrics of these nodes coming in?"""

    cluster: str | None = ""
    nodes: list[str] | None = None
    metric_names: list[str] | None = None


def read(body: bytes, form: type[Request]) -> Request:
    """The request in a JSON body; BadInput says what does not fit, and where."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the request: {error}") from error
    except RecursionError:
        raise BadInput("cannot read the request: it is nested too deeply") from None


class _Counted(msgspec.Struct, frozen=True):
    """A QueryRequest whose queries are only counted."""

    queries: list[msgspec.Raw] | None = None


def read_queries(body: bytes, most: int) -> list[Query]:
    """Those of a request for samples. TooLarge for more than `most`, if possible before they are read."""
    if len(body) > LONG and (count := len(read(body, _Counted).queries or [])) > most:
        raise too_many(count, most)
    return read(body, QueryRequest).queries or []


def too_many(count: int, most: int) -> TooLarge:
    """Of queries."""
    return TooLarge(
        f"cannot answer {count} queries: more than {most} in one request (limits.queries); "
        "each pair of type-id and subtype-id counts"
    )


def selectors(body: bytes, most: int) -> list[list[str]]:
    """Places, each as names from the cluster down. BadInput for what is none, TooLarge for more than `most`."""
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])  # of which each costs little: there may be far too many
        if len(parts) > most:
            raise TooLarge(f"cannot take {len(parts)} selectors: more than {most} in one request (limits.queries)")
        return msgspec.json.decode(body, type=list[list[str]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"cannot read the selectors: {error}") from error
