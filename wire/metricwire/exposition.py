r"""Samples as Prometheus text 0.0.4 or OpenMetrics 1.0 (https://prometheus.io/docs/instrumenting/exposition_formats/).

One rendering for both servers: the agent shows its node, the store every node, with the same names and labels.

Rules
- A metric keeps its name; characters that Prometheus does not allow become `_`, and `_` goes before a digit in front.
- Labels: cluster, hostname, type, type_id, stype, stype_id of the place, then the series' further tags, then the labels that
  the caller has for the place. Of two that come to the same name the first counts; empty ones are left out, but for namespace,
  pod and container of a container: for Prometheus they are absent and yet there, so that a scraper with `honor_labels` does
  not put the names of the pod that it scrapes in their place.
- A family (one HELP, one TYPE) is contiguous, families are sorted by name. Of two samples of one series the last counts.
- Names that programs use for themselves (RESERVED) are left out: beside a server's own metrics they would pass for these.
- A family's type is the catalogue's; if the name is not there and all its series are of one kind that applications may send
  (stype=app, stype_id the kind), it is that one: of timers and the like .count and .sum are counters, the rest gauges.
- No timestamps: what is shown is fresh, and a scraper must see a series end.
- A series has the same name in both formats. OpenMetrics wants the names of counters to end in _total and those of metrics
  with a UNIT in that unit: there, counters of other names are of type unknown, and other units are told in HELP alone.

Invariant: no name, label or value, whatever is in it, starts a line, a label or a second series of its own.
"""

import enum
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from metricwire import accept
from metricwire.catalog import BY_NAME
from metricwire.dcos import APPLICATION, CONTAINER, TASK
from metricwire.samples import Place, Sample, SeriesKey


class Format(enum.Enum):
    """The formats, by the content type they are sent as."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Kind(enum.IntEnum):
    """What the values of a series are; a family of several kinds is UNTYPED. The number is for those who keep many."""

    UNTYPED = 0
    COUNTER = 1
    GAUGE = 2


CONTENT_TYPE = Format.TEXT.value
END = b"# EOF\n"  # of an exposition in OpenMetrics

# What programs say of themselves begins with one of these.
RESERVED = ("metricstore_", "metricagent_", "metricsoperator_", "process_", "python_")

# The kinds that applications send, and those whose samples are some counters, some gauges.
_KINDS = {"counter": Kind.COUNTER, "gauge": Kind.GAUGE, "set": Kind.GAUGE}
_SPREADS = frozenset({"timer", "histogram", "distribution", "summary"})
_COUNTER_ENDINGS = (".count", ".sum", "_count", "_sum", "_bucket")

PlaceLabels = Callable[[Place], Mapping[str, str]]

_PLACE_LABELS = ("cluster", "hostname", "type", "type_id", "stype", "stype_id")  # in the order of Place
_RESERVED_WORDS = tuple(prefix.removesuffix("_") for prefix in RESERVED)
_NOT_IN_METRIC = re.compile("[^a-zA-Z0-9_:]")
_NOT_IN_LABEL = re.compile("[^a-zA-Z0-9_]")


def no_labels(_: Place) -> Mapping[str, str]:
    """The labels of places that have none."""
    return {}


def render(samples: Iterable[Sample], labels: PlaceLabels = no_labels, form: Format = Format.TEXT) -> bytes:
    """The samples as an exposition, UTF-8; `labels` gives what else is known of a place. OpenMetrics still lacks its END."""
    families: dict[str, dict[bytes, float]] = {}
    names: dict[str, str] = {}
    kinds: dict[str, set[Kind]] = {}
    labelled: dict[tuple[Place, tuple[tuple[str, str], ...]], bytes] = {}
    for series, _, value in samples:
        name = names.get(series.metric)
        if name is None:
            name = names[series.metric] = "" if reserved(series.metric) else family(series.metric)
        if not name:
            continue
        where = (series.place, series.tags)
        text = labelled.get(where)
        if text is None:
            text = labelled[where] = label_text(series, labels(series.place))
        families.setdefault(name, {})[text] = value
        kinds.setdefault(name, set()).add(kind(series))
    return b"".join(
        header(name, form, common(kinds[name]))
        + b"".join([b"%b%b %b\n" % (name.encode(), text, number(value)) for text, value in series.items()])
        for name, series in sorted(families.items())
    )


def number(value: float) -> bytes:
    """The shortest text that is read as the same number."""
    if math.isfinite(value):
        return repr(value).encode()
    return b"NaN" if math.isnan(value) else b"+Inf" if value > 0 else b"-Inf"


def negotiate(header: str | None) -> Format:
    """The format that an Accept header likes better; text where it likes both the same, or none."""
    text = accept.media(header, "text/plain", "0.0.4")
    return Format.OPENMETRICS if accept.media(header, "application/openmetrics-text", "1.0.0") > text else Format.TEXT


def reserved(metric: str) -> bool:
    """Whether the metric would be shown under a name that servers keep for themselves."""
    return metric.startswith(_RESERVED_WORDS) and family(metric).startswith(RESERVED)


def family(metric: str) -> str:
    """The metric's name as Prometheus allows it."""
    name = _NOT_IN_METRIC.sub("_", metric)
    return "_" + name if not name or name[0].isdigit() else name


def kind(series: SeriesKey) -> Kind:
    """What the series is if the catalogue does not say."""
    place = series.place
    if place.stype != APPLICATION:
        return Kind.UNTYPED
    if place.stype_id in _SPREADS:
        return Kind.COUNTER if series.metric.endswith(_COUNTER_ENDINGS) else Kind.GAUGE
    return _KINDS.get(place.stype_id, Kind.UNTYPED)


def common(kinds: Collection[Kind]) -> Kind:
    """The kind of a family."""
    return next(iter(kinds)) if len(kinds) == 1 else Kind.UNTYPED


def label_text(series: SeriesKey, labels: Mapping[str, str]) -> bytes:
    """`{name="value",...}` of the series; it does not change as long as `labels`, those of its place, stay."""
    found: dict[str, str] = {}
    for name, value in (*zip(_PLACE_LABELS, series.place, strict=True), *series.tags, *labels.items()):
        if value:
            found.setdefault(_label_name(name), value)
    if series.place.type == CONTAINER:
        for name in TASK:
            found.setdefault(name, "")
    text = "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in found.items()) + "}"
    return text.encode("utf-8", "replace")


def plain(name: str) -> str:
    """The name of a label with nothing in it that Prometheus does not allow inside of one."""
    return _NOT_IN_LABEL.sub("_", name)


def _label_name(name: str) -> str:
    name = plain(name)
    if name.startswith("__"):  # Prometheus keeps these for itself
        return "tag" + name
    return "_" + name if not name or name[0].isdigit() else name


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def header(name: str, form: Format, of_all: Kind = Kind.UNTYPED, unit: str = "") -> bytes:
    """HELP (with the unit), TYPE and UNIT of a family: from the catalogue, if it has the name; else `unit`, and the TYPE that
    all share."""
    known = BY_NAME.get(name)
    kind = known.kind if known else of_all.name.lower()
    unit = known.unit if known else unit
    said = f"{known.help} Unit: {unit}." if known else f"Unit: {unit}." if unit else ""
    said = said.replace("\\", "\\\\").replace("\n", "\\n")
    if form is Format.OPENMETRICS:
        said = said.replace('"', '\\"')
    lines = [f"# HELP {name} {said}\n"] if said else []
    lines.append(f"# TYPE {name} {_type(kind, form)}\n")
    if form is Format.OPENMETRICS and unit and name.endswith(f"_{unit}"):
        lines.append(f"# UNIT {name} {unit}\n")
    return "".join(lines).encode()


def _type(kind: str, form: Format) -> str:
    return kind if form is Format.TEXT or kind == "gauge" else "unknown"
