"""Pods of this node that ask to be scraped by their annotations: once an interval, and what they said is kept for the ticks.

    prometheus.io/scrape: "true"      prometheus.io/port: "8080"      prometheus.io/path: /metrics

Rules
- A pod is asked at its own address, the port it names and the path it names: an annotation never says which host. Plain HTTP,
  as nobody could tell whose certificate a pod shows; no redirects, cookies, proxies or compressed bodies.
- A scrape counts whole or not at all: a body that is too large, or not all of the form, gives nothing. A pod that cannot be
  scraped has no readings from then on but `scrape_up`, 0.
- Samples go below the pod's first container that is no init container (whose the port is, is not known), with stype=app and
  the kind of the sample as stype-id. Labels are tags; those that say who a pod is get `exported_` in front. Names of the
  catalogue are left out. Timestamps are not read.
- Each pod has its own moment of the interval, so that neither nodes nor pods are all busy at once.
"""

import asyncio
import ipaddress
import logging
import zlib
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple, Protocol

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge
from yarl import URL

from metricagent.collector import Reading
from metricagent.pod import Pod
from metricagent.reasons import why
from metricwire import __version__
from metricwire.dcos import APPLICATION, CONTAINER
from metricwire.errors import BadInput, TooLarge
from metricwire.promtext import Parser, Series
from metricwire.reserved import is_measured, says_who

ASKED = "prometheus.io/scrape"
PORT = "prometheus.io/port"
PATH = "prometheus.io/path"
SCHEME = "prometheus.io/scheme"
LONGEST_PATH = 1024  # characters
AT_ONCE = 4  # answers that are read; others wait, unread, within their own time: those that hang keep nobody
PIECE = 16384  # bytes of an answer that are read at once
UP = "scrape_up"
OUTCOMES = ("ok", "annotation", "connect", "timeout", "status", "encoding", "format", "bytes", "series", "bug")
_HEADERS = {
    "Accept": "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": f"metricagent/{__version__}",
}

logger = logging.getLogger(__name__)


class Limits(NamedTuple):
    """Of scrapes: seconds for one, bytes of an answer, a pod's series, bytes of what names them, series of all pods."""

    timeout: float
    bytes: int
    pod_series: int
    pod_names: int
    series: int


class Directory(Protocol):
    """The pods of this node, and who has an address of theirs."""

    def running(self) -> Iterable[Pod]:
        """Those that are there now."""

    def by_ip(self, ip: str) -> Pod | None:
        """The pod that has it; None for the host's own."""


class Failed(Exception):
    """Why a pod gave nothing: one of OUTCOMES, and a sentence."""

    def __init__(self, outcome: str, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


class _Visit(NamedTuple):
    """What came of a pod's last scrape; `until` (seconds of a steady clock) it may be shown."""

    until: float
    outcome: str
    readings: list[Reading]
    series: int = 0
    heads: Mapping[bytes, Series] = MappingProxyType({})  # what named them, for the next scrape


def container(pod: Pod) -> str:
    """The id of the container that the pod's samples go below; "" while it has none."""
    return next((container.id for container in pod.containers if container.id and not container.init), "")


def address(pod: Pod) -> URL:
    """Where the pod is to be asked. Failed: what is wrong with its annotations."""
    notes = dict(pod.annotations)
    port, path = notes.get(PORT, ""), notes.get(PATH, "/metrics")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise Failed("annotation", f"{PORT}: expected a port, found {port[:80]!r}")
    if notes.get(SCHEME, "http") != "http":
        raise Failed("annotation", f"{SCHEME}: expected http, found {notes[SCHEME][:80]!r}")
    if len(path) > LONGEST_PATH:
        raise Failed("annotation", f"{PATH}: longer than {LONGEST_PATH} characters")
    path, _, query = path.partition("?")
    host = str(ipaddress.ip_address(pod.ip))
    return URL.build(scheme="http", host=host, port=int(port), path="/" + path.removeprefix("/"), query_string=query)


class Scraper:
    """Scrapes the pods of `directory` every `interval` seconds; a collector of what they said.

    `now` is a steady clock, the one that `collect` is called with. A scrape takes no longer than `limits.timeout` and half of
    the interval.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        interval: float,
        limits: Limits,
        registry: CollectorRegistry,
        now: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._interval = interval
        self._timeout = min(limits.timeout, interval / 2)
        self._limits = limits
        self._now = now
        self._reading = asyncio.Semaphore(AT_ONCE)
        self._visits: dict[str, _Visit] = {}  # by uid; replaced, never changed: ticks are in another thread
        self._scrapes = Counter("metricagent_scrapes", "Scrapes of pods, by what came of them.", ["outcome"], registry=registry)
        self._left_out = Counter(
            "metricagent_scrape_samples_left_out", "Samples in scrapes left out, by reason.", ["reason"], registry=registry
        )
        self._pods = Gauge("metricagent_scrape_pods", "Pods that ask to be scraped.", registry=registry)
        for outcome in OUTCOMES:
            self._scrapes.labels(outcome)
        for reason in ("name", "not-finite"):
            self._left_out.labels(reason)

    def collect(self, now: float) -> list[Reading]:
        """What the pods said last, and whether they could be scraped; nothing that two intervals have passed since."""
        return [reading for visit in self._visits.values() if now <= visit.until for reading in visit.readings]

    async def run(self) -> None:
        """Scrape, until cancelled."""
        # No connection is kept: pods end without a word, and their address may be another pod's a moment later.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers=_HEADERS,
            read_bufsize=PIECE,
        ) as session:
            while True:
                begun = self._now()
                await self._round(session)
                await asyncio.sleep(max(0.0, begun + self._interval - self._now()))

    async def _round(self, session: aiohttp.ClientSession) -> None:
        """Scrape each pod that asks for it, at its own moment of the interval."""
        pods = [pod for pod in self._directory.running() if self._asks(pod)]
        self._pods.set(len(pods))
        known = {pod.uid for pod in pods}
        self._visits = {uid: visit for uid, visit in self._visits.items() if uid in known}
        await asyncio.gather(*(self._visit(session, pod) for pod in pods))

    def _asks(self, pod: Pod) -> bool:
        """Whether the pod is there and wants to be scraped. Addresses outlive their pods: it must still be this one's."""
        if (ASKED, "true") not in pod.annotations or not pod.ip or not container(pod):
            return False
        owner = self._directory.by_ip(pod.ip)
        return pod.host_network or (owner is not None and owner.uid == pod.uid)

    async def _visit(self, session: aiohttp.ClientSession, pod: Pod) -> None:
        await asyncio.sleep(zlib.crc32(pod.uid.encode()) / 2**32 * (self._interval - self._timeout))
        before = self._visits.get(pod.uid)
        text = ""
        try:
            visit = await self._scrape(session, pod, before.heads if before else {})
        except Failed as failed:
            visit, text = self._failure(pod, failed.outcome), str(failed)
        except Exception as error:  # whatever it is, the other pods are scraped
            logger.exception("BUG: cannot scrape pod %s/%s", pod.namespace, pod.name)
            visit, text = self._failure(pod, "bug"), repr(error)
        if not self._asks(pod):
            return
        self._scrapes.labels(visit.outcome).inc()
        self._visits = {**self._visits, pod.uid: visit}
        if text and (before is None or before.outcome != visit.outcome):
            logger.warning("cannot scrape pod %s/%s: %s", pod.namespace, pod.name, text)
        elif not text and before and before.outcome != "ok":
            logger.info("pod %s/%s can be scraped again", pod.namespace, pod.name)

    def _failure(self, pod: Pod, outcome: str) -> _Visit:
        return _Visit(self._now() + 2 * self._interval, outcome, [Reading(UP, 0.0, CONTAINER, container(pod))])

    async def _scrape(self, session: aiohttp.ClientSession, pod: Pod, heads: Mapping[bytes, Series]) -> _Visit:
        parser = Parser(self._limits.pod_series, says_who, heads)
        try:
            async with asyncio.timeout(self._timeout):
                await self._read(session, address(pod), parser)
            samples = parser.close()
        except TimeoutError as error:
            raise Failed("timeout", f"it did not answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Failed("connect", why(error)) from error
        except BadInput as error:
            raise Failed("format", str(error)) from error
        except TooLarge as error:
            raise Failed("series", f"{error} (scrape.series-per-pod)") from error
        if parser.names > self._limits.pod_names:
            most = f"more than {self._limits.pod_names} (scrape.bytes-per-pod)"
            raise Failed("bytes", f"its {len(samples)} samples have {parser.names} bytes of names and labels, {most}")
        others = sum(visit.series for uid, visit in self._visits.items() if uid != pod.uid)
        if others + len(samples) > self._limits.series:
            raise Failed("series", f"with its {len(samples)} samples there are more than {self._limits.series} (scrape.series)")
        foreign = [sample for sample in samples if not is_measured(sample.name)]
        self._left_out.labels("name").inc(parser.unspeakable + len(samples) - len(foreign))
        self._left_out.labels("not-finite").inc(parser.not_finite)
        below = container(pod)
        readings = [Reading(UP, 1.0, CONTAINER, below)]
        readings += [Reading(name, value, CONTAINER, below, APPLICATION, kind, tags) for name, kind, tags, value in foreign]
        return _Visit(self._now() + 2 * self._interval, "ok", readings, len(samples), parser.heads)

    async def _read(self, session: aiohttp.ClientSession, url: URL, parser: Parser) -> None:
        """Give the answer's body to the parser, piece by piece."""
        async with session.get(url, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise Failed("status", f"it answers {response.status}")
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity":
                raise Failed("encoding", f"it answers in Content-Encoding {encoding[:80]!r}, which it was not asked for")
            size = 0
            async with self._reading:
                async for piece in response.content.iter_any():
                    size += len(piece)
                    if size > self._limits.bytes:
                        raise Failed("bytes", f"its answer has more than {self._limits.bytes} bytes (scrape.body-bytes)")
                    parser.feed(piece)
