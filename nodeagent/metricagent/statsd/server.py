"""The thread that reads the StatsD port, and its metrics."""

import logging
import os
import select
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricSource

from metricagent.statsd.aggregation import Aggregation, Limits
from metricagent.statsd.datagrams import AT_ONCE, Datagrams
from metricagent.statsd.intake import Intake

LAST_READS = 256  # after which a stop is the end, even of a flood
NAP = 0.008  # seconds between two looks at a socket that is not full: many packets cost little more than one

logger = logging.getLogger(__name__)


class Server:
    """Reads `datagrams` from `start` to `stop`, which closes it."""

    def __init__(self, datagrams: Datagrams, intake: Intake) -> None:
        self._datagrams, self._intake = datagrams, intake
        self.bugs = 0
        self._stop = os.eventfd(0, os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read what has come, then no more."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self._datagrams.close()

    def _run(self) -> None:
        both, told = select.poll(), select.poll()
        both.register(self._datagrams, select.POLLIN)
        for one in (both, told):
            one.register(self._stop, select.POLLIN)
        stopping, full, left = False, False, LAST_READS
        while not stopping or (full and left):
            left -= stopping
            both.poll()
            stopping = bool(told.poll(0 if full else NAP * 1000))
            try:
                full = self._read()
            except Exception:  # a bug must not end the thread
                self.bugs += 1
                if self.bugs == 1:
                    logger.exception("BUG: statsd packets were lost; further ones are only counted")

    def _read(self) -> bool:
        """One read; whether there may be more."""
        found = self._datagrams.read()
        self._intake.take(found)
        return len(found) == AT_ONCE


class Figures(MetricSource):
    """`metricagent_statsd_*`, read when they are asked for."""

    def __init__(self, server: Server, datagrams: Datagrams, intake: Intake, aggregation: Aggregation, limits: Limits) -> None:
        self._server, self._datagrams, self._intake = server, datagrams, intake
        self._aggregation, self._limits = aggregation, limits

    def collect(self) -> Iterator[Metric]:
        """Every packet sent to the port is in exactly one outcome of `metricagent_statsd_packets_total`."""
        intake, aggregation = self._intake, self._aggregation
        packets = CounterMetricFamily(
            "metricagent_statsd_packets", "Packets sent to the StatsD port, by what became of them.", labels=["outcome"]
        )
        for outcome, count in (*intake.packets.items(), ("kernel-dropped", self._datagrams.dropped)):
            packets.add_metric([outcome], count)
        yield packets
        values = CounterMetricFamily(
            "metricagent_statsd_values", "Values in packets, by what became of them.", labels=["outcome", "reason"]
        )
        values.add_metric(["taken", ""], aggregation.taken)
        for outcome, reasons in (("bad", intake.bad), ("refused", aggregation.refused), ("left-out", intake.left_out)):
            for reason, count in reasons.items():
                values.add_metric([outcome, reason], count)
        yield values
        yield CounterMetricFamily("metricagent_statsd_unknown", "Values whose sender is no container here.", intake.unknown)
        yield CounterMetricFamily("metricagent_statsd_bugs", "Reads that failed for no expected reason.", self._server.bugs)
        for name, meaning, value in (
            ("series", "Series of applications, counted as the limits count them.", aggregation.cost),
            ("series_limit", "Most of them (statsd.series).", self._limits.series),
            ("receive_buffer_bytes", "What the kernel keeps for packets that wait.", self._datagrams.buffer),
        ):
            yield GaugeMetricFamily(f"metricagent_statsd_{name}", meaning, value)


def build(
    datagrams: Datagrams, intake: Intake, aggregation: Aggregation, limits: Limits, registry: CollectorRegistry
) -> Server:
    """A server that has not started, its metrics in the registry."""
    server = Server(datagrams, intake)
    registry.register(Figures(server, datagrams, intake, aggregation, limits))
    return server
