"""What Prometheus scrapes: the samples of all hosts under their own names, and the store's own state (`metricstore_*`)."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.auth import Caller, Permission
from metricstore.api.routes import Route
from metricstore.engine import Engine
from metricstore.ingest import Ingest
from metricwire import exposition

INTERVALS = 5  # a series whose last sample is more of its intervals old is not shown


class Prometheus:
    """`/metrics` (samples, then ourselves) and `/metrics/self`; `?cluster=&hostname=&metric=` narrow the samples."""

    def __init__(self, engine: Engine, registry: CollectorRegistry, needs: Permission) -> None:
        self._engine, self._registry = engine, registry
        self.routes = (
            Route("/metrics", ("GET",), needs, self.metrics),
            Route("/metrics/self", ("GET",), needs, self.self_metrics),
        )

    async def metrics(self, request: Request, _: Caller) -> Response:
        """The last sample of every series that is still coming in, without timestamps."""
        wanted = request.query_params
        samples = [
            sample
            for sample in self._engine.fresh(INTERVALS, wanted.get("cluster", ""), wanted.get("hostname", ""))
            if wanted.get("cluster", sample.series.place.cluster) == sample.series.place.cluster
            and wanted.get("metric", sample.series.metric) == sample.series.metric
        ]
        text = await asyncio.to_thread(exposition.render, samples, self._engine.labels_of)
        return Response(text + generate_latest(self._registry), media_type=exposition.CONTENT_TYPE)

    async def self_metrics(self, _: Request, __: Caller) -> Response:
        """The store's own state alone."""
        return Response(generate_latest(self._registry), media_type=exposition.CONTENT_TYPE)


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
        yield CounterMetricFamily("metricstore_damaged", "Places of the log that could not be read.", engine.log.damaged)
        for name, meaning, value in (
            ("metricstore_series", "Series there are.", engine.series),
            ("metricstore_series_limit", "Series there may be (limits.series).", engine.registry.limit),
            ("metricstore_window_bytes", "Memory of the windows that samples are kept in.", engine.head.bytes),
            ("metricstore_log_bytes", "Size of the log on disk.", engine.log.bytes),
            ("metricstore_waiting_samples", "Samples that wait for the disk.", engine.commits.waiting),
            ("metricstore_read_only", "1 while the disk takes no samples.", int(engine.commits.full)),
        ):
            yield GaugeMetricFamily(name, meaning, value)
