"""The operator: whether each MetricsCluster is as it should be, and what keeping it so takes."""

from dashboards.clusters import BAD, WARN
from dashboards.grafana import Dashboard, Panel, Row, stat
from dashboards.programs import CHOSEN, OPERATOR, rate, value

READY = f"max by (namespace, name) (metricsoperator_ready{{{CHOSEN}}})"
AGE = f"time() - (max by (namespace, name) (metricsoperator_last_success_timestamp_seconds{{{CHOSEN}}}) > 0)"
ITSELF = f"metricsoperator_build_info{{{CHOSEN}}}"  # process_* is what any program calls its own
NAME = "{{namespace}}/{{name}}"


def duration(quantile: str) -> str:
    """Of a turn, in seconds."""
    buckets = f"sum by (le) (rate(metricsoperator_reconcile_duration_seconds_bucket{{{CHOSEN}}}[$__rate_interval]))"
    return f"histogram_quantile({quantile}, {buckets})"


OPERATORS = Dashboard(
    "operator",
    "Operator",
    "Whether each MetricsCluster is as it should be, and what keeping it so takes.",
    [OPERATOR],
    [
        Row(
            "Now",
            [
                stat("MetricsClusters", f"count({READY})"),
                stat("Not Ready", f"count({READY}) - sum({READY})", limits={BAD: 1.0}),
                stat("Waiting for their turn", f"sum({value('metricsoperator_queue_depth')})"),
                stat("Longest without success", f"max({AGE})", "s", limits={WARN: 300.0, BAD: 900.0}),
                Panel("Each", {READY: "Ready", AGE: "seconds since the last success"}, kind="table", width=24),
            ],
        ),
        Row(
            "Work",
            [
                Panel("Ready", {READY: NAME}, least=0.0, most=1.0),
                Panel(
                    "Turns",
                    {rate("metricsoperator_reconciles_total", "result"): "{{result}}"},
                    about="Looks at a MetricsCluster and its objects, a second, by how they ended.",
                ),
                Panel("Errors", {rate("metricsoperator_reconcile_errors_total", "reason"): "{{reason}}"}),
                Panel("Duration of a turn", {duration("0.5"): "half are shorter", duration("0.99"): "99 % are shorter"}, "s"),
                Panel(
                    "Requests to the API server",
                    {rate("metricsoperator_api_requests_total", "verb", "code"): "{{verb}} {{code}}"},
                ),
                Panel("What watches say", {rate("metricsoperator_watch_events_total", "kind"): "{{kind}}"}),
                Panel("Lists of everything", {rate("metricsoperator_lists_total", "result"): "{{result}}"}),
                Panel("CPUs", {f"{rate('process_cpu_seconds_total')} and on (instance) {ITSELF}": "{{instance}}"}),
                Panel(
                    "Memory", {f"{value('process_resident_memory_bytes')} and on (instance) {ITSELF}": "{{instance}}"}, "bytes"
                ),
            ],
        ),
    ],
)
