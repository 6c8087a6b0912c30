"""What the OpenAPI document says of a route beyond its path, methods, permission and handler. Values only."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

JSON = "application/json"


class Parameter(NamedTuple):
    """One parameter; `kind` is a type that msgspec makes a schema of."""

    name: str
    meaning: str
    kind: Any = str
    place: Literal["query", "path", "header"] = "query"
    required: bool = False


class Content(NamedTuple):
    """A body or an answer; `kind` is a type that msgspec makes a schema of, None: bytes."""

    media: str = JSON
    kind: Any = str
    example: Any = None


class Answer(NamedTuple):
    """What one status says, and with which content, if any; `others` are further forms of it, by Accept."""

    meaning: str
    content: Content | None = None
    others: tuple[Content, ...] = ()


class Description(NamedTuple):
    """Of one route. Its summary is the first line of the handler's docstring."""

    parameters: tuple[Parameter, ...] = ()
    body: Content | None = None
    answers: Mapping[int, Answer] = {200: Answer("Done.")}
