"""How a MetricsCluster is, as lines for people. Pure: what was seen, the time, the width are arguments."""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from metricscluster.figures import figure
from metricscluster.findings import Finding, Lack, cluster_name, conditions, healthy
from metricscluster.moments import age, unix
from metricscluster.observation import Manifest, Observed, last_seen
from metricscluster.selfmetrics import StoreState
from metricscluster.terminal import Cell, Paint, printable, table
from metricsoperator import names
from metricsoperator.trouble import answering

NODES = 10  # that lack an agent and are named
EVENTS = 5  # that are shown
RECENT = 3600.0  # seconds that an Event is news
_WELL = {"Progressing": "False", "Degraded": "False"}  # all others are well when True


class Seen(NamedTuple):
    """One MetricsCluster: the store's numbers, or why there are none."""

    cluster: Manifest
    state: StoreState | None
    why: str
    findings: list[Finding]
    lacks: list[Lack]


def page(seen: Seen, observed: Observed, now: float, paint: Paint, columns: int) -> list[str]:
    """The lines, no longer than `columns` where they can be broken."""
    about = seen.cluster["metadata"]
    word = Cell("healthy", "green") if healthy(seen.findings) else Cell("not healthy", "red")
    title = Cell(f"{about['namespace']}/{about['name']}", "bold")
    return [
        *table([[title, word, f"cluster {cluster_name(seen.cluster)}, age {age(about['creationTimestamp'], now)}"]], paint),
        *_conditions(seen.cluster, now, paint, columns),
        *map(printable, _store(seen, observed, now)),
        *map(printable, _agents(seen, observed, columns)),
        *_wrong(seen, paint, columns),
        *map(printable, _events(seen.cluster, observed, now, columns)),
    ]


def _conditions(cluster: Manifest, now: float, paint: Paint, columns: int) -> list[str]:
    rows: list[list[Cell | str]] = [[Cell(text, "dim") for text in ("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE")]]
    told: dict[str, str] = {}
    for name, said in conditions(cluster).items():
        well = said["status"] == _WELL.get(name, "True")
        look = "" if well else "yellow" if name in _WELL else "red"
        since = age(said.get("lastTransitionTime"), now)
        first = told.setdefault(said.get("message", ""), name)
        message = said.get("message", "") if first == name else f"as {first}"
        rows.append([name, Cell(said["status"], look), since, said.get("reason", ""), message])
    if len(rows) == 1:
        return ["  no conditions: no operator has looked at it"]
    room = max(30, columns - 2 - sum(max(len(printable(_text(row[at]))) for row in rows) + 2 for at in range(4)))
    broken: list[list[Cell | str]] = []
    for row in rows:
        first, *more = textwrap.wrap(_text(row[4]), room) or [""]
        broken.append([*row[:4], Cell(first, "dim") if row is rows[0] else first])
        broken += [["", "", "", "", line] for line in more]
    return table(broken, paint, indent="  ")


def _text(cell: Cell | str) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def _store(seen: Seen, observed: Observed, now: float) -> Iterator[str]:
    status = (seen.cluster.get("status") or {}).get("store") or {}
    pods = observed.of(seen.cluster, "pods", names.STORE)
    claims = observed.of(seen.cluster, "persistentvolumeclaims", names.STORE)
    state = seen.state
    version = (state.version if state else "") or status.get("version") or "unknown"
    ready = answering(pods) if "pods" in observed.objects else status.get("readyReplicas")
    yield f"  store   {'ready' if ready else 'not ready'}, version {version}, {status.get('endpoint') or 'no endpoint'}"
    for pod in pods:
        about, said = pod["metadata"], pod.get("status", {})
        restarts = sum(one.get("restartCount", 0) for one in said.get("containerStatuses", []))
        node = pod["spec"].get("nodeName") or "no node"
        lived = age(about["creationTimestamp"], now)
        yield f"          pod {about['name']}: {said.get('phase', 'Unknown')} on {node}, {restarts} restarts, age {lived}"
    for claim in claims:
        said = claim.get("status", {})
        size = said.get("capacity", {}).get("storage") or claim["spec"]["resources"]["requests"]["storage"]
        held = f", {figure(state.used, 'bytes')} of samples, {figure(state.free, 'bytes')} free" if state else ""
        yield f"          volume {claim['metadata']['name']}: {said.get('phase', 'Unknown')}, {size}{held}"
    if state:
        series = f"{state.series:,} of {state.series_limit:,} series"
        yield f"          {series}, {state.rate:,.1f} samples/s since it started, {state.stored:,} stored"
    elif seen.why:
        yield f"          its own numbers are missing: {seen.why}"


def _agents(seen: Seen, observed: Observed, columns: int) -> Iterator[str]:
    status = (seen.cluster.get("status") or {}).get("nodeAgents") or {}
    sets = observed.of(seen.cluster, "daemonsets", names.AGENT)
    counted = (sets[0].get("status") or {}) if sets else {}
    desired = counted.get("desiredNumberScheduled", status.get("desired", 0))
    ready = counted.get("numberReady", status.get("ready", 0))
    updated = counted.get("updatedNumberScheduled", status.get("updated", 0))
    if desired:
        yield f"  agents  {ready} of {desired} nodes have a ready one, {updated} are as the resource says now"
    else:
        yield "  agents  wanted on no node" + ("" if sets else " yet")
    for lack in seen.lacks[:NODES]:
        yield from _broken(f"node {lack.node}: {lack.why}", "          ", columns)
    if len(seen.lacks) > NODES:
        yield f"          and {len(seen.lacks) - NODES} more nodes"


def _wrong(seen: Seen, paint: Paint, columns: int) -> Iterator[str]:
    for finding in seen.findings:
        mark = paint("wrong", "red") if finding.grave else paint("note ", "yellow")
        first, *more = [*_broken(printable(f"{finding.reason}: {finding.what}"), "          ", columns)] or [""]
        yield f"  {mark}   {first.strip()}"
        yield from more
        yield from _broken(f"what to do: {printable(finding.todo)}", "          ", columns)


def _events(cluster: Manifest, observed: Observed, now: float, columns: int) -> Iterator[str]:
    said = conditions(cluster)
    ready, told = said.get("Ready", {}), {one.get("reason") for one in said.values()}
    # What went wrong before it became ready is over.
    since = max(now - RECENT, unix(ready.get("lastTransitionTime", "")) if ready.get("status") == "True" else 0.0)
    news = (event for event in observed.events(cluster) if unix(last_seen(event)) > since)
    found = [one for one in news if one["involvedObject"].get("kind") != names.KIND or one.get("reason") not in told]
    for at, event in enumerate(found[:EVENTS]):
        about = event["involvedObject"]
        count = event.get("count") or (event.get("series") or {}).get("count") or 1
        times = f", {count} times" if count > 1 else ""
        what = f"{about['kind']} {about['name']}: {event.get('reason', '')}: {event.get('message', '')}"
        text = f"{age(last_seen(event), now)} ago{times}, {what}"
        first, *more = [*_broken(text, "          ", columns)]
        yield ("  events  " if not at else "          ") + first.strip()
        yield from more
    if len(found) > EVENTS:
        yield f"          and {len(found) - EVENTS} more"


def _broken(text: str, indent: str, columns: int) -> list[str]:
    return textwrap.wrap(text, max(60, columns), initial_indent=indent, subsequent_indent=indent + "  ")
