"""The agent's settings: one JSON file, read once, frozen.

Keys are dashed (`token-file`). A key that is not known, a value of the wrong type or out of range: SettingsError, which names
the file, the field and what is expected there.
"""

import os
import socket
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from metricwire import settings
from metricwire.errors import BadInput, SettingsError
from metricwire.lineprotocol import decode, encode
from metricwire.samples import Place, Sample, SeriesKey


class HostSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where the host's own trees are. In a pod they are mounted below /host: its own would show the container."""

    proc: Annotated[str, Meta(description="The host's procfs; in a pod, where it is mounted.")] = "/proc"
    sys: Annotated[str, Meta(description="The host's sysfs; in a pod, where it is mounted.")] = "/sys"
    root: Annotated[
        str, Meta(description="The host's root, below which its filesystems are asked for their size; in a pod, its mount.")
    ] = "/"


class StoreSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where samples are sent. No default URL: a wrong guess would send them elsewhere."""

    url: Annotated[str, Meta(description="The store, without a path: `http://metrics-store:8082`.")]
    token_file: Annotated[
        str, Meta(description="File with the bearer token; read for each request, since Kubernetes renews it.")
    ]
    ca_file: Annotated[
        str | None,
        Meta(description="PEM certificates that an https store is checked with, read again when changed; null: the system's."),
    ] = None
    ca_optional: Annotated[
        bool,
        Meta(
            description="Whether the system's authorities count while `store.ca-file` is not there, as of a Secret without it."
        ),
    ] = False
    cert_file: Annotated[
        str | None, Meta(description="PEM certificate that the agent shows to an https store. Read again when changed.")
    ] = None
    key_file: Annotated[str | None, Meta(description="PEM key of `store.cert-file`; null: it is in that file.")] = None
    compression: Annotated[
        Literal["zstd", "gzip", "none"],
        Meta(description="Content-Encoding of what is sent: `zstd`, `gzip`, or `none` for a proxy that knows neither."),
    ] = "zstd"


class NatsSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Samples go to a subject of NATS instead."""

    url: Annotated[str, Meta(description="Servers: `nats://host:4222` or `tls://host:4222`, several with commas between.")]
    subject: Annotated[str, Meta(min_length=1, description="The subject that stores take samples from.")]
    acknowledged: Annotated[
        bool,
        Meta(
            description="Whether samples stay in the spool until a JetStream stream has acknowledged them. "
            "false: core NATS, best effort; they are lost when nobody listens."
        ),
    ] = True
    credentials_file: Annotated[str | None, Meta(description="NATS credentials file (`.creds`); read for each connection.")] = (
        None
    )
    username: Annotated[str, Meta(description="User, where there is no credentials file.")] = ""
    password_file: Annotated[str | None, Meta(description="File with that user's password; read for each connection.")] = None
    ca_file: Annotated[
        str | None,
        Meta(description="PEM certificates that the servers are checked with; null: those of the system. Asks for TLS."),
    ] = None
    cert_file: Annotated[str | None, Meta(description="PEM certificate that the agent shows to the servers. Asks for TLS.")] = (
        None
    )
    key_file: Annotated[str | None, Meta(description="PEM key of `nats.cert-file`; null: it is in that file.")] = None


class SpoolSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where samples are kept until the store has them."""

    directory: Annotated[
        str, Meta(description="Folder of this agent alone, made if need be, on a disk that outlives the process.")
    ]
    bytes: Annotated[
        int,
        Meta(ge=65536, description="Most bytes in the folder; the oldest samples go first. 64 MiB are hours of a large host."),
    ] = 64 * 1024 * 1024


class KubernetesSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where ServiceAccount tokens are checked, and RBAC is asked."""

    url: Annotated[str, Meta(description="The API server.")] = "https://kubernetes.default.svc"
    token_file: Annotated[
        str, Meta(description="Token with which the agent reads its keys and asks what RBAC grants; re-read each time.")
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: Annotated[str, Meta(description="PEM certificates that the API server's is checked with.")] = (
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    )
    audience: Annotated[str, Meta(min_length=1, description="Audience that a token must be made for.")] = "metricscluster"


class ApiSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """The DC/OS Metrics API of this node."""

    address: Annotated[
        str, Meta(description="host:port of the DC/OS Metrics API; DC/OS' own port, from this machine only.")
    ] = "127.0.0.1:61001"
    anonymous: Annotated[bool, Meta(description="Whether it answers without a token; host data are not for everybody.")] = False
    connections_per_second: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="New connections of an address, over 5 s; more end at once. Who keeps connections needs few.",
        ),
    ] = 100
    public_key_files: Annotated[
        tuple[str, ...],
        Meta(description="Files with one base64 Ed25519 key each: tokens signed by any may read. Re-read within 5 s."),
    ] = ()
    require_exp: Annotated[bool, Meta(description="Refuse Ed25519 tokens that do not say when they expire.")] = False
    login_key_files: Annotated[
        tuple[str, ...],
        Meta(
            description="PEM files, each with the public half of a login key of the store: tokens of its logins may read what "
            "their permissions open. Re-read within 5 s; some may be missing."
        ),
    ] = ()
    kubernetes: Annotated[
        KubernetesSettings | None,
        Meta(description="Let ServiceAccounts of this Kubernetes cluster read what RBAC grants them on these paths."),
    ] = None


class PodsSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """How the agent learns which pods its containers are of."""

    url: Annotated[str, Meta(description="The API server, without a path.")] = "https://kubernetes.default.svc"
    token_file: Annotated[
        str, Meta(description="Token that may list and watch pods; read for each request, since Kubernetes renews it.")
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: Annotated[
        str, Meta(description="PEM certificates that the API server's is checked with; read for each request.")
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    labels: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=317)], ...],
        Meta(max_length=20, description="Keys of the pod labels that containers carry along, as `label_<key>`."),
    ] = ()


class TextfileSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Files as samples of the host: `*.prom` and `*.lp`."""

    directory: Annotated[
        str, Meta(description='Folder whose `*.prom` and `*.lp` files are samples of the host, as in node_exporter; "": none.')
    ] = ""
    file_bytes: Annotated[
        int, Meta(ge=1, le=64 * 1024 * 1024, description="Most bytes of a file; a larger one is left out.")
    ] = 1024 * 1024
    series: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most series of all files; a file that goes beyond is left out.")
    ] = 10_000


class ScrapeSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Pods that ask to be scraped by the annotations prometheus.io/scrape, port and path."""

    enabled: Annotated[bool, Meta(description="Whether pods of this node annotated `prometheus.io/scrape: true` are.")] = False
    interval: Annotated[
        float, Meta(ge=0, le=86400, description="Seconds between scrapes of a pod; 0: as often as samples are taken.")
    ] = 0
    timeout: Annotated[
        float, Meta(gt=0, le=600, description="Seconds a scrape may take; half of the interval, where that is less.")
    ] = 5
    body_bytes: Annotated[
        int, Meta(ge=1, le=64 * 1024 * 1024, description="Most bytes of a pod's answer; of a larger one nothing is taken.")
    ] = 1024 * 1024
    series_per_pod: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most samples of a pod's answer; of a longer one nothing is taken.")
    ] = 1_000
    bytes_per_pod: Annotated[
        int,
        Meta(
            ge=0,
            le=1024**3,
            description="Most bytes of the names and labels in a pod's answer; of a longer one nothing is taken. "
            "0: 256 for each of `scrape.series-per-pod`.",
        ),
    ] = 0
    series: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most samples of all pods of the node; a pod that goes beyond gives nothing.")
    ] = 10_000

    @property
    def bytes_of_pod(self) -> int:
        """The limit on names and labels."""
        return self.bytes_per_pod or 256 * self.series_per_pod


class StatsdSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Application metrics by StatsD and DogStatsD over UDP."""

    address: Annotated[str, Meta(description="host:port of the UDP socket; StatsD's usual port, from this machine only.")] = (
        "127.0.0.1:8125"
    )
    series: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Most series of all pods. A timer counts as the 8 it makes, a set as 10."),
    ] = 10_000
    series_per_pod: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most series of a pod, and of all senders together that are no pod.")
    ] = 2_000
    bytes_per_pod: Annotated[
        int,
        Meta(
            ge=0,
            le=1024**3,
            description="Most bytes of names and tags in the lines of a pod; 0: 128 for each of `statsd.series-per-pod`.",
        ),
    ] = 0
    idle: Annotated[float, Meta(ge=1, le=86400, description="Seconds without a value after which a series is forgotten.")] = 300

    @property
    def bytes_of_pod(self) -> int:
        """The limit on names and tags."""
        return self.bytes_per_pod or 128 * self.series_per_pod


class AgentSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Everything an agent is told."""

    cluster: Annotated[
        str, Meta(min_length=1, description="The cluster tag of all samples; what tells clusters apart has no default.")
    ]
    spool: SpoolSettings
    store: Annotated[StoreSettings | None, Meta(description="The store over HTTP; this or `nats` is required.")] = None
    nats: Annotated[NatsSettings | None, Meta(description="NATS on the way to a store, instead of HTTP.")] = None
    hostname: Annotated[
        str,
        Meta(description="The hostname tag; empty: $METRICSCLUSTER_NODE_NAME (a DaemonSet sets it), else the machine's name."),
    ] = ""
    interval: Annotated[
        float,
        Meta(ge=1, le=86400, description="Seconds between samples, taken at its multiples on the clock."),
    ] = 10
    collectors: Annotated[
        Mapping[str, bool], Meta(description='Collectors to switch off, as `{"network": false}`; all others are on.')
    ] = field(default_factory=dict)
    host: HostSettings = HostSettings()
    api: ApiSettings = ApiSettings()
    pods: Annotated[
        PodsSettings | None,
        Meta(
            description="The API server's pods of this node, whose names containers get; null: containers have their ids alone."
        ),
    ] = None
    textfile: TextfileSettings = TextfileSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    statsd: Annotated[StatsdSettings | None, Meta(description="Take application metrics by StatsD; null: do not.")] = None
    metrics_address: Annotated[
        str, Meta(description="host:port of /metrics, /healthz, /readyz; DC/OS' Prometheus port, from this machine only.")
    ] = "127.0.0.1:61091"


def parse(text: bytes, source: str) -> AgentSettings:
    """The settings in `text`, whose name in errors is `source`. SettingsError says what cannot be used."""
    found = settings.convert(settings.parse(text, source), AgentSettings, source)
    try:
        _check_destination(found)
        address("api.address", found.api.address)
        address("metrics-address", found.metrics_address)
        if found.statsd is not None:
            address("statsd.address", found.statsd.address)
        if found.pods is not None:
            _check_url("pods.url", found.pods.url)
        elif found.scrape.enabled:
            raise SettingsError("scrape.enabled: needs pods, which say whom to scrape")
        if not (found.api.anonymous or found.api.public_key_files or found.api.login_key_files or found.api.kubernetes):
            raise SettingsError(
                "api.public-key-files: none given; name one, or set api.anonymous to true, "
                "api.login-key-files or api.kubernetes"
            )
    except SettingsError as error:
        raise SettingsError(f"cannot use settings {source}: {error}") from error
    return found


def address(name: str, text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; `name` is the setting's."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError(f"{name}: expected host:port, found {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def place(found: AgentSettings, environment: Mapping[str, str] = os.environ) -> Place:
    """The host that the samples are of. SettingsError when no line could carry these names."""
    name = found.hostname or environment.get(settings.NODE_NAME) or socket.gethostname()
    place = Place(found.cluster, name)
    try:
        refused = decode(encode(Sample(SeriesKey(place, "up"), 0, 1.0)), now=0).bad
    except BadInput as error:
        raise SettingsError(f"cannot use cluster {found.cluster!r} and hostname {name!r}: {error}") from error
    if refused:
        raise SettingsError(f"cannot use cluster {found.cluster!r} and hostname {name!r}: {refused[0].reason}")
    return place


def nats_servers(url: str) -> list[str]:
    """The servers in `nats.url`. SettingsError does not repeat it: there may be a password in it."""
    found = [text.strip() for text in url.split(",")]
    for text in found:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"nats", "tls"} and parts.hostname and parts.port != 0 and not parts.path.strip("/")
        except ValueError:
            usable = False
        if not usable:
            raise SettingsError("nats.url: expected nats://host:port or tls://host:port, several with commas between")
        if parts.password is not None:
            raise SettingsError("nats.url: expected no password in it; nats.password-file names a file with one")
    return found


def _check_destination(found: AgentSettings) -> None:
    if (found.store is None) == (found.nats is None):
        raise SettingsError("store, nats: expected one of the two")
    for section, one in (("store", found.store), ("nats", found.nats)):
        if one is not None and one.key_file and not one.cert_file:
            raise SettingsError(f"{section}.key-file: expected {section}.cert-file beside it")
    if found.store is not None:
        _check_url("store.url", found.store.url)
    if found.nats is not None:
        nats_servers(found.nats.url)
        if bool(found.nats.username) != bool(found.nats.password_file) or (found.nats.username and found.nats.credentials_file):
            raise SettingsError("nats: expected username and password-file, or credentials-file, or none of them")
        if any(sign in found.nats.subject for sign in " *>\t\r\n"):
            raise SettingsError(
                f"nats.subject: expected one subject, without wildcards and blanks, found {found.nats.subject!r}"
            )


def _check_url(name: str, url: str) -> None:
    expected = f"{name}: expected http://host:port or https://host:port, found {url!r}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check
    except ValueError as error:
        raise SettingsError(expected) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(expected)
