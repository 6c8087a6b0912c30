"""What a MetricsCluster may say about its agents: what they measure, take from workloads, keep."""

from typing import Annotated, Literal

from msgspec import Meta

from metricsoperator.fields import OPTIONAL_OBJECT_PATTERN, Interval, LabelKey, Part, SpoolSize, described, rule
from metricsoperator.nats import Published
from metricsoperator.pods import AgentPod


class Collectors(Part, frozen=True):
    """What is measured on each node; each can be switched off."""

    cpu: Annotated[
        bool,
        described(
            "Shares of cpu time, of the host, its sockets, cores and hardware threads; context switches, interrupts, forks."
        ),
    ] = True
    memory: Annotated[bool, described("Memory of the host.")] = True
    swap: Annotated[bool, described("Swap space of the host.")] = True
    load: Annotated[bool, described("Load averages.")] = True
    pressure: Annotated[bool, described("How much work waited for cpu, memory and I/O (PSI).")] = True
    paging: Annotated[bool, described("Page faults, paging and swapping.")] = True
    numa: Annotated[bool, described("Memory of each NUMA domain.")] = True
    filesystems: Annotated[bool, described("Space and inodes of each filesystem.")] = True
    disks: Annotated[bool, described("I/O of each disk.")] = True
    network: Annotated[bool, described("Bytes, packets, drops and errors of each interface.")] = True
    sockets: Annotated[bool, described("Sockets in use, by protocol.")] = True
    handles: Annotated[bool, described("Open files.")] = True
    processes: Annotated[bool, described("Number of processes.")] = True
    uptime: Annotated[bool, described("Time since the host booted.")] = True
    temperatures: Annotated[bool, described("Temperatures of whatever has a sensor.")] = True
    energy: Annotated[bool, described("Energy and power of processors (RAPL); only where agents run as root.")] = True
    infiniband: Annotated[bool, described("Traffic and errors of each InfiniBand port.")] = True
    nfs: Annotated[bool, described("Calls of the NFS client.")] = True
    nfsmounts: Annotated[bool, described("Bytes read from and written to each NFS server's export.")] = True
    lustre: Annotated[bool, described("What the Lustre client does, by filesystem.")] = True
    nvidia: Annotated[
        bool, described("Use, memory, power, temperature and errors of each NVIDIA GPU, and which containers use it.")
    ] = True


class Spool(Part, frozen=True):
    """Where an agent keeps samples that the store has not acknowledged."""

    size: Annotated[SpoolSize, described("Space on each node; when it is full the oldest samples go first.")] = "64Mi"


class Delivery(Part, frozen=True):
    """How samples get from the agents to the store."""

    by: Annotated[
        Literal["HTTP", "NATS"],
        described(
            "HTTP: to the store itself, which lets an agent write its own node alone. NATS: to spec.nats.url, from where this"
            " store, or another, takes them; whoever may publish there may write anything."
        ),
    ] = "HTTP"
    subject: Annotated[Published, described("NATS subject that agents publish to; needed with NATS.")] = ""
    acknowledged: Annotated[
        bool,
        described(
            "Whether samples stay in the spool until a JetStream stream has acknowledged them; false: core NATS, where they are"
            " lost when nobody listens."
        ),
    ] = True


class Containers(Part, frozen=True):
    """What is measured of the containers on each node."""

    enabled: Annotated[bool, described("Whether containers are measured: cpu, memory, limits, block I/O, network of each.")] = (
        True
    )
    labels: Annotated[
        tuple[LabelKey, ...],
        Meta(max_length=20),
        described("Keys of the pod labels that containers carry along, as `label_<key>` in Prometheus and in DC/OS' labels."),
    ] = ("app.kubernetes.io/name",)


class StatsD(Part, frozen=True):
    """Metrics of the workloads themselves, which they send to their node's agent as StatsD or DogStatsD over UDP."""

    enabled: Annotated[bool, described("Whether agents take StatsD.")] = True
    port: Annotated[
        int,
        Meta(ge=1024, le=65535, extra={"expected": "a port from 1024 to 65535"}),
        described("UDP port of the agents' Service, and of the nodes with hostPort."),
    ] = 8125
    host_port: Annotated[
        bool,
        described("Whether the port is also one of each node's own address, for workloads on the host's network."),
    ] = False
    series_per_pod: Annotated[
        int, Meta(ge=1, le=1_000_000), described("Most series of a pod; a timer counts as the 8 it makes. More are dropped.")
    ] = 2000
    bytes_per_pod: Annotated[
        int,
        Meta(ge=0, le=1024**3),
        described("Most bytes of names and tags of a pod; more series are dropped. 0: 128 for each of seriesPerPod."),
    ] = 0


class Textfile(Part, frozen=True):
    """Metrics of the host that others write into files: `*.prom` as for node_exporter, and `*.lp`, line protocol."""

    directory: Annotated[
        str,
        Meta(
            pattern=r"^(/[A-Za-z0-9_][-A-Za-z0-9_.]*)*$",
            max_length=1023,
            extra={"expected": "a folder such as /var/lib/node_exporter, or nothing"},
        ),
        described("Folder on each node, readable by all; a node without it has none. Empty: no files are read."),
    ] = ""


class Scrape(Part, frozen=True):
    """Pods annotated `prometheus.io/scrape: "true"`, scraped by their node's agent into their containers' numbers."""

    enabled: Annotated[bool, described("Whether such pods are scraped; agents may then connect to every pod.")] = False
    interval: Annotated[Interval | None, described("Time between two scrapes of a pod; none: nodeAgent.interval.")] = None
    series_per_pod: Annotated[
        int, Meta(ge=1, le=1_000_000), described("Most samples of a pod; of one that has more nothing is taken.")
    ] = 1000
    bytes_per_pod: Annotated[
        int,
        Meta(ge=0, le=1024**3),
        described(
            "Most bytes of names and labels of a pod; of one that has more nothing is taken. 0: 256 for each of seriesPerPod."
        ),
    ] = 0


class Nvidia(Part, frozen=True):
    """What agents need to see NVIDIA GPUs."""

    runtime_class_name: Annotated[
        str,
        Meta(pattern=OPTIONAL_OBJECT_PATTERN, max_length=253, extra={"expected": "a RuntimeClass"}),
        described(
            "RuntimeClass of NVIDIA's container toolkit, which gives agents the driver's library and all devices; every node"
            " with an agent must have it. Empty: GPUs are not seen."
        ),
    ] = ""


NODE_AGENT_RULES = [
    rule(
        "!has(self.hostMounts) || self.hostMounts || !has(self.textfile) || !has(self.textfile.directory) ||"
        " self.textfile.directory == ''",
        "spec.nodeAgent.textfile.directory: expected nothing where hostMounts is false",
    )
]


class NodeAgent(Part, frozen=True):
    """The node agent: one pod on every node."""

    interval: Annotated[
        Interval, described("Time between two measurements, and so the frequency of the catalogue's metrics.")
    ] = "10s"
    host_mounts: Annotated[
        bool,
        described(
            "Whether agents see /proc, /sys and / of their node through read-only mounts, which Pod Security `restricted` does"
            " not allow. false: they run under it, and do not measure containers, filesystems, network, sockets, processes, NFS"
            " and Lustre."
        ),
    ] = True
    collectors: Annotated[Collectors, described("What is measured.")] = Collectors()
    containers: Annotated[Containers, described("What is measured of containers.")] = Containers()
    statsd: Annotated[
        StatsD,
        described(
            "Metrics that workloads send.",
            rules=[
                rule(
                    "!has(self.hostPort) || !self.hostPort || !has(self.enabled) || self.enabled",
                    "spec.nodeAgent.statsd.hostPort: expected false where enabled is false",
                )
            ],
        ),
    ] = StatsD()
    textfile: Annotated[Textfile, described("Metrics from files on the nodes.")] = Textfile()
    scrape: Annotated[Scrape, described("Metrics of pods that ask to be scraped.")] = Scrape()
    nvidia: Annotated[Nvidia, described("NVIDIA GPUs.")] = Nvidia()
    delivery: Annotated[
        Delivery,
        described(
            "How samples get to the store.",
            rules=[
                rule(
                    "!has(self.by) || self.by != 'NATS' || (has(self.subject) && self.subject != '')",
                    "spec.nodeAgent.delivery.subject: expected a NATS subject where by is NATS",
                )
            ],
        ),
    ] = Delivery()
    spool: Annotated[Spool, described("What outlasts an outage of the store.")] = Spool()
    max_unavailable: Annotated[
        str,
        Meta(
            pattern=r"^([1-9][0-9]{0,3}|([1-9][0-9]?|100)%)$",
            max_length=4,
            extra={"expected": "a number or a percentage such as 3 or 10%"},
        ),
        described("How many nodes may be without an agent while agents are updated: a number or a percentage."),
    ] = "10%"
    pod: Annotated[AgentPod, described("Resources, placement, labels of its pods.")] = AgentPod()

    @property
    def measures_containers(self) -> bool:
        """Their cgroups are found below the node's /sys alone."""
        return self.containers.enabled and self.host_mounts
