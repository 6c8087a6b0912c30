"""A store's API as a client that does not give up: what fails for a while is tried again, what is refused is an error."""

import http.client
import json
import random
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from metricagent.backoff import Backoff
from metricscluster.terminal import printable
from metricwire.errors import BadInput, MetricsError, Unavailable
from metricwire.trust import as_others_check

TIMEOUT = 60.0  # seconds for a connection, and for each piece of an answer
PATIENCE = 600.0  # seconds after which what fails for a while has failed
PIECE = 256 * 1024  # bytes of an answer at once
AGAIN = frozenset({429, 500, 502, 503, 504})
REASON_LONGEST = 300  # characters of an answer that an error repeats


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Client:
    """One store. BadInput for a URL that is none, or a token or CA file that cannot be read.

    `token` gives the token where no file does; `context` says whom to trust where no CA file does.
    """

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        *,
        token: Callable[[], str] | None = None,
        context: ssl.SSLContext | None = None,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise BadInput(f"cannot use {url}: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput(f"cannot use {url}: expected http://host:port or https://host:port")
        self.url, self._host, self._port, self._path = url, parts.hostname, port, parts.path.rstrip("/")
        self._token_file, self._patience, self._sleep, self._clock = token_file, patience, sleep, clock
        self._token = token
        self._context = context
        try:
            if parts.scheme == "https" and context is None:
                self._context = as_others_check(ssl.create_default_context(cafile=ca_file))
        except OSError as error:
            raise BadInput(f"cannot use the certificates in {ca_file}: {error.strerror}") from error
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, path: str, body: bytes) -> Answer:
        """The answer: 200, or a 400 that says which lines were not taken. Unavailable after `patience`; else MetricsError."""
        backoff, end = Backoff(random.Random()), self._clock() + self._patience  # noqa: S311 no secret
        told = ""
        while True:
            try:
                answer, wait = self._once(path, body)
                if answer.status not in AGAIN:
                    break
                failure = f"it answers {answer.status}: {reason(answer.body)}"
            except (OSError, http.client.HTTPException) as error:
                self.close()
                failure, wait = _cause(error), 0.0
            if self._clock() > end:
                raise Unavailable(f"cannot reach {self.url}: {failure}; given up after {self._patience:.0f} s")
            if failure != told:
                again = f"trying again for {end - self._clock():.0f} s"
                print(printable(f"cannot reach {self.url}: {failure}; {again}"), file=sys.stderr)
                told = failure
            self._sleep(backoff.next(wait))
        if answer.status not in {200, 204, 400}:
            raise MetricsError(f"cannot POST to {self.url}{path}: {answer.status}: {reason(answer.body)}")
        return answer

    def _once(self, path: str, body: bytes) -> tuple[Answer, float]:
        """The answer, and how many seconds the store asks to wait."""
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._path + path, body, self._headers())
        response = self._connection.getresponse()
        answer = Answer(response.status, response.read())
        wait = response.headers.get("retry-after", "")
        return answer, float(wait) if wait.isascii() and wait.isdigit() else 0.0

    def ask(self, path: str, query: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> bytes:
        """The answer to a GET, or to a POST of the body, asked once. Errors as of `stream`."""
        return b"".join(self.stream(path, query, body))

    def stream(self, path: str, query: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> Iterator[bytes]:
        """The same, piece by piece. Unavailable when it breaks off, MetricsError when it is refused."""
        target = f"{self._path}{path}?{urlencode(query)}" if query else self._path + path
        method = "GET" if body is None else "POST"
        try:
            with closing(self._connect()) as connection:
                connection.request(method, target, body, self._headers())
                response = connection.getresponse()
                if response.status != 200:
                    kind = Unavailable if response.status in AGAIN else MetricsError
                    raise kind(f"cannot {method} {self.url}{path}: {response.status}: {reason(response.read(65536))}")
                while piece := response.read(PIECE):
                    yield piece
                if response.length:  # the library is silent about it
                    raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"cannot read {self.url}{path}: {_cause(error)}") from error

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)

    def _headers(self) -> dict[str, str]:
        """With the token as it is now: it may be renewed while we run."""
        if self._token_file is None:
            return {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read the token in {self._token_file}: {error}") from error
        if not token.isprintable():
            raise BadInput(f"cannot use the token in {self._token_file}: it is more than one line")
        return {"Authorization": f"Bearer {token}"}


def reason(body: bytes) -> str:
    """What an answer says went wrong."""
    try:
        found = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = body.decode("utf-8", "replace")
    return str(found)[:REASON_LONGEST]


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
