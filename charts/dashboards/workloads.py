"""What runs on the nodes: containers, and the pods they belong to."""

from dashboards.clusters import BAD, CLUSTER, WARN
from dashboards.grafana import Choice, Dashboard, Panel, Row, stat

NAMESPACE = Choice("namespace", "Namespace", 'label_values(container_processes{cluster="$cluster"}, namespace)', several=True)
POD = Choice("pod", "Pod", 'label_values(container_processes{cluster="$cluster", namespace=~"$namespace"}, pod)', several=True)
CHOSEN = 'cluster="$cluster", namespace=~"$namespace", pod=~"$pod"'
WHOSE = "namespace, pod, container"


def value(metric: str) -> str:
    """Of each chosen container, under the name of its pod."""
    return f"sum by ({WHOSE}) (max by (type_id, {WHOSE}) ({metric}{{{CHOSEN}}}))"


def rate(metric: str) -> str:
    """Of a counter of each chosen container, per second."""
    return f"sum by ({WHOSE}) (max by (type_id, {WHOSE}) (rate({metric}{{{CHOSEN}}}[$__rate_interval])))"


def of_pods(metric: str) -> str:
    """Of a counter that all containers of a pod share, per second: once for each pod."""
    return f"max by (namespace, pod) (rate({metric}{{{CHOSEN}}}[$__rate_interval]))"


def of_devices(metric: str) -> str:
    """Of a counter of each device of a container, per second, all devices together."""
    return f"sum by ({WHOSE}) (max by (type_id, stype_id, {WHOSE}) (rate({metric}{{{CHOSEN}}}[$__rate_interval])))"


NAME = "{{namespace}}/{{pod}}/{{container}}"
CPU = rate("container_cpu_usage_seconds_total")
MEMORY = value("container_memory_working_set_bytes")
LIMIT = value("container_spec_memory_limit_bytes")
THROTTLED = f"100 * {rate('container_cpu_cfs_throttled_periods_total')} / ({rate('container_cpu_cfs_periods_total')} > 0)"

CONTAINERS = Dashboard(
    "containers",
    "Containers",
    "What containers use, by the pod they belong to.",
    [CLUSTER, NAMESPACE, POD],
    [
        Row(
            "Now",
            [
                stat("Containers", f"count({value('container_processes')})"),
                stat("CPUs in use", f"sum({CPU})"),
                stat("Memory in use", f"sum({MEMORY})", "bytes"),
                stat(
                    "Killed for want of memory, last hour",
                    f"sum(max by (type_id) (increase(container_oom_events_total{{{CHOSEN}}}[1h])))",
                    limits={BAD: 1.0},
                ),
            ],
        ),
        Row(
            "Which use most",
            [
                Panel("CPUs", {f"topk(10, {CPU})": NAME}, kind="bargauge"),
                Panel("Memory", {f"topk(10, {MEMORY})": NAME}, "bytes", "bargauge"),
                Panel(
                    "Nearest to their memory limit",
                    {f"topk(10, 100 * {MEMORY} / ({LIMIT} > 0))": NAME},
                    "percent",
                    "bargauge",
                    limits={WARN: 80.0, BAD: 95.0},
                ),
                Panel(
                    "All",
                    {
                        f"sort_desc({CPU})": "CPUs",
                        MEMORY: "memory, bytes",
                        LIMIT: "limit, bytes",
                        value("container_threads"): "threads",
                    },
                    kind="table",
                    width=24,
                ),
            ],
        ),
        Row(
            "Over time",
            [
                Panel("CPUs", {CPU: NAME}, stacked=True),
                Panel("Memory", {MEMORY: NAME}, "bytes", stacked=True),
                Panel(
                    "Throttled",
                    {THROTTLED: NAME},
                    "percent",
                    about="Share of the periods in which the container had used up its CPU limit.",
                ),
                Panel("Received", {of_pods("container_network_receive_bytes_total"): "{{namespace}}/{{pod}}"}, "Bps"),
                Panel("Sent", {of_pods("container_network_transmit_bytes_total"): "{{namespace}}/{{pod}}"}, "Bps"),
                Panel(
                    "Disks",
                    {
                        of_devices("container_fs_reads_bytes_total"): f"{NAME} read",
                        of_devices("container_fs_writes_bytes_total"): f"{NAME} written",
                    },
                    "Bps",
                ),
            ],
        ),
    ],
)
