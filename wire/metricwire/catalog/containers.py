"""Metrics of containers (spec/dcos-metrics-api.md, container datapoints).

Names are cAdvisor's where it has the same thing in the same unit. They are measured at places of type "container", whose
type-id is the runtime's id; those of block devices have the further tag `device`.
"""

from metricwire.catalog.metric import Aggregation, Kind, Metric


def _metric(
    name: str, unit: str, kind: Kind, help: str, dcos: str = "", dcos_unit: str = "", *, aggregation: Aggregation = "sum"
) -> Metric:
    return Metric(name, unit, kind, aggregation, help, ("container",), dcos, (dcos_unit or unit) if dcos else "")


def _network(way: str, dcos: str, what: str) -> tuple[Metric, ...]:
    def metric(name: str, unit: str, dcos_name: str, help: str) -> Metric:
        return _metric(f"container_network_{way}_{name}", unit, "counter", help, f"net.{dcos}.{dcos_name}")

    return (
        metric("bytes_total", "bytes", "bytes", f"Bytes that the container's pod {what}."),
        metric("packets_total", "count", "packets", f"Packets that the container's pod {what}."),
        metric("errors_total", "count", "errors", f"Errors while packets were {what}."),
        metric("packets_dropped_total", "count", "dropped", f"Packets dropped that were to be {what}."),
    )


CONTAINERS = (
    _metric("container_processes", "count", "gauge", "Processes of the container.", "processes"),
    _metric("container_threads", "count", "gauge", "Threads of all processes of the container.", "threads"),
    _metric("container_cpu_usage_seconds_total", "seconds", "counter", "CPU time used."),
    _metric("container_cpu_user_seconds_total", "seconds", "counter", "CPU time in user mode.", "cpus.user.time"),
    _metric("container_cpu_system_seconds_total", "seconds", "counter", "CPU time in the kernel.", "cpus.system.time"),
    _metric("container_cpu_limit", "count", "gauge", "CPUs it may use at most; none without a limit.", "cpus.limit"),
    _metric("container_cpu_cfs_periods_total", "count", "counter", "Periods in which it was runnable.", "cpus.nr.periods"),
    _metric(
        "container_cpu_cfs_throttled_periods_total",
        "count",
        "counter",
        "Periods in which it was throttled.",
        "cpus.nr.throttled",
    ),
    _metric("container_cpu_cfs_throttled_seconds_total", "seconds", "counter", "Time it was throttled.", "cpus.throttled.time"),
    _metric("container_memory_usage_bytes", "bytes", "gauge", "Memory in use, page cache included.", "mem.total"),
    _metric("container_memory_working_set_bytes", "bytes", "gauge", "Memory in use without the inactive page cache."),
    _metric("container_memory_memsw_usage_bytes", "bytes", "gauge", "Memory and swap space in use.", "mem.total.memsw"),
    _metric("container_memory_cache", "bytes", "gauge", "Page cache, tmpfs included.", "mem.cache"),
    _metric("container_memory_rss", "bytes", "gauge", "Anonymous memory, swap space not counted.", "mem.rss"),
    _metric("container_memory_mapped_file", "bytes", "gauge", "Files mapped into memory.", "mem.mapped.file"),
    _metric("container_memory_swap", "bytes", "gauge", "Swap space in use.", "mem.swap"),
    _metric("container_memory_unevictable_bytes", "bytes", "gauge", "Memory that cannot be reclaimed.", "mem.unevictable"),
    _metric(
        "container_spec_memory_limit_bytes", "bytes", "gauge", "Memory it may use at most; none without a limit.", "mem.limit"
    ),
    _metric(
        "container_spec_memory_reservation_limit_bytes",
        "bytes",
        "gauge",
        "Memory above which it is slowed down and reclaimed from; none without a limit.",
        "mem.soft.limit",
    ),
    _metric("container_memory_high_events_total", "count", "counter", "Times it was above its soft limit.", "mem.low.pressure"),
    _metric("container_memory_failcnt", "count", "counter", "Times it met its memory limit.", "mem.medium.pressure"),
    _metric("container_oom_events_total", "count", "counter", "Processes killed for lack of memory.", "mem.critical.pressure"),
    _metric(
        "container_disk_limit_bytes", "bytes", "gauge", "Ephemeral storage it may use; none without a limit.", "disk.limit"
    ),
    *_network("receive", "rx", "received"),
    *_network("transmit", "tx", "sent"),
    _metric("container_fs_reads_bytes_total", "bytes", "counter", "Bytes read from the device.", "blkio.io_service_bytes.read"),
    _metric(
        "container_fs_writes_bytes_total", "bytes", "counter", "Bytes written to the device.", "blkio.io_service_bytes.write"
    ),
    _metric("container_fs_reads_total", "count", "counter", "Reads from the device.", "blkio.io_serviced.read"),
    _metric("container_fs_writes_total", "count", "counter", "Writes to the device.", "blkio.io_serviced.write"),
    _metric("scrape_up", "count", "gauge", "Whether the pod's own metrics could be scraped (1) or not (0)."),
)
