"""The OpenAPI 3.1 document, made from the route table and the forms that requests and answers have. No I/O.

A route that takes a body with GET is described once with POST, as OpenAPI and browsers want it, and marked at its GET
(`x-get-with-body`): cc-metric-store's clients send it so.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from metricstore.api.answers import Problem
from metricstore.api.auth import Permission
from metricstore.api.descriptions import Answer, Content, Parameter
from metricstore.api.routes import Route

ABOUT = """Metrics of clusters: written as line protocol, read as ClusterCockpit, DC/OS and Prometheus expect them.

Every path exists with a slash at its end too. Errors are `Problem`s unless an operation says otherwise.
Request bodies may be compressed: `Content-Encoding` gzip, zstd or deflate."""
TWIN = "As POST, its body sent with GET: cc-metric-store's clients do that. Browsers cannot: try it with POST."
OPERATIONS_SERVER = "The port for operations (metric-store.ops-addr)."
SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token signed with the configured key.",
    }
}


def document(api: Iterable[Route], operations: Iterable[Route], *, version: str, operations_port: int) -> dict[str, Any]:
    """The document of the routes at the API's port, and of those that only the port for operations has."""
    api = tuple(api)
    here = {route.path for route in api}
    there = [route for route in operations if route.path not in here]
    schemas, components = _schemas([*api, *there])
    paths = {route.path: _path(route, schemas) for route in api}
    port = {"default": str(operations_port)}
    server = {"url": "http://{host}:{port}", "variables": {"host": {"default": "localhost"}, "port": port}}
    server["description"] = OPERATIONS_SERVER
    paths |= {route.path: {"servers": [server]} | _path(route, schemas) for route in there}
    return {
        "openapi": "3.1.0",
        "info": {"title": "MetricsCluster store", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": _tags([*api, *there]),
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": SCHEMES},
    }


Schemas = Mapping[Any, dict[str, Any]]


def _schemas(routes: Iterable[Route]) -> tuple[Schemas, dict[str, Any]]:
    """A schema for every kind that the routes name, and the components that these refer to."""
    kinds: list[Any] = [Problem]
    for route in routes:
        about = route.description
        contents = [about.body, *(one for answer in about.answers.values() for one in (answer.content, *answer.others))]
        kinds += [content.kind for content in contents if content]
        kinds += [parameter.kind for parameter in about.parameters]
    unique = [kind for kind in dict.fromkeys(kinds) if kind is not None]
    made, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    return dict(zip(unique, made, strict=True)), components


def _tags(routes: Iterable[Route]) -> list[dict[str, str]]:
    """The groups of routes: the classes that handle them."""
    groups = {_group(route): type(_owner(route)).__doc__ or "" for route in routes}
    return [{"name": name, "description": text.split("\n")[0]} for name, text in groups.items()]


def _owner(route: Route) -> object:
    return route.handler.__self__  # type: ignore[attr-defined]  # handlers are methods


def _group(route: Route) -> str:
    return type(_owner(route)).__name__


def _path(route: Route, schemas: Schemas) -> dict[str, Any]:
    """The operations of one path, POST first: the one that can be tried."""
    return {method.lower(): _operation(route, method, schemas) for method in sorted(route.methods, key=_order)}


def _order(method: str) -> bool:
    return method == "GET"


def _operation(route: Route, method: str, schemas: Schemas) -> dict[str, Any]:
    about, name = route.description, re.sub(r"\W+", "_", route.path).strip("_")
    text = route.handler.__doc__ or ""
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}_{name}",
        "tags": [_group(route)],
        "summary": text.split("\n")[0].strip(),
        "x-needs": route.needs.value,
        "security": [] if route.needs is Permission.PUBLIC else [{name: []} for name in SCHEMES],
        "parameters": [_parameter(one, schemas) for one in about.parameters],
        "responses": _answers(route, schemas),
    }
    if about.body and method == "GET":
        made |= {"description": TWIN, "x-get-with-body": True}
    elif about.body:
        made["requestBody"] = {"content": _content(about.body, schemas)}
    return made


def _parameter(one: Parameter, schemas: Schemas) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.place,
        "description": one.meaning,
        "required": one.required or one.place == "path",
        "schema": schemas[one.kind],
    }


def _answers(route: Route, schemas: Schemas) -> dict[str, Any]:
    answers = dict(route.description.answers)
    if route.needs is not Permission.PUBLIC:
        answers.setdefault(401, Answer("No token, or a bad one."))
        answers.setdefault(403, Answer("The token does not permit it."))
    made: dict[str, Any] = {}
    for status, answer in sorted(answers.items()):
        contents = [one for one in (answer.content, *answer.others) if one]
        form = {media: kind for one in contents for media, kind in _content(one, schemas).items()}
        made[str(status)] = {"description": answer.meaning} | ({"content": form} if form else {})
    if route.refuse is None:
        made["default"] = {"description": "What went wrong.", "content": _content(Content(kind=Problem), schemas)}
    return made


def _content(content: Content, schemas: Schemas) -> dict[str, Any]:
    form: dict[str, Any] = {} if content.kind is None else {"schema": schemas[content.kind]}
    return {content.media: form if content.example is None else form | {"example": content.example}}
