"""What Prometheus scrapes: the samples of all hosts under their own names, and the store's own state (`metricstore_*`)."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description, Parameter
from metricstore.api.exposition import Exposition, Fresh
from metricstore.api.routes import Route
from metricstore.engine import Engine
from metricstore.ingest import Ingest
from metricwire import accept
from metricwire.errors import Unavailable
from metricwire.exposition import END, Format, negotiate

INTERVALS = 5  # a series whose last sample is more of its intervals old is not shown
SCRAPES = 16  # of one port at a time: of very many series each takes a second
GZIP_LEVEL = 1  # an exposition repeats itself: more work makes it a fifth smaller and takes three times as long

FORMS = Answer("An exposition.", Content(Format.TEXT.value), (Content(Format.OPENMETRICS.value),))
NARROWED = (
    Parameter("cluster", "Series of this cluster alone."),
    Parameter("hostname", "Series of this host alone."),
    Parameter("metric", "Series of this metric alone."),
)


class Prometheus:
    """What Prometheus scrapes, as text 0.0.4 or OpenMetrics 1.0."""

    def __init__(self, scrapes: "Scrapes", needs: Permission) -> None:
        self._scrapes = scrapes
        self._one, self._asked = asyncio.Lock(), 0  # one at a time of this port: another port's wait for that one at most
        whole = Description(NARROWED, None, {200: FORMS})
        self.routes = (
            Route("/metrics", ("GET",), needs, self.metrics, description=whole),
            Route("/metrics/self", ("GET",), needs, self.self_metrics, description=Description(answers={200: FORMS})),
        )

    async def metrics(self, request: Request, _: Caller) -> Response:
        """The last sample of every series that is still coming in, without timestamps, then the store's own state."""
        if self._asked >= SCRAPES:
            raise Unavailable(f"cannot answer now: {SCRAPES} requests for /metrics wait already, as many as may")
        self._asked += 1
        try:
            async with self._one:
                return await self._scrapes.whole(request)
        finally:
            self._asked -= 1

    async def self_metrics(self, request: Request, _: Caller) -> Response:
        """The store's own state alone."""
        return self._scrapes.own(request)


class Scrapes:
    """Makes the expositions, for all ports."""

    def __init__(self, engine: Engine, registry: CollectorRegistry, units: Mapping[str, str]) -> None:
        self._engine, self._registry = engine, registry
        self._exposition = Exposition(engine.labels_of, units)
        self._one = asyncio.Lock()  # a second scrape waits: both would only take longer

    async def whole(self, request: Request) -> Response:
        """All series that the request does not leave out, and the store's own state."""
        asked, form = request.query_params, _format(request)
        cluster, metric = asked.get("cluster", ""), asked.get("metric", "")
        async with self._one:
            fresh = Fresh(*self._engine.fresh_columns(INTERVALS, cluster, asked.get("hostname", "")))
            unknown = self._exposition.unknown(fresh.numbers, self._engine.generation)
            keys = [self._engine.key(number) for number in unknown.tolist()]
            own = self._own(form)

            def render() -> Response:
                self._exposition.learn(unknown, keys)
                return _response(request, form, self._exposition.render(fresh, form, cluster, metric) + own)

            return await asyncio.to_thread(render)

    def own(self, request: Request) -> Response:
        """The store's own state alone."""
        form = _format(request)
        return _response(request, form, self._own(form))

    def _own(self, form: Format) -> bytes:
        if form is Format.TEXT:
            return generate_latest(self._registry)
        text: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return text


def _format(request: Request) -> Format:
    return negotiate(",".join(request.headers.getlist("accept")))


def _response(request: Request, form: Format, text: bytes) -> Response:
    """The exposition, gzip where that is accepted."""
    assert form is Format.TEXT or text.endswith(END)
    headers = {"Vary": "Accept, Accept-Encoding"}
    if accept.coding(",".join(request.headers.getlist("accept-encoding")), "gzip"):
        packer = zlib.compressobj(GZIP_LEVEL, wbits=31)
        text = packer.compress(text) + packer.flush()
        headers["Content-Encoding"] = "gzip"
    return Response(text, headers=headers, media_type=form.value)


class StoreCollector(Collector):
    """The store's state, read when it is scraped: counting costs the writers nothing."""

    def __init__(self, engine: Engine, ingest: Ingest, version: str) -> None:
        self._engine, self._ingest, self._version = engine, ingest, version

    def collect(self) -> Iterator[Metric]:
        """Every line received is in exactly one of the `metricstore_lines_total` outcomes."""
        engine, ingest = self._engine, self._ingest
        info = GaugeMetricFamily("metricstore_build_info", "Which store this is.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        lines = CounterMetricFamily(
            "metricstore_lines", "Lines received, by what became of them.", labels=["outcome", "reason"]
        )
        for outcome in ("stored", "messages", "skipped", "unavailable"):
            lines.add_metric([outcome, ""], getattr(ingest, outcome))
        for reason, count in sorted(ingest.rejected.items()):
            lines.add_metric(["rejected", reason], count)
        yield lines
        yield CounterMetricFamily("metricstore_lines_received", "Lines received.", ingest.received)
        yield CounterMetricFamily("metricstore_commits", "Times that the log was synced to disk.", engine.commits.commits)
        yield CounterMetricFamily("metricstore_seals", "Times that memory was sealed into blocks.", engine.seals)
        yield CounterMetricFamily("metricstore_merges", "Times that blocks of some hours were merged.", engine.merges)
        yield CounterMetricFamily(
            "metricstore_clock_jumps", "Times that the clock left what time makes of it by over an hour.", engine.steady.jumps
        )
        yield CounterMetricFamily("metricstore_damaged", "Places of the log that could not be read.", engine.damaged)
        for name, meaning, value in (
            ("metricstore_series", "Series there are.", engine.series),
            ("metricstore_series_limit", "Series there may be (limits.series).", engine.registry.limit),
            ("metricstore_window_bytes", "Memory of the windows that samples are kept in.", engine.head.size),
            ("metricstore_log_bytes", "Size of the log on disk.", engine.log.bytes),
            ("metricstore_block_bytes", "Size of the blocks on disk.", engine.blocks.size),
            ("metricstore_disk_free_bytes", "Room on the volume of the data folder.", engine.disk_free),
            ("metricstore_waiting_samples", "Samples that wait for the disk.", engine.commits.waiting),
            ("metricstore_read_only", "1 while the disk takes no samples.", int(engine.commits.full)),
            ("metricstore_clock_off_seconds", "What the clock is ahead by, while samples do not age by it.", engine.steady.off),
        ):
            yield GaugeMetricFamily(name, meaning, value)
