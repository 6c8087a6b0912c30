"""Swagger UI and the document it shows, for developers: there only with `--dev`, every file of it served by us."""

from collections.abc import Iterable
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from metricstore.api import openapi
from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.routes import Route, answer
from metricwire.errors import NotFound

# Nothing from elsewhere and no script within the page; Swagger UI sets styles on elements and has images as data.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
HEADERS = {"Content-Security-Policy": f"{POLICY}; base-uri 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff"}
PACKAGE = "fastapi_swagger.resources"  # of which only these files are used, not its code
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>MetricsCluster store</title>
<link rel="icon" type="image/png" href="/swagger/favicon-32x32.png">
<link rel="stylesheet" href="/swagger/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/swagger/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/swagger/doc.json", dom_id: "#ui", deepLinking: true, validatorUrl: null, persistAuthorization: false
});
"""


class Swagger:
    """For developers: this document, and a page to try it from."""

    def __init__(self, api: Iterable[Route], operations: Iterable[Route], *, version: str, operations_port: int) -> None:
        file = Parameter("file", "A file of Swagger UI.", place="path")
        self.routes = (
            Route(
                "/swagger/",
                ("GET",),
                Permission.PUBLIC,
                self.page,
                description=Description(answers={200: Answer("The page.", Content("text/html"))}),
            ),
            Route(
                "/swagger/doc.json",
                ("GET",),
                Permission.PUBLIC,
                self.document,
                description=Description(answers={200: Answer("OpenAPI 3.1.", Content(kind=dict))}),
            ),
            Route(
                "/swagger/{file}",
                ("GET",),
                Permission.PUBLIC,
                self.file,
                description=Description((file,), answers={200: Answer("The file.", Content("*/*", None))}),
            ),
        )
        self._document = openapi.document((*api, *self.routes), operations, version=version, operations_port=operations_port)

    async def page(self, _: Request, __: Caller) -> Response:
        """Swagger UI."""
        return Response(PAGE, headers=HEADERS, media_type="text/html")

    async def document(self, _: Request, __: Caller) -> Response:
        """This document."""
        return answer(self._document)

    async def file(self, request: Request, _: Caller) -> Response:
        """A file of Swagger UI."""
        name = request.path_params["file"]
        if name == "start.js":
            return Response(START, headers=HEADERS, media_type="text/javascript")
        if name not in FILES:
            raise NotFound("cannot find this file: it is none of Swagger UI's")
        content = resources.files(PACKAGE).joinpath(name).read_bytes()
        return Response(content, headers=HEADERS, media_type=FILES[name])
