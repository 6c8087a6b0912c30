"""Metrics of the host and its parts."""

from metricwire.catalog.metric import Metric


def _cpu(name: str, help: str, dcos: str = "") -> Metric:
    return Metric(name, "percent", "gauge", "avg", help, ("node", "hwthread"), dcos, "percent" if dcos else "")


def _memory(name: str, help: str, dcos: str = "") -> Metric:
    return Metric(name, "bytes", "gauge", "sum", help, ("node",), dcos, "bytes" if dcos else "")


def _filesystem(name: str, unit: str, help: str, dcos: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("filesystem",), dcos, "bytes" if unit == "bytes" else "count")


def _interface(name: str, unit: str, help: str, dcos: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("interface",), dcos, "bytes" if unit == "bytes" else "count")


def _rate(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("interface",))


HOST = (
    Metric("num_cpus", "count", "gauge", "sum", "Hardware threads of the host.", dcos="cpu.cores", dcos_unit="count"),
    _cpu("cpu_used", "Share of time in user mode and in the kernel: cpu_user + cpu_system.", "cpu.total"),
    _cpu("cpu_user", "Share of time in user mode, guests included.", "cpu.user"),
    _cpu("cpu_nice", "Share of time in user mode at low priority."),
    _cpu("cpu_system", "Share of time in the kernel, interrupts not counted.", "cpu.system"),
    _cpu("cpu_idle", "Share of time idle.", "cpu.idle"),
    _cpu("cpu_iowait", "Share of time idle while I/O was waited for.", "cpu.wait"),
    _cpu("cpu_irq", "Share of time in hardware interrupts."),
    _cpu("cpu_softirq", "Share of time in software interrupts."),
    _cpu("cpu_steal", "Share of time taken by the hypervisor for others."),
    _memory("mem_total", "Physical memory.", "memory.total"),
    _memory("mem_free", "Memory used for nothing.", "memory.free"),
    _memory("mem_available", "Memory that programs can get without swapping."),
    _memory("mem_used", "Memory in use: total - available."),
    _memory("mem_buffers", "Memory in block device buffers.", "memory.buffers"),
    _memory("mem_cached", "Memory in the page cache and reclaimable slabs.", "memory.cached"),
    _memory("swap_total", "Swap space.", "swap.total"),
    _memory("swap_free", "Swap space not used.", "swap.free"),
    _memory("swap_used", "Swap space in use.", "swap.used"),
    Metric("load_one", "count", "gauge", "avg", "Load average over 1 minute.", dcos="load.1min", dcos_unit="count"),
    Metric("load_five", "count", "gauge", "avg", "Load average over 5 minutes.", dcos="load.5min", dcos_unit="count"),
    Metric("load_fifteen", "count", "gauge", "avg", "Load average over 15 minutes.", dcos="load.15min", dcos_unit="count"),
    Metric("proc_total", "count", "gauge", "sum", "Processes on the host.", dcos="process.count", dcos_unit="count"),
    Metric("uptime", "seconds", "gauge", None, "Time since the host booted.", dcos="system.uptime", dcos_unit="count"),
    _filesystem("disk_total", "bytes", "Size of the filesystem.", "filesystem.capacity.total"),
    _filesystem("disk_used", "bytes", "Space in use on the filesystem.", "filesystem.capacity.used"),
    _filesystem("disk_free", "bytes", "Space that users can still take.", "filesystem.capacity.free"),
    _filesystem("disk_inodes_total", "count", "Inodes of the filesystem.", "filesystem.inode.total"),
    _filesystem("disk_inodes_used", "count", "Inodes in use.", "filesystem.inode.used"),
    _filesystem("disk_inodes_free", "count", "Inodes free.", "filesystem.inode.free"),
    _interface("net_bytes_in", "bytes", "Bytes received.", "network.in"),
    _interface("net_bytes_out", "bytes", "Bytes sent.", "network.out"),
    _interface("net_pkts_in", "count", "Packets received.", "network.in.packets"),
    _interface("net_pkts_out", "count", "Packets sent.", "network.out.packets"),
    _interface("net_drops_in", "count", "Received packets dropped.", "network.in.dropped"),
    _interface("net_drops_out", "count", "Packets dropped before they were sent.", "network.out.dropped"),
    _interface("net_errors_in", "count", "Receive errors.", "network.in.errors"),
    _interface("net_errors_out", "count", "Transmit errors.", "network.out.errors"),
    _rate("net_bytes_in_bw", "bytes/s", "Bytes received per second."),
    _rate("net_bytes_out_bw", "bytes/s", "Bytes sent per second."),
    _rate("net_pkts_in_bw", "packets/s", "Packets received per second."),
    _rate("net_pkts_out_bw", "packets/s", "Packets sent per second."),
)
