"""The store's settings: cc-metric-store's `config.json` as it is, with ours added under `metric-store`.

Every field has a default that holds on a small node. Durations are Go duration strings ("48h"), with `d` for days.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from metricwire import units
from metricwire.errors import BadInput, SettingsError
from metricwire.settings import convert

Positive = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]
NatsSubject = Annotated[str, Meta(pattern=r"^[^\s.]+(\.[^\s.]+)*$")]
NatsName = Annotated[str, Meta(pattern=r"^[^\s.*>/\\]*$")]  # of streams, consumers and queue groups


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one metric is kept."""

    frequency: Annotated[int, Meta(ge=1, le=86400, description="Seconds between two samples of a series.")]
    aggregation: Annotated[
        Literal["sum", "avg", ""] | None,
        Meta(description="How series of one query are put together: sum, avg, or not at all."),
    ] = None
    unit: Annotated[
        str,
        Meta(max_length=32, pattern=r"^[ -~]*$", description="Unit, said in /metrics where the metric is not built in."),
    ] = ""


class Main(msgspec.Struct, frozen=True, rename="kebab"):
    """cc-metric-store's section `main`."""

    addr: Annotated[str, Meta(description="Address and port of the API.")] = "0.0.0.0:8082"
    https_cert_file: Annotated[
        str, Meta(description="PEM certificate; with it the API speaks TLS only. Read again when changed, as the key is.")
    ] = ""
    https_key_file: Annotated[str, Meta(description="PEM key of that certificate; empty: it is in the same file.")] = ""
    jwt_public_key: Annotated[str, Meta(description="Ed25519 key that tokens are checked with: base64 of its 32 bytes.")] = ""


class Limits(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What one client, or all together, may ask for. A refusal names the limit."""

    body_bytes: Annotated[Positive, Meta(description="Size of a request body, after decompression.")] = 16 * 1024**2
    body_ratio: Annotated[
        Positive, Meta(description="Times its size that a body above 64 KiB may have after decompression.")
    ] = 100
    series: Annotated[Positive, Meta(description="Series kept; lines that would start another are refused.")] = 1_000_000
    line_bytes: Annotated[Positive, Meta(description="Size of one line of line protocol.")] = 65536
    tags: Annotated[Positive, Meta(description="Tags of one line.")] = 32
    queries: Annotated[
        Positive, Meta(description="Series, or groups of them, that one request may ask for; for-all-nodes included.")
    ] = 20_000
    points: Annotated[
        Positive, Meta(description="Values that one request may read or be padded with; each series counts as 64 besides.")
    ] = 20_000_000
    query_seconds: Annotated[float, Meta(gt=0, description="Time that one request may take to answer.")] = 30.0
    label_bytes: Annotated[Positive, Meta(description="Memory of the labels that info lines set; more are refused.")] = (
        64 * 1024**2
    )
    memory: Annotated[
        Positive,
        Meta(description="Memory of the process; above it windows are sealed early and no further series are started."),
    ] = 2 * 1024**3
    log_bytes: Annotated[Positive, Meta(description="Size of the log; above it windows are sealed, and the log goes.")] = (
        256 * 1024**2
    )
    quarantine_bytes: Annotated[
        Positive, Meta(description="Size of all files in the quarantine; above it the oldest of them go.")
    ] = 256 * 1024**2
    waiting: Annotated[Positive, Meta(description="Samples that may wait for the disk; above, writers get 503.")] = 2_000_000
    connections: Annotated[
        Positive,
        Meta(description="Open connections to the API; a further one takes the place of the one idle longest, or gets 503."),
    ] = 1024
    connections_per_address: Annotated[
        int, Meta(ge=0, description="Open connections from one address; 0: no limit, for behind a proxy all have the same.")
    ] = 0


class Kubernetes(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where ServiceAccount tokens are checked, and whose are accepted."""

    url: Annotated[str, Meta(description="The API server.")] = "https://kubernetes.default.svc"
    token_file: Annotated[
        str, Meta(description="Token with which the store reads the API server's keys; re-read each time.")
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: Annotated[str, Meta(description="PEM certificates that the API server's is checked with.")] = (
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    )
    audience: Annotated[Text, Meta(description="Audience that a token must be made for.")] = "metricscluster"
    agents: Annotated[
        str,
        Meta(description="Subject of the node agents, system:serviceaccount:<namespace>:<name>; they write their own node."),
    ] = ""


class Login(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """DC/OS's login: who may, and what signs the tokens they get."""

    key_files: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="PEM files with RSA private keys: the first there is signs, all are checked with; re-read within 5 s.",
        ),
    ]
    users: Annotated[
        Text, Meta(description="File, or folder of files, that `metricscluster user add` wrote; re-read within 5 s.")
    ]
    token_lifetime: Annotated[
        str, Meta(pattern=units.DURATION_PATTERN, description="How long a token counts from its login on.")
    ] = "5d"  # noqa: S105 - a duration


class Nats(msgspec.Struct, frozen=True, rename="kebab"):
    """cc-metric-store's section `nats`, and ours: where NATS is, who we are there, and how much may wait."""

    address: Annotated[
        str, Meta(description="NATS servers, nats://host:4222 or tls://host:4222, separated by commas; empty: no NATS.")
    ] = ""
    username: Annotated[str, Meta(description="User name, where the server wants one.")] = ""
    password: Annotated[str, Meta(description="Its password; better in a file.")] = ""
    password_file: Annotated[str, Meta(description="File with the password; re-read at each connection.")] = ""
    creds_file_path: Annotated[
        str, Meta(description="Credentials file (JWT and NKEY seed, as nsc writes it); re-read at each connection.")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="PEM certificates that the server's is checked with; set, nothing is said without TLS.")
    ] = ""
    cert_file: Annotated[str, Meta(description="PEM certificate to show to the server; set, nothing is said without TLS.")] = ""
    key_file: Annotated[str, Meta(description="PEM key of that certificate.")] = ""
    pending_bytes: Annotated[
        Positive,
        Meta(
            description="Memory of messages that are not stored yet, for each subscription; above it core NATS messages are "
            "dropped and counted, and JetStream is asked for fewer."
        ),
    ] = 64 * 1024**2
    in_flight: Annotated[Positive, Meta(description="JetStream messages delivered and not yet acknowledged, at most.")] = 256
    ack_wait: Annotated[
        str,
        Meta(
            pattern=units.DURATION_PATTERN,
            description="Time after which JetStream sends again what was not acknowledged, where the store makes the consumer.",
        ),
    ] = "30s"


class Subscription(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """cc-metric-store's subscription, and what makes it one that loses nothing."""

    subscribe_to: Annotated[NatsSubject, Meta(description="Subject whose messages are taken, with the wildcards of NATS.")]
    cluster_tag: Annotated[str, Meta(description="Cluster of lines without that tag; empty: such lines are refused.")] = ""
    queue: Annotated[
        NatsName, Meta(description="Queue group: a message goes to one of the stores that name the same. For core NATS only.")
    ] = ""
    stream: Annotated[
        NatsName, Meta(description="JetStream stream that keeps the subject; empty: core NATS, which sends a message once.")
    ] = ""
    durable: Annotated[
        NatsName, Meta(min_length=1, description="Durable consumer of that stream, made if there is none; one for each store.")
    ] = "metricstore"


class Cleanup(msgspec.Struct, frozen=True):
    """cc-metric-store's section `cleanup`; its folder is not used: ours is in the data folder."""

    mode: Annotated[
        Literal["delete", "archive"], Meta(description="cc-metric-store's: `archive` is the same as `archive` `parquet` here.")
    ] = "delete"


class MetricStore(msgspec.Struct, frozen=True, rename="kebab"):
    """Section `metric-store`: cc-metric-store's retention, and ours."""

    directory: Annotated[Text, Meta(description="Data folder; one store at a time.")] = "./var/metricstore"
    cluster: Annotated[
        str, Meta(description="Cluster that the data folder belongs to; a folder of another one is refused. Empty: any.")
    ] = ""
    node: Annotated[
        str,
        Meta(
            description='"The node that answers" in the DC/OS API when a request names none; empty: '
            "$METRICSCLUSTER_NODE_NAME (a StatefulSet sets it), else the first with fresh data."
        ),
    ] = ""
    ops_addr: Annotated[str, Meta(description="Address and port of /healthz, /readyz and /metrics.")] = "0.0.0.0:8083"
    retention_in_memory: Annotated[
        str, Meta(pattern=units.DURATION_PATTERN, description="How long samples are kept and answered, at least.")
    ] = "48h"
    retention_on_disk: Annotated[
        str, Meta(pattern=units.DURATION_PATTERN, description="The same, where that is longer: how long blocks are kept.")
    ] = "30d"
    archive: Annotated[
        Literal["none", "parquet"],
        Meta(description="What becomes of older samples: deleted, or written to Parquet files, from where they are answered."),
    ] = "none"
    cleanup: Cleanup = Cleanup()
    future_limit: Annotated[
        str,
        Meta(
            pattern=units.DURATION_PATTERN, description="How far ahead of our clock a timestamp may be; later ones are refused."
        ),
    ] = "1h"
    unknown_metrics: Annotated[
        Literal["accept", "skip"],
        Meta(
            description="Metrics that are neither configured nor built in: kept at the frequency observed, or skipped silently."
        ),
    ] = "accept"
    public_key_files: Annotated[
        tuple[str, ...],
        Meta(description="Files with further Ed25519 keys, written as jwt-public-key; re-read when they change."),
    ] = ()
    strict_roles: Annotated[
        bool,
        Meta(description="Refuse writing to tokens without the role api or writer; cc-metric-store lets every token write."),
    ] = False
    require_exp: Annotated[bool, Meta(description="Refuse ClusterCockpit tokens that do not say when they expire.")] = False
    anonymous_metrics: Annotated[bool, Meta(description="Serve /metrics on the API's port without a token.")] = True
    kubernetes: Annotated[Kubernetes | None, Meta(description="Accept ServiceAccount tokens of this Kubernetes cluster.")] = (
        None
    )
    login: Annotated[Login | None, Meta(description="Offer DC/OS's login: see docs/login.md.")] = None
    nats_subscriptions: Annotated[tuple[Subscription, ...], Meta(description="What is taken from NATS: see docs/nats.md.")] = ()
    limits: Limits = Limits()


class Settings(msgspec.Struct, frozen=True, rename="kebab"):
    """The whole file."""

    main: Main = Main()
    nats: Nats = Nats()
    metric_store: MetricStore = MetricStore()
    metrics: Annotated[
        dict[str, Metric], Meta(description="The metrics to keep, by name: `frequency` in s, `aggregation`, `unit`.")
    ] = {}

    @property
    def retention(self) -> int:
        """Seconds that samples are kept."""
        store = self.metric_store
        return int(max(units.duration(store.retention_in_memory), units.duration(store.retention_on_disk)))

    @property
    def archived(self) -> bool:
        """Whether older samples are archived."""
        return self.metric_store.archive == "parquet" or self.metric_store.cleanup.mode == "archive"

    @property
    def token_seconds(self) -> int:
        """Seconds that a token of a login counts."""
        login = self.metric_store.login
        return int(units.duration(login.token_lifetime)) if login else 0

    @property
    def future(self) -> int:
        """Seconds that a timestamp may be ahead."""
        return int(units.duration(self.metric_store.future_limit))


# Keys of cc-metric-store 1.5 that there is no need for here.
THEIRS = frozenset(
    {"main.user", "main.group", "main.backend-url", "main.debug"}
    | {f"metric-store.{key}" for key in ("checkpoints", "checkpoint-interval", "max-wal-size", "memory-cap")}
    | {"metric-store.num-workers"}
)


def load(found: Mapping[str, Any], source: str) -> tuple[Settings, list[str]]:
    """Settings of a parsed file, and the keys in it that are not ours: cc-metric-store's own (THEIRS), or misspelt.

    SettingsError names the field that does not fit.
    """
    settings = convert(found, Settings, source)
    for name, address in (("main.addr", settings.main.addr), ("metric-store.ops-addr", settings.metric_store.ops_addr)):
        try:
            split_address(address)
        except BadInput as error:
            raise SettingsError(f"cannot use settings {source}: {error} - at `$.{name}`") from error
    return settings, sorted(_unknown(found, Settings))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port"; an empty host means all addresses. BadInput when it is none."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"cannot use address {address!r}: expected host:port")
    host = host.strip("[]") or "0.0.0.0"
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise BadInput(f"cannot use address {address!r}: expected an IP address or localhost before the port") from None
    return host, int(port)


def _unknown(found: Mapping[str, Any], form: type[msgspec.Struct], above: str = "") -> list[str]:
    """Dotted names of the keys that `form` does not have, one level below `main` and `metric-store`."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(form)}
    names = [above + key for key in found if key not in known]
    for key, kind in known.items():
        if key in found and isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not above:
            names += _unknown(found[key], kind, f"{key}.")
    return names
