"""Metrics of the host and its parts."""

from metricwire.catalog.devices import DEVICES
from metricwire.catalog.metric import Metric
from metricwire.catalog.remote import REMOTE


def _cpu(name: str, help: str, dcos: str = "") -> Metric:
    parts = ("core", "socket") if dcos else ()
    return Metric(name, "percent", "gauge", "avg", help, ("node", "hwthread", *parts), dcos, "percent" if dcos else "")


def _memory(name: str, help: str, dcos: str = "", *parts: str) -> Metric:
    return Metric(name, "bytes", "gauge", "sum", help, ("node", *parts), dcos, "bytes" if dcos else "")


def _count(name: str, help: str) -> Metric:
    return Metric(name, "count", "gauge", "sum", help)


def _counter(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help)


def _waited(resource: str, who: str, help: str) -> tuple[Metric, Metric]:
    name = f"pressure_{resource}_{who}"
    return (
        Metric(name, "percent", "gauge", "avg", f"Share of time in which {help}."),
        Metric(f"{name}_time", "seconds", "counter", "sum", f"Time in which {help}."),
    )


def _filesystem(name: str, unit: str, help: str, dcos: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("filesystem",), dcos, "bytes" if unit == "bytes" else "count")


def _interface(name: str, unit: str, help: str, dcos: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("interface",), dcos, "bytes" if unit == "bytes" else "count")


def _rate(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("interface",))


def _pages(name: str, help: str) -> tuple[Metric, Metric]:
    return (
        Metric(f"numastats_{name}", "pages", "counter", "sum", f"{help}.", ("memoryDomain",)),
        Metric(f"numastats_{name}_rate", "pages/s", "gauge", "sum", f"{help}, per second.", ("memoryDomain",)),
    )


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
    _counter("context_switches", "count", "Switches from one task to another."),
    _counter("interrupts", "count", "Interrupts served."),
    _counter("forks", "count", "Processes and threads started."),
    _count("proc_running", "Tasks that run or could run."),
    _count("proc_blocked", "Tasks that wait for I/O."),
    *_waited("cpu", "some", "a task that could run waited for a cpu"),
    *_waited("io", "some", "a task waited for I/O"),
    *_waited("io", "full", "all tasks that had something to do waited for I/O"),
    *_waited("memory", "some", "a task waited for memory"),
    *_waited("memory", "full", "all tasks that had something to do waited for memory"),
    _memory("mem_total", "Physical memory.", "memory.total", "memoryDomain"),
    _memory("mem_free", "Memory used for nothing.", "memory.free", "memoryDomain"),
    _memory("mem_available", "Memory that programs can get without swapping."),
    _memory(
        "mem_used",
        "Memory in use: total - available; of a memory domain total - free - page cache - reclaimable slabs.",
        "",
        "memoryDomain",
    ),
    _memory("mem_buffers", "Memory in block device buffers.", "memory.buffers"),
    _memory(
        "mem_cached",
        "Memory in the page cache and reclaimable slabs; of a memory domain buffers too.",
        "memory.cached",
        "memoryDomain",
    ),
    _memory("mem_shared", "Memory of tmpfs and shared memory."),
    _memory("mem_slab", "Memory of the kernel's own objects."),
    _memory("mem_active", "Memory used lately."),
    _memory("mem_inactive", "Memory not used lately, taken first when some is needed."),
    _memory("mem_dirty", "Memory that waits to be written to disk."),
    _memory("mem_writeback", "Memory that is being written to disk."),
    _memory("mem_anon_pages", "Memory of programs that is in no file."),
    _memory("mem_mapped", "Files that programs have mapped."),
    _memory("mem_locked", "Memory that may not be swapped out."),
    _memory("mem_pagetables", "Memory of page tables."),
    _memory("mem_kernelstack", "Memory of the tasks' kernel stacks."),
    _count("mem_hugepages_total", "Huge pages set aside, of the default size."),
    _count("mem_hugepages_free", "Huge pages set aside and not in use."),
    *_pages("numa_hit", "Pages that were wanted from this domain and came from it"),
    *_pages("numa_miss", "Pages that were wanted from another domain and came from this one"),
    *_pages("numa_foreign", "Pages that were wanted from this domain and came from another"),
    *_pages("interleave_hit", "Pages that interleaving wanted from this domain and got"),
    *_pages("local_node", "Pages of this domain for a task that ran on its cpus"),
    *_pages("other_node", "Pages of this domain for a task that ran elsewhere"),
    _memory("swap_total", "Swap space.", "swap.total"),
    _memory("swap_free", "Swap space not used.", "swap.free"),
    _memory("swap_used", "Swap space in use.", "swap.used"),
    _counter("vm_page_faults", "count", "Page faults, major ones included."),
    _counter("vm_major_page_faults", "count", "Page faults that waited for a disk."),
    _counter("vm_paged_in", "bytes", "Read from disks, by page cache and swap."),
    _counter("vm_paged_out", "bytes", "Written to disks, by page cache and swap."),
    _counter("vm_swapped_in", "bytes", "Read from swap space."),
    _counter("vm_swapped_out", "bytes", "Written to swap space."),
    _counter("vm_oom_kills", "count", "Processes killed because memory was short, also in a container."),
    Metric("load_one", "count", "gauge", "avg", "Load average over 1 minute.", dcos="load.1min", dcos_unit="count"),
    Metric("load_five", "count", "gauge", "avg", "Load average over 5 minutes.", dcos="load.5min", dcos_unit="count"),
    Metric("load_fifteen", "count", "gauge", "avg", "Load average over 15 minutes.", dcos="load.15min", dcos_unit="count"),
    Metric("proc_total", "count", "gauge", "sum", "Processes on the host.", dcos="process.count", dcos_unit="count"),
    Metric("uptime", "seconds", "gauge", None, "Time since the host booted.", dcos="system.uptime", dcos_unit="count"),
    _count("files_open", "Open files of all processes."),
    _count("files_max", "Open files allowed."),
    _count("sockets_used", "Sockets of the host, of all kinds."),
    _count("tcp_in_use", "TCP sockets in use."),
    _count("tcp_orphan", "TCP connections that no process holds any more."),
    _count("tcp_time_wait", "TCP connections that wait for late packets."),
    _memory("tcp_mem", "Memory of TCP buffers."),
    _count("udp_in_use", "UDP sockets in use."),
    _memory("udp_mem", "Memory of UDP buffers."),
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
    *DEVICES,
    *REMOTE,
)
