"""`metricscluster query`: samples of a metric, as a table, a plot in the terminal, CSV or JSON.

Without --host all nodes are shown, without --type the node itself, or the sum or mean of its parts by the metric's rule. The
store is that of a MetricsCluster, reached through kubectl, or any by --url. Exit status: 0, 1 when there is nothing to show or
the store cannot be asked, 2 for bad input.
"""

import argparse
import csv
import difflib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence

from metricscluster import reach
from metricscluster.asking import Asking, Place, Series, Span
from metricscluster.figures import figure, sparkline
from metricscluster.moments import moment, rfc3339
from metricscluster.plot import LARGEST, Line, plot
from metricscluster.terminal import Cell, Paint, printable, table, width
from metricwire.catalog import BY_NAME
from metricwire.errors import BadInput, NotFound
from metricwire.units import duration

HELP = "show samples of a metric as a table, a plot, CSV or JSON"
EXAMPLES = """
  kubectl metricscluster query load_one
  kubectl metricscluster query mem_used --host node1 --from 6h -o plot
  kubectl metricscluster query cpu_user --host node1 --type hwthread -o table
  kubectl metricscluster query disk_used --type filesystem --type-id /var --from 2026-01-01 --to 2026-01-02 -o csv
  metricscluster query load_one --url http://127.0.0.1:8082 --token-file .metricscluster/token -o plot
"""
COURSE = 24  # characters of a table's last column
PLOT_WIDEST = 160  # characters
COLUMNS = ("time", "hostname", "type", "type_id", "metric", "value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("metric", metavar="METRIC", help="its name; docs/metrics.md lists those that agents measure")
    parser.add_argument("--host", action="append", default=[], help="only this node; may be given again")
    parser.add_argument(
        "--type", default="", help="parts of nodes: hwthread, socket, container, filesystem ... (docs/metrics.md)"
    )
    parser.add_argument(
        "--type-id",
        action="append",
        default=[],
        metavar="ID",
        help="only this part; may be given again (default: all that are fresh)",
    )
    times = "seconds since the epoch, 2026-01-31T12:00:00Z, or how long ago: 48h"
    parser.add_argument("--from", dest="start", default="1h", metavar="TIME", help=f"{times} (default: %(default)s)")
    parser.add_argument(
        "--to", dest="end", default="now", metavar="TIME", help="the first time that is left out (default: now)"
    )
    parser.add_argument("--aggregate", action="store_true", help="the parts of a node as one series, by the metric's rule")
    parser.add_argument(
        "--resolution",
        default="0s",
        metavar="DURATION",
        help="thin out to this distance; the store does so from 1000 samples on",
    )
    parser.add_argument("-o", "--output", choices=tuple(_FORMS), default="table", help="default: %(default)s")
    reach.add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print it; the exit status."""
    now = time.time()
    span = Span(moment(arguments.start, now), moment(arguments.end, now))
    if span.start >= span.end:
        raise BadInput(f"cannot query from {rfc3339(span.start)} to {rfc3339(span.end)}: it ends before it begins")
    if (arguments.type_id or arguments.aggregate) and not arguments.type:
        raise BadInput("cannot use --type-id or --aggregate without --type: it says parts of which type")
    resolution = int(duration(arguments.resolution))
    with reach.reached(arguments) as store:
        asking = Asking(store.client, store.cluster)
        places = _places(arguments, asking, span.start)
        try:
            found = asking.read([(arguments.metric, place) for place in places], span, resolution)
        except NotFound as error:
            raise NotFound(f"cannot query {arguments.metric}: {error}{_meant(arguments.metric)}") from error
    for text in asking.failures:
        print(printable(text), file=sys.stderr)
    if not found:
        what = f"no samples of {arguments.metric} in {store.cluster}{_meant(arguments.metric)}"
        print(printable(what), file=sys.stderr)
        return 1
    _FORMS[arguments.output](found, arguments.metric, store.cluster)
    return 1 if asking.failures else 0


def _places(arguments: argparse.Namespace, asking: Asking, since: int) -> list[Place]:
    """What is asked for: hosts, or parts of them."""
    hosts = list(dict.fromkeys(arguments.host))
    if not arguments.type:
        return [Place(host) for host in hosts or asking.hosts(since)]
    if arguments.type_id:
        ids = tuple(dict.fromkeys(arguments.type_id))
        found = [Place(host, arguments.type, (one,)) for host in hosts or asking.hosts(since) for one in ids]
    else:
        found = asking.parts(arguments.metric, arguments.type, hosts)
        if not found:
            what = f"{arguments.metric} of type {arguments.type}"
            raise NotFound(f"cannot find {what}: no part sends it now; name those of before by --type-id")
    if not arguments.aggregate:
        return found
    together: dict[str, tuple[str, ...]] = {}
    for place in found:
        together[place.host] = together.get(place.host, ()) + place.ids
    return [Place(host, arguments.type, ids) for host, ids in together.items()]


def _meant(metric: str) -> str:
    """What may have been meant by a name that agents do not know."""
    near = [] if metric in BY_NAME else difflib.get_close_matches(metric, BY_NAME, 3)
    return f"; did you mean {', '.join(near)}?" if near else ""


def _unit(metric: str) -> str:
    return BY_NAME[metric].unit if metric in BY_NAME else ""


def _table(found: Sequence[Series], metric: str, cluster: str) -> None:
    paint, unit = Paint.of(sys.stdout), _unit(metric)
    heads = ("HOST", "PART", "LAST", "MIN", "AVG", "MAX", "SAMPLES", "COURSE")
    rows: list[list[Cell | str]] = [[Cell(text, "dim") for text in heads]]
    drawn = _draws(sys.stdout.encoding)
    for series in found:
        values = [value for _, value in series.samples()]
        if values:
            numbers = (values[-1], min(values), sum(values) / len(values), max(values))
            course = sparkline(series.values, COURSE) if drawn else ""
            part = " ".join((series.place.type, ",".join(series.place.ids))).strip()
            shown = [figure(number, unit) for number in numbers]
            rows.append([series.place.host, part or "-", *shown, str(len(values)), course])
    first = min(series.samples()[0][0] for series in found if series.samples())
    last = max(series.samples()[-1][0] for series in found if series.samples())
    print(f"{printable(metric)} of {printable(cluster)}, {rfc3339(first)} to {rfc3339(last)}")
    print("\n".join(table(rows, paint, right=(2, 3, 4, 5, 6))))


def _plot(found: Sequence[Series], metric: str, cluster: str) -> None:
    ranked = sorted((one for one in found if one.samples()), key=lambda one: -max(value for _, value in one.samples()))
    lines = [Line(printable(one.place.label), one.samples()) for one in ranked[:LARGEST]]
    unit = _unit(metric)
    named = f" of {lines[0].name}" if len(lines) == 1 else ""
    title = f"{printable(metric)}{f' in {unit}' if unit else ''}{named}, cluster {printable(cluster)}"
    columns = min(PLOT_WIDEST, width(sys.stdout)) if sys.stdout.isatty() else 100
    print("\n".join(plot(lines, unit, title, columns=columns, paint=Paint.of(sys.stdout), braille=_draws(sys.stdout.encoding))))
    if len(ranked) > LARGEST:
        print(
            f"the {LARGEST} with the greatest values of {len(ranked)} series; --host and --type-id choose others",
            file=sys.stderr,
        )


def _draws(encoding: str) -> bool:
    """Whether braille and blocks can be written."""
    return encoding.lower().replace("-", "").startswith("utf")


def _csv(found: Sequence[Series], metric: str, _: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for series in found:
        place = series.place
        for stamp, value in series.samples():
            names = map(printable, (place.host, place.type, ",".join(place.ids), metric))  # it may be read on a terminal
            writer.writerow((rfc3339(stamp), *names, repr(value)))
        sys.stdout.write(text.getvalue())
        text.seek(0)
        text.truncate()


def _json(found: Sequence[Series], metric: str, cluster: str) -> None:
    series = [
        {
            "host": one.place.host,
            "type": one.place.type,
            "type-ids": one.place.ids,
            "resolution": one.step,
            "samples": one.samples(),
        }
        for one in found
    ]
    print(json.dumps({"cluster": cluster, "metric": metric, "unit": _unit(metric), "series": series}))


_FORMS: dict[str, Callable[[Sequence[Series], str, str], None]] = {"table": _table, "plot": _plot, "csv": _csv, "json": _json}
