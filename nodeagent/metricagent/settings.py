"""The agent's settings: one JSON file, read once, frozen.

Keys are dashed (`token-file`). A key that is not known, a value of the wrong type or out of range: SettingsError, which names
the file, the field and what is expected there.
"""

import os
import socket
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from metricwire import settings
from metricwire.errors import BadInput, SettingsError
from metricwire.lineprotocol import decode, encode
from metricwire.samples import Place, Sample, SeriesKey

NODE_NAME = "METRICSCLUSTER_NODE_NAME"  # set in the DaemonSet from spec.nodeName: a pod's own host name is the pod's


class HostSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where the host's own trees are. In a pod they are mounted below /host: its own would show the container."""

    proc: Annotated[str, Meta(description="The host's procfs; in a pod, where it is mounted.")] = "/proc"
    sys: Annotated[str, Meta(description="The host's sysfs; in a pod, where it is mounted.")] = "/sys"
    root: Annotated[
        str, Meta(description="The host's root, below which its filesystems are asked for their size; in a pod, its mount.")
    ] = "/"


class StoreSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where samples are sent. No defaults: a wrong guess would send them elsewhere."""

    url: Annotated[str, Meta(description="The store, without a path: `http://metrics-store:8082`.")]
    token_file: Annotated[
        str, Meta(description="File with the bearer token; read for each request, since Kubernetes renews it.")
    ]
    ca_file: Annotated[
        str | None, Meta(description="PEM certificates that an https store is checked with; null: those of the system.")
    ] = None


class SpoolSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where samples are kept until the store has them."""

    directory: Annotated[
        str, Meta(description="Folder of this agent alone, made if need be, on a disk that outlives the process.")
    ]
    bytes: Annotated[
        int,
        Meta(ge=65536, description="Most bytes in the folder; the oldest samples go first. 64 MiB are hours of a large host."),
    ] = 64 * 1024 * 1024


class ApiSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """The DC/OS Metrics API of this node."""

    address: Annotated[
        str, Meta(description="host:port of the DC/OS Metrics API; DC/OS' own port, from this machine only.")
    ] = "127.0.0.1:61001"
    anonymous: Annotated[bool, Meta(description="Whether it answers without a token; host data are not for everybody.")] = False
    public_key_files: Annotated[
        tuple[str, ...],
        Meta(description="Files with one base64 Ed25519 key each: tokens signed by any may read. Re-read within 5 s."),
    ] = ()


class AgentSettings(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Everything an agent is told."""

    cluster: Annotated[
        str, Meta(min_length=1, description="The cluster tag of all samples; what tells clusters apart has no default.")
    ]
    store: StoreSettings
    spool: SpoolSettings
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
    metrics_address: Annotated[
        str, Meta(description="host:port of /metrics, /healthz, /readyz; DC/OS' Prometheus port, from this machine only.")
    ] = "127.0.0.1:61091"


def parse(text: bytes, source: str) -> AgentSettings:
    """The settings in `text`, whose name in errors is `source`. SettingsError says what cannot be used."""
    found = settings.convert(settings.parse(text, source), AgentSettings, source)
    try:
        _check_store_url(found.store.url)
        address("api.address", found.api.address)
        address("metrics-address", found.metrics_address)
        if not found.api.anonymous and not found.api.public_key_files:
            raise SettingsError("api.public-key-files: none given; name one, or set api.anonymous to true")
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
    name = found.hostname or environment.get(NODE_NAME) or socket.gethostname()
    place = Place(found.cluster, name)
    try:
        refused = decode(encode(Sample(SeriesKey(place, "up"), 0, 1.0)), now=0).bad
    except BadInput as error:
        raise SettingsError(f"cannot use cluster {found.cluster!r} and hostname {name!r}: {error}") from error
    if refused:
        raise SettingsError(f"cannot use cluster {found.cluster!r} and hostname {name!r}: {refused[0].reason}")
    return place


def _check_store_url(url: str) -> None:
    expected = f"store.url: expected http://host:port or https://host:port, found {url!r}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check
    except ValueError as error:
        raise SettingsError(expected) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(expected)
