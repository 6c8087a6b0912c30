"""The programs themselves: stores, agents, the operator."""

from dashboards.clusters import BAD, WARN
from dashboards.grafana import Choice, Dashboard, Panel, Row, stat

STORE = Choice("instance", "Store", "label_values(metricstore_build_info, instance)", several=True)
AGENT = Choice("instance", "Agent", "label_values(metricagent_store_reached, instance)", several=True)
OPERATOR = Choice("instance", "Operator", "label_values(metricsoperator_build_info, instance)", several=True)
CHOSEN = 'instance=~"$instance"'


def value(metric: str, *by: str, more: str = "") -> str:
    """Of each chosen program."""
    return f"sum by ({', '.join(('instance', *by))}) ({metric}{{{CHOSEN}{more}}})"


def rate(metric: str, *by: str, more: str = "") -> str:
    """Of a counter of the chosen programs, per second, all of them together."""
    return f"sum by ({', '.join(by or ('instance',))}) (rate({metric}{{{CHOSEN}{more}}}[$__rate_interval]))"


def of_agents(metric: str) -> str:
    """Of each chosen agent, under the name of its node."""
    return value(metric, "hostname")


def rate_of_agents(metric: str) -> str:
    """Of a counter of each chosen agent, per second."""
    return rate(metric, "instance", "hostname")


STATSD_SHARE = f"100 * {of_agents('metricagent_statsd_series')} / {of_agents('metricagent_statsd_series_limit')}"
AGENT_NAME = "{{hostname}} {{instance}}"

STORES = Dashboard(
    "store",
    "Store",
    "What a store takes in, answers and keeps, and how far it is from its limits.",
    [STORE],
    [
        Row(
            "Now",
            [
                Panel("Version", {f"metricstore_build_info{{{CHOSEN}}}": "{{version}}"}, kind="table", width=6),
                stat("Lines a second", f"sum({rate('metricstore_lines_received_total')})", width=4),
                stat(
                    "Series, of those allowed",
                    f"100 * {value('metricstore_series')} / {value('metricstore_series_limit')}",
                    "percent",
                    legend="{{instance}}",
                    width=4,
                    limits={WARN: 80.0, BAD: 95.0},
                ),
                stat(
                    "Takes no samples: disk full",
                    value("metricstore_read_only"),
                    legend="{{instance}}",
                    width=5,
                    limits={BAD: 1.0},
                ),
                stat(
                    "Damaged places on disk",
                    value("metricstore_damaged_total"),
                    legend="{{instance}}",
                    width=5,
                    limits={WARN: 1.0},
                ),
            ],
        ),
        Row(
            "Writing",
            [
                Panel("Lines", {rate("metricstore_lines_total", "outcome"): "{{outcome}}"}, stacked=True),
                Panel("Lines refused", {rate("metricstore_lines_total", "reason", more=', outcome="rejected"'): "{{reason}}"}),
                Panel(
                    "Disk",
                    {
                        rate("metricstore_commits_total"): "{{instance}} syncs",
                        rate("metricstore_seals_total"): "{{instance}} seals",
                    },
                    about="Syncs of the log, and sealings of memory into blocks, a second.",
                ),
                Panel("Samples that wait for the disk", {value("metricstore_waiting_samples"): "{{instance}}"}),
                Panel("Series", {value("metricstore_series"): "{{instance}}", value("metricstore_series_limit"): "limit"}),
                Panel(
                    "Logins",
                    {rate("metricstore_logins_total", "outcome"): "{{outcome}}"},
                    about="Attempts to log in, a second, by what became of them.",
                ),
            ],
        ),
        Row(
            "Answering",
            [
                Panel("Requests", {rate("metricstore_requests_total", "route"): "{{route}}"}),
                Panel(
                    "Requests that failed",
                    {rate("metricstore_requests_total", "route", "status", more=', status=~"[45].."'): "{{status}} {{route}}"},
                ),
                Panel(
                    "Mean time to an answer",
                    {
                        f"{rate('metricstore_request_seconds_total', 'route')} / "
                        f"({rate('metricstore_requests_total', 'route')} > 0)": "{{route}}"
                    },
                    "s",
                ),
            ],
        ),
        Row(
            "Memory and disk",
            [
                Panel("Open windows", {value("metricstore_window_bytes"): "{{instance}}"}, "bytes"),
                Panel(
                    "On disk",
                    {
                        value("metricstore_block_bytes"): "{{instance}} blocks",
                        value("metricstore_log_bytes"): "{{instance}} log",
                    },
                    "bytes",
                ),
                Panel("Room on the volume", {value("metricstore_disk_free_bytes"): "{{instance}}"}, "bytes", least=0.0),
            ],
        ),
        Row(
            "NATS",
            [
                Panel("Connected", {value("metricstore_nats_connected"): "{{instance}}"}, least=0.0, most=1.0),
                Panel("Messages", {rate("metricstore_nats_messages_total", "outcome"): "{{outcome}}"}),
                Panel("Lines lost", {rate("metricstore_nats_lost_lines_total", "reason"): "{{reason}}"}),
            ],
        ),
    ],
)

AGENTS = Dashboard(
    "agents",
    "Agents",
    "Whether what nodes measure reaches the store, and what measuring costs.",
    [AGENT],
    [
        Row(
            "Now",
            [
                stat("Agents", f"count(metricagent_store_reached{{{CHOSEN}}})"),
                stat(
                    "Agents whose store does not take samples",
                    f"sum(1 - metricagent_store_reached{{{CHOSEN}}})",
                    limits={BAD: 1.0},
                ),
                stat(
                    "Samples given up, last hour",
                    f"sum(increase(metricagent_samples_dropped_total{{{CHOSEN}}}[1h]))",
                    limits={BAD: 1.0},
                ),
                stat("Collectors that fail", f"sum(1 - metricagent_collector_success{{{CHOSEN}}})", limits={WARN: 1.0}),
            ],
        ),
        Row(
            "Samples",
            [
                Panel(
                    "On their way",
                    {
                        f"sum({rate('metricagent_samples_sampled_total')})": "taken",
                        f"sum({rate('metricagent_samples_delivered_total')})": "acknowledged",
                    },
                    about="A second, of all chosen agents.",
                ),
                Panel(
                    "Lost",
                    {
                        rate("metricagent_samples_dropped_total", "reason"): "given up: {{reason}}",
                        f"sum({rate('metricagent_samples_rejected_total')})": "refused by the store",
                    },
                ),
                Panel("Waiting on disk", {f"topk(10, {of_agents('metricagent_samples_spooled')})": AGENT_NAME}),
                Panel("Requests to the store", {rate("metricagent_store_requests_total", "outcome"): "{{outcome}}"}),
                Panel("Spool", {f"topk(10, {of_agents('metricagent_spool_bytes')})": AGENT_NAME}, "bytes"),
                Panel("Ticks left out", {f"topk(10, {rate_of_agents('metricagent_ticks_skipped_total')})": AGENT_NAME}),
            ],
        ),
        Row(
            "What measuring takes",
            [
                Panel(
                    "Slowest collectors",
                    {f"topk(10, max by (collector) (metricagent_collector_duration_seconds{{{CHOSEN}}}))": "{{collector}}"},
                    "s",
                ),
                Panel("CPUs", {f"topk(10, {rate_of_agents('metricagent_process_cpu_seconds_total')})": AGENT_NAME}),
                Panel("Memory", {f"topk(10, {of_agents('metricagent_process_resident_memory_bytes')})": AGENT_NAME}, "bytes"),
            ],
        ),
        Row(
            "Workloads",
            [
                Panel("Pods known", {of_agents("metricagent_pods_known"): AGENT_NAME}),
                Panel("StatsD packets", {rate("metricagent_statsd_packets_total", "outcome"): "{{outcome}}"}),
                Panel(
                    "StatsD values of nobody known",
                    {f"topk(10, {rate_of_agents('metricagent_statsd_unknown_total')})": AGENT_NAME},
                ),
                Panel("Scrapes of pods", {rate("metricagent_scrapes_total", "outcome"): "{{outcome}}"}),
                Panel("Pods that ask to be scraped", {of_agents("metricagent_scrape_pods"): AGENT_NAME}),
                Panel(
                    "StatsD series, of those allowed",
                    {STATSD_SHARE: AGENT_NAME},
                    "percent",
                ),
            ],
        ),
    ],
)
