"""The files of a container's cgroup, version 1 (https://docs.kernel.org/admin-guide/cgroup-v1/), below each controller.

Pure: bytes of a file to values by metric. What counts the subgroups too is taken where there are both (total_*, *_recursive).
A limit close to what 63 bits hold is none, as is a quota of -1, and gives no value.
"""

import os
from collections.abc import Callable

from metricagent.containers.files import pairs
from metricagent.containers.version2 import DeviceValues, Values

NANO = 10**9  # a second
TICKS = os.sysconf("SC_CLK_TCK")  # a second
NO_LIMIT = 2**62


def cpuacct_stat(text: bytes) -> Values:
    """Times in user mode and in the kernel, to a clock tick."""
    found = pairs(text)
    return {
        "container_cpu_user_seconds_total": int(found[b"user"]) / TICKS,
        "container_cpu_system_seconds_total": int(found[b"system"]) / TICKS,
    }


def cpuacct_usage(text: bytes) -> Values:
    """Time in all."""
    return {"container_cpu_usage_seconds_total": int(text) / NANO}


def cpu_stat(text: bytes) -> Values:
    """Throttling."""
    found = pairs(text)
    return {
        "container_cpu_cfs_periods_total": float(found[b"nr_periods"]),
        "container_cpu_cfs_throttled_periods_total": float(found[b"nr_throttled"]),
        "container_cpu_cfs_throttled_seconds_total": int(found[b"throttled_time"]) / NANO,
    }


def memory_stat(text: bytes) -> Values:
    """What the memory is used for; `inactive_file` is none of the metrics, the working set is made with it."""
    found = pairs(text)
    return {metric: float(found[name]) for name, metric in _MEMORY if name in found}


def oom_control(text: bytes) -> Values:
    """Processes killed for lack of memory; older kernels do not count them."""
    killed = pairs(text).get(b"oom_kill")
    return {} if killed is None else {"container_oom_events_total": float(killed)}


def number(metric: str) -> Callable[[bytes], Values]:
    """The reader of a file with one number."""

    def parse(text: bytes) -> Values:
        return {metric: float(int(text))}

    return parse


def limit(metric: str) -> Callable[[bytes], Values]:
    """The reader of a file with a limit in bytes, or "max"."""

    def parse(text: bytes) -> Values:
        found = NO_LIMIT if text == b"max\n" else int(text)
        return {} if found >= NO_LIMIT else {metric: float(found)}

    return parse


def blkio(bytes_or_count: str) -> Callable[[bytes], DeviceValues]:
    """The reader of a file of reads and writes by device: lines like `8:0 Read 4096`, and a sum at the end."""
    metrics = {operation: name.format(bytes_or_count) for operation, name in _OPERATIONS.items()}

    def parse(text: bytes) -> DeviceValues:
        found: DeviceValues = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in metrics:
                found.setdefault(words[0].decode(), {})[metrics[words[1]]] = float(words[2])
        return found

    return parse


_MEMORY = (
    (b"total_cache", "container_memory_cache"),
    (b"total_rss", "container_memory_rss"),
    (b"total_mapped_file", "container_memory_mapped_file"),
    (b"total_unevictable", "container_memory_unevictable_bytes"),
    (b"total_swap", "container_memory_swap"),
    (b"total_inactive_file", "inactive_file"),
)
_OPERATIONS = {b"Read": "container_fs_reads{}_total", b"Write": "container_fs_writes{}_total"}

# Folder of the controller, file, its parser. The cpu limit is made of two: cpu_quota and cpu_period are none of the metrics.
FILES: tuple[tuple[str, str, Callable[[bytes], Values]], ...] = (
    ("/cpuacct", "cpuacct.stat", cpuacct_stat),
    ("/cpuacct", "cpuacct.usage", cpuacct_usage),
    ("/cpu", "cpu.stat", cpu_stat),
    ("/cpu", "cpu.cfs_quota_us", number("cpu_quota")),
    ("/cpu", "cpu.cfs_period_us", number("cpu_period")),
    ("/memory", "memory.usage_in_bytes", number("container_memory_usage_bytes")),
    ("/memory", "memory.memsw.usage_in_bytes", number("container_memory_memsw_usage_bytes")),
    ("/memory", "memory.limit_in_bytes", limit("container_spec_memory_limit_bytes")),
    ("/memory", "memory.soft_limit_in_bytes", limit("container_spec_memory_reservation_limit_bytes")),
    ("/memory", "memory.failcnt", number("container_memory_failcnt")),
    ("/memory", "memory.oom_control", oom_control),
    ("/memory", "memory.stat", memory_stat),
    ("/pids", "pids.current", number("container_threads")),
)
DEVICE_FILES: tuple[tuple[str, str, Callable[[bytes], DeviceValues]], ...] = (
    ("/blkio", "blkio.throttle.io_service_bytes_recursive", blkio("_bytes")),
    ("/blkio", "blkio.throttle.io_serviced_recursive", blkio("")),
)
