"""The store over HTTP: POST /api/write. What an answer means is in answers.py."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from metricagent import body, tokenfile
from metricagent.answers import Decision, Later, Smaller, decide
from metricagent.encoding import Encoding
from metricagent.parcels import SMALLEST, Parcel
from metricagent.reasons import why
from metricagent.tlsfiles import TlsFiles
from metricwire import __version__

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)  # seconds
ANSWER = 4 * 1024 * 1024  # bytes of an answer that are read: a line of reason for each of LARGEST bytes of lines
CONNECTIONS = 2  # fresh samples and late ones
KEPT = 45.0  # seconds that an idle connection stays: less than the store's 75 and the 60 of most load balancers


def session() -> aiohttp.ClientSession:
    """Connections to a store. Proxies of the environment are not used, cookies not kept."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEPT)
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False, auto_decompress=False)


class HttpStore:
    """Sends to `url`; the bearer token is read from `token_file` for each request. `tls` None: without TLS."""

    def __init__(
        self,
        *,
        url: str,
        token_file: Path,
        session: aiohttp.ClientSession,
        tls: TlsFiles | None = None,
        encoding: Encoding = Encoding.ZSTD,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url.rstrip("/") + "/api/write"
        self._token_file = token_file
        self._session = session
        self._tls = tls
        self._encoding = encoding
        self._now = now

    async def send(self, parcel: Parcel) -> Decision:
        """One request, never redirected."""
        try:
            token = tokenfile.read(self._token_file)
        except tokenfile.NoToken as error:
            return Later("token file", str(error))
        try:
            async with self._session.post(
                self._url,
                data=parcel.encoded(self._encoding),
                headers=self._headers(token),
                ssl=self._tls.context() if self._tls else True,
                allow_redirects=False,
                timeout=TIMEOUT,
            ) as response:
                answer = bytes(await body.read(response.content, ANSWER))
                decision = decide(response.status, response.headers, answer, parcel.lines, self._now())
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Later("unreachable", why(error))
        if isinstance(decision, Smaller) and not decision.by_store and parcel.size <= SMALLEST:
            return Later("413", f"something before it takes no body of {parcel.size} bytes")
        return decision

    def _headers(self, token: str) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "text/plain; charset=utf-8",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # an answer that unpacks to more than is read would be no help
            "User-Agent": f"metricagent/{__version__}",
        }
        if self._encoding.token:
            headers["Content-Encoding"] = self._encoding.token
        return headers
