"""Copies for operators: the data folder as a tar archive, and samples as lines. Both are sent while they are made."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.routes import Route
from metricstore.api.turns import pieces_in_turns
from metricstore.disk.backup import Backup
from metricwire.errors import BadInput, Unavailable
from metricwire.lineprotocol import encode_head
from metricwire.samples import SeriesKey

END = b"# end of export: %d samples\n"  # a comment line: an export without it is cut short

BACKUP = Description(answers={200: Answer("A tar archive of the data folder as it is now.", Content("application/x-tar"))})
EXPORT = Description(
    (
        Parameter("cluster", "The cluster.", required=True),
        Parameter("from", "Samples from this time on (seconds)."),
        Parameter("to", "Samples before this time (seconds)."),
        Parameter("host", "Of this host alone; may come more than once."),
        Parameter("metric", "Of this metric alone; may come more than once."),
    ),
    answers={200: Answer("Line protocol, then a comment that says how many samples there were.", Content("text/plain"))},
)

Samples = tuple[SeriesKey, NDArray[np.int64], NDArray[np.float64]]


class Source(Protocol):
    """What an engine must be able to do for this."""

    def hosts(self, cluster: str) -> list[str]:
        """The cluster's hosts by name."""

    def samples_of(self, cluster: str, host: str, start: int, end: int, metrics: Collection[str]) -> Iterator[Samples]:
        """The host's samples from `start` to before `end`, of these metrics or all; series by series, by time."""


class BackupResponse(StreamingResponse):
    """A backup, whose files are let go of when it is sent, or its client has left."""

    def __init__(self, backup: Backup) -> None:
        super().__init__(backup.stream(), media_type="application/x-tar")
        self._backup = backup

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. OSError when the files cannot be let go of."""
        try:
            await super().__call__(scope, receive, send)
        finally:  # not where the pieces are made: nobody may have asked for the first one
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._backup.release))


class Copies:
    """The routes; `hold` takes the picture of the data folder that a backup is."""

    def __init__(self, source: Source, hold: Callable[[], Awaitable[Backup]], clock: Callable[[], float] = time.time) -> None:
        self._source, self._hold, self._clock = source, hold, clock
        self.routes = (
            Route("/api/backup", ("GET",), Permission.ADMIN, self.backup, safe=False, description=BACKUP),
            Route("/api/export", ("GET",), Permission.READ, self.export, safe=False, description=EXPORT),
        )

    async def backup(self, _: Request, __: Caller) -> Response:
        """A tar archive of the data folder as it is now."""
        try:
            return BackupResponse(await self._hold())
        except OSError as error:
            raise Unavailable(f"cannot back up: {error.strerror}") from error

    async def export(self, request: Request, _: Caller) -> Response:
        """Line protocol of `?cluster=&from=&to=`; with `&host=` and `&metric=`, which may come again, of these alone."""
        asked = request.query_params
        cluster = asked.get("cluster")
        if not cluster:
            raise BadInput("cannot export: the parameter cluster is missing")
        start, end = (
            _seconds(asked.get(name, default)) for name, default in (("from", "0"), ("to", str(int(self._clock()) + 1)))
        )
        known = self._source.hosts(cluster)
        hosts = [host for host in asked.getlist("host") if host in known] if "host" in asked else known
        lines = self._lines(cluster, hosts, frozenset(asked.getlist("metric")), start, end)
        return StreamingResponse(pieces_in_turns(lines), media_type="text/plain; charset=utf-8")

    def _lines(self, cluster: str, hosts: list[str], metrics: frozenset[str], start: int, end: int) -> Iterator[bytes]:
        count = 0
        for host in hosts:
            for key, stamps, values in self._source.samples_of(cluster, host, start, end, metrics):
                head = encode_head(key)
                pairs = zip(values.tolist(), stamps.tolist(), strict=True)
                yield b"".join(b"%b value=%b %d\n" % (head, repr(value).encode(), stamp) for value, stamp in pairs)
                count += len(values)
            yield b""  # others have a turn even if there was nothing
        yield END % count


def _seconds(text: str) -> int:
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 19):
        raise BadInput(f"cannot export: {text[:40]!r} is not a time in seconds")
    return int(text)
