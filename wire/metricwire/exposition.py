r"""Samples as Prometheus text, format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

One rendering for both servers: the agent shows its node, the store every node, with the same names and labels.

Rules
- A metric keeps its name; characters that Prometheus does not allow become `_`, and `_` goes before a digit in front.
- Labels: cluster, hostname, type, type_id, stype, stype_id of the place, then the series' further tags, then the labels that
  the caller has for the place. Of two that come to the same name the first counts; empty ones are left out.
- A family (one HELP, one TYPE) is contiguous, families are sorted by name. Of two samples of one series the last counts.
- Names that programs use for themselves (RESERVED) are left out: beside a server's own metrics they would pass for these.
- No timestamps: what is shown is fresh, and a scraper must see a series end.

Invariant: no name, label or value, whatever is in it, starts a line, a label or a second series of its own.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from metricwire.catalog import BY_NAME
from metricwire.samples import Place, Sample, SeriesKey

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# What programs say of themselves begins with one of these.
RESERVED = ("metricstore_", "metricagent_", "metricsoperator_", "process_", "python_")

PlaceLabels = Callable[[Place], Mapping[str, str]]

_PLACE_LABELS = ("cluster", "hostname", "type", "type_id", "stype", "stype_id")  # in the order of Place
_RESERVED_WORDS = tuple(prefix.removesuffix("_") for prefix in RESERVED)
_NOT_IN_METRIC = re.compile("[^a-zA-Z0-9_:]")
_NOT_IN_LABEL = re.compile("[^a-zA-Z0-9_]")


def no_labels(_: Place) -> Mapping[str, str]:
    """The labels of places that have none."""
    return {}


def render(samples: Iterable[Sample], labels: PlaceLabels = no_labels) -> bytes:
    """The samples as an exposition, UTF-8; `labels` gives what else is known of a place."""
    families: dict[str, dict[str, float]] = {}
    metrics: dict[str, str] = {}  # of each family, the metric that names it
    names: dict[str, str] = {}
    labelled: dict[tuple[Place, tuple[tuple[str, str], ...]], str] = {}
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
        metrics.setdefault(name, series.metric)
        families.setdefault(name, {})[text] = value
    return "".join(
        _header(name, metrics[name]) + "".join([f"{name}{text} {value!r}\n" for text, value in series.items()])
        for name, series in sorted(families.items())
    ).encode("utf-8", "replace")


def reserved(metric: str) -> bool:
    """Whether the metric would be shown under a name that servers keep for themselves."""
    return metric.startswith(_RESERVED_WORDS) and family(metric).startswith(RESERVED)


def family(metric: str) -> str:
    """The metric's name as Prometheus allows it."""
    name = _NOT_IN_METRIC.sub("_", metric)
    return "_" + name if name[:1].isdigit() else name


def label_text(series: SeriesKey, labels: Mapping[str, str]) -> str:
    """`{name="value",...}` of the series; it does not change as long as `labels`, those of its place, stay."""
    found: dict[str, str] = {}
    for name, value in (*zip(_PLACE_LABELS, series.place, strict=True), *series.tags, *labels.items()):
        if value:
            found.setdefault(_label_name(name), value)
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in found.items()) + "}"


def _label_name(name: str) -> str:
    name = _NOT_IN_LABEL.sub("_", name)
    if name.startswith("__"):  # Prometheus keeps these for itself
        return "tag" + name
    return "_" + name if not name or name[0].isdigit() else name


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def _header(name: str, metric: str) -> str:
    """HELP (with the unit) and TYPE from the catalogue; other metrics are untyped."""
    known = BY_NAME.get(metric)
    if known is None:
        return f"# TYPE {name} untyped\n"
    text = f"{known.help} Unit: {known.unit}.".replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {known.kind}\n"
