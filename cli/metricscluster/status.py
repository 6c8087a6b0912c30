"""`metricscluster status`: how a MetricsCluster is, what is wrong with it, and what to do.

A table for each: what the operator says, the store with its own numbers, the agents and the nodes that lack one, warnings of
the last hour. Exit status: 0 when all of them do what they are for, 1 when one does not or cannot be seen, 2 for bad input.
"""

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

from metricscluster import reach
from metricscluster.asking import Asking
from metricscluster.client import Client
from metricscluster.findings import cluster_name, findings, healthy, lacks, moving
from metricscluster.kubectl import Kubectl
from metricscluster.observation import Manifest, Observed, look
from metricscluster.page import Seen, page
from metricscluster.selfmetrics import StoreState, parse, store_state
from metricscluster.terminal import Paint, printable, show, width
from metricsoperator import names
from metricwire.errors import BadInput, MetricsError, NotFound

HELP = "say how a MetricsCluster is, what is wrong, what to do"
EXAMPLES = """
  kubectl metricscluster status -n monitoring
  kubectl metricscluster status fritz -n monitoring --watch
  kubectl metricscluster status -A -o json | jq '.[] | select(.healthy | not)'
"""
WATCHED = 5.0  # seconds between two pictures
SETTLED = 5.0  # seconds for an operator to see a change
AGAIN = 1.0  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="of a MetricsCluster (default: all of the namespace)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", metavar="NAMESPACE", help="where it is (default: as in kubectl)")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="those of all namespaces")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: %(default)s")
    parser.add_argument(
        "-w", "--watch", nargs="?", type=float, const=WATCHED, metavar="SECONDS", help="look again and again, until Ctrl-C"
    )
    reach.add_kubectl(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it; the exit status."""
    if arguments.name and arguments.all_namespaces:
        raise BadInput("cannot use NAME with --all-namespaces: name its namespace")
    return show(partial(_draw, arguments), arguments.watch, sys.stdout)


def _draw(arguments: argparse.Namespace) -> tuple[list[str], int]:
    kube = reach.kubectl(arguments)
    scope = ("-A",) if arguments.all_namespaces else ("-n", arguments.namespace) if arguments.namespace else ()
    observed = _settled(kube, scope, arguments)
    if not observed.clusters:
        where = "in all namespaces" if arguments.all_namespaces else f"in this namespace; {reach.elsewhere(kube)}"
        raise NotFound(f"cannot find a MetricsCluster: there is none {where}")
    now = time.time()
    all_seen = [_seen(arguments, cluster, observed, now) for cluster in observed.clusters]
    status = 0 if all(healthy(seen.findings) for seen in all_seen) else 1
    if arguments.output == "json":
        return [json.dumps([_plain(seen, observed, now) for seen in all_seen], indent=1)], status
    paint, columns = Paint.of(sys.stdout), width(sys.stdout)
    lines = [line for seen in all_seen for line in (*page(seen, observed, now, paint, columns), "")]
    return [*lines[:-1], *(printable(f"not seen: {text}") for text in observed.unseen)], status


def _settled(kube: Kubectl, scope: tuple[str, ...], arguments: argparse.Namespace) -> Observed:
    """What there is, a few seconds later where something has just changed and an operator may be at it."""
    end = time.monotonic() + (0 if arguments.watch else SETTLED)
    while True:
        try:
            observed = look(kube, scope, arguments.name)
        except NotFound as error:
            raise NotFound(f"{error}; {reach.elsewhere(kube)}") from error
        now = time.time()
        if time.monotonic() > end or not any(moving(findings(one, observed, None, now)) for one in observed.clusters):
            return observed
        time.sleep(AGAIN)


def _seen(arguments: argparse.Namespace, cluster: Manifest, observed: Observed, now: float) -> Seen:
    state: StoreState | None = None
    why = ""
    pods = observed.of(cluster, "pods", names.STORE)
    if any(pod.get("status", {}).get("phase") == "Running" for pod in pods):
        try:
            state = _state(arguments, cluster)
        except MetricsError as error:
            why = str(error)
    found = findings(cluster, observed, state, now)
    return Seen(cluster, state, why, found, lacks(cluster, observed, now))


def _state(arguments: argparse.Namespace, cluster: Manifest) -> StoreState:
    """What the store says of itself, on the port that needs no token."""
    kube, about = reach.kubectl(arguments), cluster["metadata"]
    port = names.STORE_OPS_PORT
    with kube.forward(about["namespace"], f"{names.store(about['name'])}-0", (port,)) as ports:
        client = Client(f"http://127.0.0.1:{ports[port]}")
        return store_state(parse(client.ask("/metrics/self")), time.time(), Asking(client, cluster_name(cluster)).heard())


def _plain(seen: Seen, observed: Observed, now: float) -> dict[str, Any]:
    """For programs."""
    about, status = seen.cluster["metadata"], seen.cluster.get("status") or {}
    return {
        "namespace": about["namespace"],
        "name": about["name"],
        "clusterName": cluster_name(seen.cluster),
        "healthy": healthy(seen.findings),
        "conditions": status.get("conditions", []),
        "store": (status.get("store") or {}) | {"self": seen.state.plain() if seen.state else None, "unreached": seen.why},
        "nodeAgents": (status.get("nodeAgents") or {}) | {"lacking": [lack._asdict() for lack in seen.lacks]},
        "wrong": [finding._asdict() for finding in seen.findings],
        "warnings": len(observed.events(seen.cluster)),
        "at": int(now),
        "unseen": list(observed.unseen),
    }
