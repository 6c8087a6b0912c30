"""InfluxDB's routes for writing, 1.x and 2, so that Telegraf and InfluxDB's own clients can write unchanged.

The forms of requests and answers are those of InfluxDB's documentation (v1.8 "InfluxDB API reference", v2 "InfluxDB HTTP API").
Telegraf drops a batch whose refusal says "partial write" or "unable to parse", and repeats it otherwise.
"""

import base64
import binascii
import re
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.answers import Influx2Problem, InfluxHealth, InfluxProblem, InfluxResults
from metricstore.api.auth import Caller, Permission
from metricstore.api.bodies import read_body
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.problems import headers_of, status_of
from metricstore.api.routes import Route, answer
from metricstore.ingest import Ingest, Receipt
from metricstore.settings import Limits
from metricwire.errors import BadInput, MetricsError

SAYS = "1.8-metricscluster"  # clients that look at the version want one with /write and gzip
CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    413: "request too large",
    415: "unsupported media type",
    503: "unavailable",
}
SECOND = 10**9  # nanoseconds
UNITS = {"": 1, "n": 1, "ns": 1, "u": 10**3, "us": 10**3, "µ": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND}
UNITS["h"] = 3600 * SECOND
UNITS_2 = {name: UNITS[name] for name in ("", "ns", "us", "ms", "s")}
CREATE = re.compile(r'\s*CREATE\s+DATABASE\s+("([^"\\]|\\.)*"|\w+)(\s+WITH\s.*)?\s*;?\s*', re.IGNORECASE | re.DOTALL)

LINES = Content("text/plain", example="cpu,host=f0201 usage_user=1.5,usage_idle=97i 1700000000000000000")
STORED = Answer("All of it is stored, and on disk.")
PARTLY = "Some lines are not stored; the others are: do not send them again."
WRITE = Description(
    (
        Parameter("db", "Cluster of lines without a cluster tag, unless the store's settings name one.", required=True),
        Parameter("rp", "Taken and not used."),
        Parameter("precision", "Unit of timestamps: n (default), u, ms, s, m, h."),
        Parameter("u", "Taken and not used."),
        Parameter("p", "The token, instead of the header Authorization."),
    ),
    LINES,
    {204: STORED, 400: Answer(PARTLY, Content(kind=InfluxProblem))},
)
WRITE_2 = Description(
    (
        Parameter("bucket", "Cluster of lines without a cluster tag, unless the store's settings name one.", required=True),
        Parameter("org", "Taken and not used."),
        Parameter("precision", "Unit of timestamps: ns (default), us, ms, s."),
    ),
    LINES,
    {204: STORED, 400: Answer(PARTLY, Content(kind=Influx2Problem))},
)
QUERY = Description(
    (Parameter("q", "CREATE DATABASE ...; no other statement is understood."),),
    Content("application/x-www-form-urlencoded", dict[str, str]),
    {200: Answer("There is nothing to create: done.", Content(kind=InfluxResults))},
)
PING = Description((Parameter("verbose", "true: answered with 200 and the version."),), None, {204: Answer("Somebody is.")})
HEALTH = Description(answers={200: Answer("It takes requests.", Content(kind=InfluxHealth))})


class Influx:
    """InfluxDB's routes for writing: `/write` of 1.x, `/api/v2/write` of 2, and what their clients ask before."""

    def __init__(self, ingest: Ingest, limits: Limits, cluster: str, version: str) -> None:
        self._ingest, self._limits, self._cluster, self._version = ingest, limits, cluster, version
        writing = Permission.WRITE
        self.routes = (
            Route("/write", ("POST",), writing, self.write, False, WRITE, proof, refusal),
            Route("/api/v2/write", ("POST",), writing, self.write_2, False, WRITE_2, proof, refusal_2),
            Route("/query", ("POST", "GET"), writing, self.query, False, QUERY, proof, refusal),
            Route("/ping", ("GET",), Permission.PUBLIC, self.ping, description=PING),
            Route("/health", ("GET",), Permission.PUBLIC, self.health, description=HEALTH),
        )

    async def write(self, request: Request, caller: Caller) -> Response:
        """InfluxDB 1.x: every number and boolean among the fields of a line becomes a sample of `measurement_field`."""
        receipt = await self._write(request, caller, "db", UNITS)
        return refused(400, partly(receipt)) if receipt.rejected else Response(status_code=204, headers=named())

    async def write_2(self, request: Request, caller: Caller) -> Response:
        """InfluxDB 2: every number and boolean among the fields of a line becomes a sample of `measurement_field`."""
        receipt = await self._write(request, caller, "bucket", UNITS_2)
        if not receipt.rejected:
            return Response(status_code=204, headers=named())
        return refused_2(400, partly(receipt), line=receipt.bad[0].number)

    async def _write(self, request: Request, caller: Caller, where: str, units: dict[str, int]) -> Receipt:
        parameters = request.query_params
        unit = units.get(parameters.get("precision", ""))
        if unit is None:
            raise BadInput(f"cannot read timestamps: the precision is none of {', '.join(filter(None, units))}")
        cluster = self._cluster or parameters.get(where, "")
        if not cluster:
            raise BadInput(f"cannot take the lines: the parameter {where} is required")
        body = await read_body(request, self._limits)
        return await self._ingest.write(body, cluster, caller.node, influx_unit=unit)

    async def query(self, request: Request, _: Caller) -> Response:
        """InfluxDB 1.x: `CREATE DATABASE`, which Telegraf sends when it starts, and nothing else."""
        statement = request.query_params.get("q") or await self._statement(request)
        if not CREATE.fullmatch(statement):
            raise BadInput(
                "cannot carry out the statement: only CREATE DATABASE is understood; samples are asked of /api/query"
            )
        return answer({"results": [{"statement_id": 0}]})

    async def _statement(self, request: Request) -> str:
        body = await read_body(request, self._limits)
        try:
            return parse_qs(body.decode(), max_num_fields=16).get("q", [""])[0]
        except ValueError as error:
            raise BadInput("cannot read the request: it is no form of a few fields") from error

    async def ping(self, request: Request, _: Caller) -> Response:
        """InfluxDB 1.x: is somebody there?"""
        if request.query_params.get("verbose", "false").lower() in ("", "0", "false"):
            return Response(status_code=204, headers=named())
        return answer({"version": SAYS})

    async def health(self, _: Request, __: Caller) -> Response:
        """InfluxDB 2: does it take requests?"""
        return answer(msgspec.to_builtins(InfluxHealth("metricscluster", "ready to take lines", "pass", self._version)))


def proof(request: Request) -> str | None:
    """The token as an Authorization header of ours, however an InfluxDB client sends it.

    These are `Token <token>`, Basic with the token as password, both in 1.x's compatible form too, and the parameter `p`.
    """
    header = request.headers.get("authorization")
    if header is None:
        password = request.query_params.get("p")
        return f"Bearer {password}" if password else None
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "token":
        return f"Bearer {value.rpartition(':')[2].strip()}"
    if scheme.lower() == "basic":
        try:
            return f"Bearer {base64.b64decode(value, validate=True).decode().partition(':')[2]}"
        except (binascii.Error, UnicodeDecodeError):
            return None
    return header


def partly(receipt: Receipt) -> str:
    """What became of lines that are not all stored, as InfluxDB says it."""
    first, begin = receipt.bad[0], "partial write: " if receipt.stored else ""
    return f"{begin}unable to parse '{first.text}': line {first.number}: {first.reason} dropped={receipt.rejected}"


def named() -> dict[str, str]:
    """The headers that say who answers."""
    return {"X-Influxdb-Version": SAYS}


def refused(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """A refusal as 1.x has it."""
    made = answer({"error": text})
    made.status_code = status
    # A header is one line of Latin-1: what a client sent must not break it.
    safe = re.sub(r"[^\x20-\x7e]", "?", text)
    made.headers.update(named() | (headers or {}) | {"X-Influxdb-Error": safe})
    return made


def refused_2(status: int, text: str, headers: dict[str, str] | None = None, **more: int) -> Response:
    """A refusal as 2 has it."""
    made = answer({"code": CODES.get(status, "internal error"), "message": text, **more})
    made.status_code = status
    made.headers.update(named() | (headers or {}))
    return made


def refusal(error: MetricsError) -> Response:
    """An error of ours as 1.x says it."""
    return refused(status_of(error), str(error), headers_of(error))


def refusal_2(error: MetricsError) -> Response:
    """An error of ours as 2 says it."""
    return refused_2(status_of(error), str(error), headers_of(error))
