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


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one metric is kept."""

    frequency: Annotated[int, Meta(ge=1, le=86400, description="Seconds between two samples of a series.")]
    aggregation: Annotated[
        Literal["sum", "avg", ""] | None,
        Meta(description="How series of one query are put together: sum, avg, or not at all."),
    ] = None


class Main(msgspec.Struct, frozen=True, rename="kebab"):
    """cc-metric-store's section `main`."""

    addr: Annotated[str, Meta(description="Address and port of the API.")] = "0.0.0.0:8082"
    https_cert_file: Annotated[str, Meta(description="PEM certificate; with https-key-file the API speaks TLS only.")] = ""
    https_key_file: Annotated[str, Meta(description="PEM key of that certificate.")] = ""
    jwt_public_key: Annotated[str, Meta(description="Ed25519 key that tokens are checked with: base64 of its 32 bytes.")] = ""


class Limits(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What one client, or all together, may ask for. A refusal names the limit."""

    body_bytes: Annotated[Positive, Meta(description="Size of a request body, after decompression.")] = 16 * 1024**2
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


class MetricStore(msgspec.Struct, frozen=True, rename="kebab"):
    """Section `metric-store`: cc-metric-store's retention, and ours."""

    directory: Annotated[Text, Meta(description="Data folder; one store at a time.")] = "./var/metricstore"
    cluster: Annotated[
        str, Meta(description="Cluster that the data folder belongs to; a folder of another one is refused. Empty: any.")
    ] = ""
    node: Annotated[
        str, Meta(description='Node that "the node that answers" means in the DC/OS API when a request names none.')
    ] = ""
    ops_addr: Annotated[str, Meta(description="Address and port of /healthz, /readyz and /metrics.")] = "0.0.0.0:8083"
    retention_in_memory: Annotated[
        str, Meta(pattern=units.DURATION_PATTERN, description="How long samples are kept and answered.")
    ] = "48h"
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
    anonymous_metrics: Annotated[bool, Meta(description="Serve /metrics on the API's port without a token.")] = True
    kubernetes: Annotated[Kubernetes | None, Meta(description="Accept ServiceAccount tokens of this Kubernetes cluster.")] = (
        None
    )
    limits: Limits = Limits()


class Settings(msgspec.Struct, frozen=True, rename="kebab"):
    """The whole file."""

    main: Main = Main()
    metric_store: MetricStore = MetricStore()
    metrics: Annotated[dict[str, Metric], Meta(description="The metrics to keep, by name.")] = {}

    @property
    def retention(self) -> int:
        """Seconds that samples are kept."""
        return int(units.duration(self.metric_store.retention_in_memory))

    @property
    def future(self) -> int:
        """Seconds that a timestamp may be ahead."""
        return int(units.duration(self.metric_store.future_limit))


# Keys of cc-metric-store 1.5 that there is no need for here.
THEIRS = frozenset(
    {"nats", "main.user", "main.group", "main.backend-url", "main.debug"}
    | {f"metric-store.{key}" for key in ("checkpoints", "checkpoint-interval", "cleanup", "max-wal-size", "memory-cap")}
    | {f"metric-store.{key}" for key in ("num-workers", "nats-subscriptions")}
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
