"""The API server's pods of this node: listed once, then watched, into Pods.

A watch is asked to end after a few minutes and is given up soon after that, so that a dead connection is noticed; it goes on
from the last version seen, which bookmarks keep recent. When the server no longer has that version (410) the pods are listed
again. Any trouble is waited out, longer each time; what is known stays meanwhile (pods.py says how long).
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, NoReturn

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from metricagent import body, tlsfiles, tokenfile
from metricagent.answers import retry_after
from metricagent.backoff import Backoff
from metricagent.podobject import ENDED, Described, ListMetadata, PodList, PodObject, describe
from metricagent.pods import Pods
from metricagent.reasons import why
from metricwire import __version__

SHORTEST = 5.0  # seconds: a watch that ends sooner is waited for like a failure, though it is none
TIDY = 10.0  # seconds between looks at what is known for too long
LIST_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)
NOT_ENDED = ",".join(f"status.phase!={phase}" for phase in ENDED)  # a pod that comes to its end is deleted, to a watch
PAGE = 50  # pods
LARGEST_LIST = 64 * 1024 * 1024  # bytes; 250 pods have 5 MB
LARGEST_EVENT = 4 * 1024 * 1024  # bytes; an object has at most 1.5 MB
LARGEST_ERROR = 65536  # bytes of an answer that is none
REASON_SHOWN = 200  # characters of a foreign text
CACHED, RECENT = "0", ""  # resourceVersion: what the server has at hand, or what is surely recent

logger = logging.getLogger(__name__)


class Patience(NamedTuple):
    """Seconds that the server is asked to watch, at random so that agents do not come back in step, and may take longer."""

    least: float = 240.0
    most: float = 300.0
    grace: float = 15.0


class Trouble(Exception):
    """The server does not give what it is asked for; `wait`: seconds that it wants to be left alone."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Gone(Exception):
    """The server no longer has the version to go on from."""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Error(msgspec.Struct):
    """A Status object."""

    code: int = 0
    message: str = ""


_LIST = msgspec.json.Decoder(PodList)
_EVENT = msgspec.json.Decoder(_Event)
_POD = msgspec.json.Decoder(PodObject)
_ERROR = msgspec.json.Decoder(_Error)


class PodWatch:
    """Keeps `pods` as the API server at `url` has them for `node`, with those labels whose keys are among `labels`."""

    def __init__(
        self,
        *,
        url: str,
        token_file: Path,
        ca_file: Path,
        node: str,
        labels: Collection[str],
        session: aiohttp.ClientSession,
        pods: Pods,
        registry: CollectorRegistry,
        chance: random.Random,
        patience: Patience = Patience(),  # noqa: B008 it is immutable
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/pods"
        self._token_file = token_file
        self._ca_file = ca_file
        self._node = node
        self._labels = frozenset(labels)
        self._session = session
        self._pods = pods
        self._chance = chance
        self._patience = patience
        self._backoff = Backoff(chance)
        self._now = now
        self._sleep = sleep
        self._version: str | None = None  # to go on from; None: list first
        self._list_from = CACHED
        self._trouble: str | None = None
        known = Gauge("metricagent_pods_known", "Pods of this node that are known.", registry=registry)
        known.set_function(lambda: len(pods))
        self._reached = Gauge("metricagent_pods_reached", "Whether the API server answers.", registry=registry)
        self._lists = Counter("metricagent_pods_lists", "Lists of all pods that were taken.", registry=registry)
        self._failures = Counter("metricagent_pods_failures", "Lists and watches that ended in trouble.", registry=registry)

    async def run(self) -> None:
        """List and watch, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tidy())
            tasks.create_task(self._follow())

    async def _tidy(self) -> None:
        while True:
            self._pods.expire(self._now())
            await asyncio.sleep(TIDY)

    async def _follow(self) -> NoReturn:
        while True:
            begun = self._now()
            wait = await self._attempt()
            lasted = self._now() - begun
            if lasted >= SHORTEST:
                self._backoff.reset()
            if wait is not None or lasted < SHORTEST:
                await self._sleep(self._backoff.next(wait or 0.0))

    async def _attempt(self) -> float | None:
        """List if need be, and watch to the end; None when that was good, else the seconds that the server wants to wait."""
        try:
            if self._version is None:
                await self._list()
            await self._watch()
        except Gone:
            self._version, self._list_from = None, RECENT
            logger.info("pods are listed again: the API server has no events since the last one seen")
            return None
        except Trouble as trouble:
            return self._failed(str(trouble), trouble.wait)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return self._failed(why(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._version = None  # what was missed is not known
            return self._failed(f"it answers nonsense: {error}")
        except Exception as error:  # what is known stays, and the agent goes on
            logger.exception("BUG: cannot follow the pods of this node: %r", error)  # noqa: TRY401 the line alone says it
            self._version = None
            return self._failed("bug")
        return None

    def _failed(self, reason: str, wait: float = 0.0) -> float:
        self._failures.inc()
        self._reached.set(0)
        if self._trouble != reason:
            logger.warning("cannot follow the pods of this node: %s; containers keep the names that are known", reason)
        self._trouble = reason
        return wait

    def _succeeded(self) -> None:
        self._reached.set(1)
        if self._trouble is not None:
            logger.info("the pods of this node are followed again")
        self._trouble = None

    async def _list(self) -> None:
        pods: list[Described] = []
        page = await self._page({"resourceVersion": self._list_from} if self._list_from else {}, pods)
        version = page.resource_version
        while page.next:
            page = await self._page({"continue": page.next}, pods)
        self._pods.replace(pods, self._now())
        self._version = version
        self._lists.inc()
        self._succeeded()

    async def _page(self, query: Mapping[str, str], pods: list[Described]) -> ListMetadata:
        """Add a page of the list to `pods`. A server that lists from what it has at hand may give all in one."""
        async with self._get({"limit": str(PAGE), **query}, LIST_TIMEOUT) as response:
            await _check(response)
            found = _LIST.decode(await body.read(response.content, LARGEST_LIST))
        pods += [describe(_POD.decode(each), self._labels) for each in found.items or ()]
        return found.metadata

    async def _watch(self) -> None:
        """Take events until the server ends it."""
        seconds = self._chance.uniform(self._patience.least, self._patience.most)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(math.ceil(seconds)),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + self._patience.grace, connect=10)
        async with self._get(query, timeout) as response:
            await _check(response)
            self._pods.heard(self._now())
            self._succeeded()
            async for line in _lines(response.content):
                self._take(_EVENT.decode(line))
        self._pods.heard(self._now())

    def _take(self, event: _Event) -> None:
        if event.type == "ERROR":
            error = _ERROR.decode(event.object)
            if error.code == HTTPStatus.GONE:
                raise Gone
            raise Trouble(f"it ends the watch: {error.code} {error.message[:REASON_SHOWN]}")
        found = _POD.decode(event.object)
        if event.type == "BOOKMARK":
            self._pods.heard(self._now())
        elif event.type == "DELETED":
            self._pods.remove(describe(found, self._labels), self._now())
        elif event.type in ("ADDED", "MODIFIED"):
            self._pods.put(describe(found, self._labels), self._now())
        self._version = found.metadata.resource_version or self._version

    def _get(
        self, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask; token and certificates are read anew each time, since Kubernetes renews them. Trouble when there are none."""
        try:
            token = tokenfile.read(self._token_file)
            context = tlsfiles.trusting(self._ca_file) if self._url.startswith("https:") else True
        except tokenfile.NoToken as error:
            raise Trouble(str(error)) from error
        except OSError as error:  # SSLError is one
            raise Trouble(f"cannot use {self._ca_file}: {why(error)}") from error
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"metricagent/{__version__}",
        }
        return self._session.get(
            self._url,
            params={"fieldSelector": f"spec.nodeName={self._node},{NOT_ENDED}", **query},
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
            ssl=context,
        )


def session() -> aiohttp.ClientSession:
    """Connections to the API server: one list or watch at a time; proxies of the environment are not used."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), trust_env=False, auto_decompress=False)


async def _check(response: aiohttp.ClientResponse) -> None:
    """Gone, or Trouble, for any status but 200."""
    if response.status == HTTPStatus.OK:
        return
    if response.status == HTTPStatus.GONE:
        raise Gone
    text = (await response.content.read(LARGEST_ERROR)).decode("utf-8", "replace")
    try:
        text = _ERROR.decode(text).message
    except (msgspec.DecodeError, RecursionError):
        text = ""
    wait = retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))
    raise Trouble(f"it answers {response.status}" + (f" ({text[:REASON_SHOWN]})" if text else ""), wait)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream that are not empty. Trouble for one that does not end."""
    rest = bytearray()
    async for piece in stream.iter_any():
        rest += piece
        if b"\n" in piece:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line.strip():
                    yield bytes(line)
        if len(rest) > LARGEST_EVENT:
            raise Trouble(f"an event is larger than {LARGEST_EVENT} bytes")
