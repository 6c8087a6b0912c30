"""The files of a container's cgroup, version 2 (https://docs.kernel.org/admin-guide/cgroup-v2.html).

Pure: bytes of a file to values by metric. A limit that is "max" is no limit, and gives no value.
"""

from collections.abc import Callable

from metricagent.containers.files import pairs

Values = dict[str, float]
DeviceValues = dict[str, Values]  # by "major:minor"

MICRO = 10**6  # a second


def cpu_stat(text: bytes) -> Values:
    """Times, and throttling where the cpu controller is on."""
    found = pairs(text)
    values = {metric: int(found[name]) / MICRO for name, metric in _CPU_TIMES if name in found}
    return values | {metric: float(found[name]) for name, metric in _CPU_COUNTS if name in found}


def cpu_max(text: bytes) -> Values:
    """The limit, in cpus."""
    quota, period = text.split()
    return {} if quota == b"max" else {"container_cpu_limit": int(quota) / int(period)}


def memory_stat(text: bytes) -> Values:
    """What the memory is used for; `inactive_file` is none of the metrics, the working set is made with it."""
    found = pairs(text)
    return {metric: float(found[name]) for name, metric in _MEMORY if name in found}


def memory_events(text: bytes) -> Values:
    """How often limits were met."""
    found = pairs(text)
    return {metric: float(found[name]) for name, metric in _EVENTS if name in found}


def number(metric: str) -> Callable[[bytes], Values]:
    """The reader of a file with one number, or "max"."""

    def parse(text: bytes) -> Values:
        return {} if text == b"max\n" else {metric: float(int(text))}

    return parse


def io_stat(text: bytes) -> DeviceValues:
    """Block I/O by device: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. ValueError when it is something else.

    Words, not lines: Linux 5.15 names devices that did nothing before the next one, on its line, and at the end.
    """
    found: DeviceValues = {}
    device = ""
    for word in text.split():
        name, equals, count = word.partition(b"=")
        if not equals:
            device = name.decode()
        elif not device:
            raise ValueError(f"cannot parse io.stat: no device before {word[:80]!r}")
        elif name in _IO:
            found.setdefault(device, {})[_IO[name]] = float(count)
    return found


_CPU_TIMES = (
    (b"usage_usec", "container_cpu_usage_seconds_total"),
    (b"user_usec", "container_cpu_user_seconds_total"),
    (b"system_usec", "container_cpu_system_seconds_total"),
    (b"throttled_usec", "container_cpu_cfs_throttled_seconds_total"),
)
_CPU_COUNTS = (
    (b"nr_periods", "container_cpu_cfs_periods_total"),
    (b"nr_throttled", "container_cpu_cfs_throttled_periods_total"),
)
_MEMORY = (
    (b"file", "container_memory_cache"),
    (b"anon", "container_memory_rss"),
    (b"file_mapped", "container_memory_mapped_file"),
    (b"unevictable", "container_memory_unevictable_bytes"),
    (b"inactive_file", "inactive_file"),
)
_EVENTS = (
    (b"high", "container_memory_high_events_total"),
    (b"max", "container_memory_failcnt"),
    (b"oom_kill", "container_oom_events_total"),
)
_IO = {
    b"rbytes": "container_fs_reads_bytes_total",
    b"wbytes": "container_fs_writes_bytes_total",
    b"rios": "container_fs_reads_total",
    b"wios": "container_fs_writes_total",
}

# Folder of the controller (there is one for all), file, its parser.
FILES: tuple[tuple[str, str, Callable[[bytes], Values]], ...] = (
    ("", "cpu.stat", cpu_stat),
    ("", "cpu.max", cpu_max),
    ("", "memory.current", number("container_memory_usage_bytes")),
    ("", "memory.swap.current", number("container_memory_swap")),
    ("", "memory.max", number("container_spec_memory_limit_bytes")),
    ("", "memory.high", number("container_spec_memory_reservation_limit_bytes")),
    ("", "memory.stat", memory_stat),
    ("", "memory.events", memory_events),
    ("", "pids.current", number("container_threads")),
)
DEVICE_FILES: tuple[tuple[str, str, Callable[[bytes], DeviceValues]], ...] = (("", "io.stat", io_stat),)
