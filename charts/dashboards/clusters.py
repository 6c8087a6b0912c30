"""A whole cluster at a glance, and one of its nodes in detail."""

from dashboards.grafana import Choice, Dashboard, Panel, Row, stat

CLUSTER = Choice("cluster", "Cluster", "label_values(num_cpus, cluster)")
NODE = Choice("node", "Node", 'label_values(num_cpus{cluster="$cluster"}, hostname)')
WARN, BAD = "orange", "red"


def of_nodes(metric: str, more: str = "") -> str:
    """One value for each node of the chosen cluster."""
    return f'max by (hostname) ({metric}{{cluster="$cluster", type="", stype=""{more}}})'


def below(metric: str, *labels: str, more: str = "") -> str:
    """One value for each part (interface, device ...) of each node of the chosen cluster."""
    return f'max by ({", ".join(("hostname", "stype_id", *labels))}) ({metric}{{cluster="$cluster", type=""{more}}})'


def here(metric: str) -> str:
    """The chosen node's own value."""
    return f'max({metric}{{cluster="$cluster", hostname="$node", type="", stype=""}})'


def rate_here(metric: str) -> str:
    """Of a counter of the chosen node, per second."""
    return f'max(rate({metric}{{cluster="$cluster", hostname="$node", type="", stype=""}}[$__rate_interval]))'


def parts_here(metric: str, label: str = "stype_id", more: str = 'type=""') -> str:
    """One value for each part of the chosen node."""
    return f'max by ({label}) ({metric}{{cluster="$cluster", hostname="$node", {more}}})'


def rate_of_parts(metric: str) -> str:
    """Of a counter of each part of the chosen node, per second."""
    return f'max by (stype_id) (rate({metric}{{cluster="$cluster", hostname="$node", type=""}}[$__rate_interval]))'


FILLED = "{0} / ({0} + {1})".format(below("disk_used"), below("disk_free"))
FILLED_HERE = f"100 * {parts_here('disk_used')} / ({parts_here('disk_used')} + {parts_here('disk_free')})"
SHARE_OF_MEMORY = f"100 * {of_nodes('mem_used')} / {of_nodes('mem_total')}"

OVERVIEW = Dashboard(
    "overview",
    "Cluster",
    "All nodes of a cluster together, and which of them stand out.",
    [CLUSTER],
    [
        Row(
            "Now",
            [
                stat("Nodes that report", f"count({of_nodes('num_cpus')})", width=4),
                stat("Hardware threads", f"sum({of_nodes('num_cpus')})", width=4),
                stat("Memory", f"sum({of_nodes('mem_total')})", "bytes", width=4),
                stat("Containers", 'count(count by (type_id) (container_processes{cluster="$cluster"}))', width=4),
                stat("CPU in use", f"avg({of_nodes('cpu_used')})", "percent", width=4, limits={WARN: 80.0, BAD: 95.0}),
                stat(
                    "Memory in use",
                    f"100 * sum({of_nodes('mem_used')}) / sum({of_nodes('mem_total')})",
                    "percent",
                    width=4,
                    limits={WARN: 80.0, BAD: 95.0},
                ),
            ],
        ),
        Row(
            "Nodes that stand out",
            [
                Panel("Most CPU", {f"topk(10, {of_nodes('cpu_used')})": "{{hostname}}"}, "percent", "bargauge"),
                Panel("Most memory", {f"topk(10, {SHARE_OF_MEMORY})": "{{hostname}}"}, "percent", "bargauge"),
                Panel(
                    "Fullest filesystems",
                    {f"topk(10, 100 * {FILLED})": "{{hostname}} {{stype_id}}"},
                    "percent",
                    "bargauge",
                    limits={WARN: 80.0, BAD: 95.0},
                ),
                Panel(
                    "Load for each hardware thread",
                    {f"topk(10, {of_nodes('load_one')} / {of_nodes('num_cpus')})": "{{hostname}}"},
                    kind="bargauge",
                ),
                Panel(
                    "Longest waiting for I/O",
                    {f"topk(10, {of_nodes('cpu_iowait')})": "{{hostname}}"},
                    "percent",
                    "bargauge",
                ),
                Panel(
                    "Processes killed for want of memory, last hour",
                    {'topk(10, max by (hostname) (increase(vm_oom_kills{cluster="$cluster"}[1h])))': "{{hostname}}"},
                    kind="bargauge",
                    limits={BAD: 1.0},
                ),
            ],
        ),
        Row(
            "Over time",
            [
                Panel(
                    "CPU in use",
                    {
                        f"avg({of_nodes('cpu_used')})": "mean of nodes",
                        f"max({of_nodes('cpu_used')})": "busiest node",
                        f"min({of_nodes('cpu_used')})": "idlest node",
                    },
                    unit="percent",
                ),
                Panel(
                    "Memory",
                    {f"sum({of_nodes('mem_used')})": "in use", f"sum({of_nodes('mem_total')})": "there is"},
                    "bytes",
                    least=0.0,
                ),
                Panel(
                    "Load",
                    {f"sum({of_nodes('load_one')})": "1 minute", f"sum({of_nodes('num_cpus')})": "hardware threads"},
                    least=0.0,
                ),
                Panel(
                    "Network",
                    {
                        f"sum({below('net_bytes_in_bw')})": "received",
                        f"sum({below('net_bytes_out_bw')})": "sent",
                    },
                    "Bps",
                ),
                Panel(
                    "Disks",
                    {f"sum({below('io_read_bw')})": "read", f"sum({below('io_write_bw')})": "written"},
                    "Bps",
                ),
                Panel(
                    "Power",
                    {
                        'sum(max by (hostname, type_id) (rapl_average_power{cluster="$cluster", stype=""}))': "processors",
                        'sum(max by (hostname, type_id) (acc_power{cluster="$cluster"}))': "GPUs",
                    },
                    "watt",
                    about="As far as nodes let it be read: docs/kubernetes.md.",
                ),
            ],
        ),
    ],
)

_CPU = {here(f"cpu_{mode}"): mode for mode in ("user", "nice", "system", "irq", "softirq", "iowait", "steal")}
_PRESSURE = {here(f"pressure_{what}_some"): what for what in ("cpu", "io", "memory")}
_MEMORY = {here(f"mem_{what}"): what for what in ("used", "buffers", "cached", "free")}

NODES = Dashboard(
    "node",
    "Node",
    "One node: processors, memory, disks, network, sensors, GPUs.",
    [CLUSTER, NODE],
    [
        Row(
            "Processors and memory",
            [
                Panel("CPU time", _CPU, stacked=True, unit="percent"),
                Panel(
                    "Hardware threads",
                    {parts_here("cpu_used", "type_id", 'type="hwthread"'): "{{type_id}}"},
                    unit="percent",
                    about="Share of time in which each was in use.",
                ),
                Panel(
                    "Load", {here("load_one"): "1 minute", here("load_five"): "5 minutes", here("num_cpus"): "hardware threads"}
                ),
                Panel("Memory", _MEMORY, "bytes", least=0.0),
                Panel("Swap", {here("swap_used"): "in use", here("swap_total"): "there is"}, "bytes", least=0.0),
                Panel("Waiting (pressure)", _PRESSURE, unit="percent", about="Share of time in which some task had to wait."),
                Panel("Tasks", {here("proc_running"): "run or could run", here("proc_blocked"): "wait for I/O"}),
                Panel("Context switches", {rate_here("context_switches"): "a second"}),
                Panel("Page faults that waited for a disk", {rate_here("vm_major_page_faults"): "a second"}),
            ],
        ),
        Row(
            "Disks",
            [
                Panel(
                    "Filesystems",
                    {FILLED_HERE: "{{stype_id}}"},
                    "percent",
                    "bargauge",
                    limits={WARN: 80.0, BAD: 95.0},
                ),
                Panel(
                    "Read and written",
                    {parts_here("io_read_bw"): "{{stype_id}} read", parts_here("io_write_bw"): "{{stype_id}} written"},
                    "Bps",
                ),
                Panel("Busy", {parts_here("io_busy"): "{{stype_id}}"}, unit="percent"),
                Panel(
                    "NFS",
                    {
                        parts_here("nfsio_nfsread_bw"): "{{stype_id}} read",
                        parts_here("nfsio_nfswrite_bw"): "{{stype_id}} written",
                    },
                    "Bps",
                ),
                Panel(
                    "Lustre",
                    {parts_here("lustre_read_bw"): "{{stype_id}} read", parts_here("lustre_write_bw"): "{{stype_id}} written"},
                    "Bps",
                ),
                Panel("Open files", {here("files_open"): "open", here("files_max"): "allowed"}),
            ],
        ),
        Row(
            "Network",
            [
                Panel(
                    "Interfaces",
                    {
                        parts_here("net_bytes_in_bw"): "{{stype_id}} received",
                        parts_here("net_bytes_out_bw"): "{{stype_id}} sent",
                    },
                    "Bps",
                ),
                Panel(
                    "Lost packets",
                    {
                        rate_of_parts("net_drops_in"): "{{stype_id}} dropped, in",
                        rate_of_parts("net_drops_out"): "{{stype_id}} dropped, out",
                        rate_of_parts("net_errors_in"): "{{stype_id}} errors, in",
                        rate_of_parts("net_errors_out"): "{{stype_id}} errors, out",
                    },
                    "pps",
                ),
                Panel(
                    "InfiniBand",
                    {parts_here("ib_recv_bw"): "{{stype_id}} received", parts_here("ib_xmit_bw"): "{{stype_id}} sent"},
                    "Bps",
                ),
                Panel("TCP", {here("tcp_in_use"): "in use", here("tcp_time_wait"): "time-wait", here("tcp_orphan"): "orphans"}),
            ],
        ),
        Row(
            "Sensors and GPUs",
            [
                Panel("Temperatures", {parts_here("temp"): "{{stype_id}}"}, "celsius"),
                Panel(
                    "Power of processors",
                    {parts_here("rapl_average_power", "type_id", 'type="socket", stype=""'): "socket {{type_id}}"},
                    "watt",
                ),
                Panel("GPUs", {parts_here("acc_utilization", "type_id", 'type="accelerator"'): "{{type_id}}"}, unit="percent"),
                Panel(
                    "Memory of GPUs",
                    {parts_here("acc_mem_used", "type_id", 'type="accelerator"'): "{{type_id}}"},
                    "bytes",
                ),
                Panel("Power of GPUs", {parts_here("acc_power", "type_id", 'type="accelerator"'): "{{type_id}}"}, "watt"),
                Panel(
                    "Temperature of GPUs", {parts_here("nv_temp", "type_id", 'type="accelerator"'): "{{type_id}}"}, "celsius"
                ),
            ],
        ),
    ],
)
