"""Metrics of the host's disks, sensors, processors' energy and InfiniBand ports."""

from metricwire.catalog.metric import Metric


def _disk(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("device",))


def _disk_now(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "gauge", "avg" if unit == "percent" else "sum", help, ("device",))


def _port(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("infiniband",))


def _port_rate(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("infiniband",))


_PARTS = "of a socket without its memory, and of its domains core, uncore and dram"

DEVICES = (
    _disk("io_reads", "count", "Reads done."),
    _disk("io_read_bytes", "bytes", "Bytes read."),
    _disk("io_read_time", "seconds", "Time of all reads together."),
    _disk("io_writes", "count", "Writes done."),
    _disk("io_write_bytes", "bytes", "Bytes written."),
    _disk("io_write_time", "seconds", "Time of all writes together."),
    _disk("io_discards", "count", "Discards done."),
    _disk("io_flushes", "count", "Flushes done."),
    _disk("io_time", "seconds", "Time in which something was under way."),
    _disk("io_weighted_time", "seconds", "Time of all that was under way together, waiting included."),
    _disk_now("io_in_flight", "count", "Reads and writes under way."),
    _disk_now("io_reads_rate", "requests/s", "Reads per second."),
    _disk_now("io_writes_rate", "requests/s", "Writes per second."),
    _disk_now("io_read_bw", "bytes/s", "Bytes read per second."),
    _disk_now("io_write_bw", "bytes/s", "Bytes written per second."),
    _disk_now("io_busy", "percent", "Share of time in which something was under way."),
    Metric("temp", "celsius", "gauge", None, "Temperature.", ("sensor",)),
    Metric("rapl_energy", "joules", "counter", "sum", f"Energy used since the agent started, {_PARTS}.", ("socket", "domain")),
    Metric(
        "rapl_average_power", "watts", "gauge", "sum", f"Average power since the last sample, {_PARTS}.", ("socket", "domain")
    ),
    _port("ib_recv", "bytes", "Bytes received."),
    _port("ib_xmit", "bytes", "Bytes sent."),
    _port("ib_recv_pkts", "count", "Packets received."),
    _port("ib_xmit_pkts", "count", "Packets sent."),
    _port("ib_recv_errors", "count", "Packets received with an error."),
    _port("ib_xmit_discards", "count", "Packets that could not be sent and were dropped."),
    _port("ib_symbol_errors", "count", "Errors on the link's lanes."),
    _port("ib_link_downed", "count", "Times that the link went down for good."),
    _port_rate("ib_recv_bw", "bytes/s", "Bytes received per second."),
    _port_rate("ib_xmit_bw", "bytes/s", "Bytes sent per second."),
    _port_rate("ib_recv_pkts_bw", "packets/s", "Packets received per second."),
    _port_rate("ib_xmit_pkts_bw", "packets/s", "Packets sent per second."),
)
