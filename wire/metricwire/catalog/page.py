"""The catalogue as a page of the documentation, docs/metrics.md (`make generate`)."""

from collections.abc import Iterable

from metricwire.catalog.accelerators import ACCELERATORS
from metricwire.catalog.containers import CONTAINERS
from metricwire.catalog.devices import DEVICES
from metricwire.catalog.host import HOST
from metricwire.catalog.metric import Metric
from metricwire.catalog.remote import REMOTE

INTRODUCTION = """# Metrics

Made from `wire/metricwire/catalog/` by `make generate`; do not edit.

What the node agent measures. Names are ClusterCockpit's where cc-metric-collector has one, cAdvisor's for containers. Shares of
time are percent; all other units are base units (bytes, seconds, hertz, watts, joules, degrees Celsius), where
cc-metric-collector has MB, ms or sectors too. A counter grows until its source restarts. Where ClusterCockpit's name means a
rate (`_bw`, `_rate`), it is the change per second of the counter of that name since the last sample. *Aggregation* says how the
samples of parts make that of the host.

*At* says at what a metric is measured:

| at | in line protocol |
|---|---|
| node | the host |
| hwthread | `type=hwthread,type-id=<number>`: a hardware thread, by the kernel's number |
| core | `type=core,type-id=<number>`: a core; counted in the order of their first threads, as ClusterCockpit does |
| socket | `type=socket,type-id=<number>`: a processor |
| memoryDomain | `type=memoryDomain,type-id=<number>`: a NUMA domain |
| accelerator | `type=accelerator,type-id=<PCI address>`: a GPU; below a container `stype=accelerator,stype-id=<PCI address>` |
| container | `type=container,type-id=<64 hex digits>` |
| filesystem | `stype=filesystem,stype-id=<mount point>`; of NFS the export `server:/path`, of Lustre its name |
| interface | `stype=interface,stype-id=<name>` |
| device | `stype=device,stype-id=<name>`: a disk |
| sensor | `stype=sensor,stype-id=<chip>/<label>`, as `coretemp.0/Package id 0` |
| domain | `type=socket,type-id=<number>,stype=domain,stype-id=<core, uncore or dram>` |
| infiniband | `stype=infiniband,stype-id=<device>:<port>` |
"""

HEAD = "| metric | unit | kind | aggregation | at | in DC/OS | meaning |\n|---|---|---|---|---|---|---|\n"


def page() -> str:
    """The page, in Markdown."""
    elsewhere = {metric.name for metric in (*DEVICES, *REMOTE)}
    sections = {
        "The host": [metric for metric in HOST if metric.name not in elsewhere],
        "Disks, sensors, energy, InfiniBand": DEVICES,
        "NFS and Lustre": REMOTE,
        "GPUs": ACCELERATORS,
        "Containers": CONTAINERS,
    }
    return INTRODUCTION + "".join(f"\n## {title}\n\n{table(metrics)}" for title, metrics in sections.items())


def table(metrics: Iterable[Metric]) -> str:
    """A row per metric."""
    return HEAD + "".join(map(row, metrics))


def row(metric: Metric) -> str:
    """Its row."""
    dcos = f"`{metric.dcos}`" if metric.dcos else ""
    cells = (f"`{metric.name}`", metric.unit, metric.kind, metric.aggregation or "", ", ".join(metric.at), dcos, metric.help)
    return f"| {' | '.join(cells)} |\n"
