"""`metricscluster inject`: tell the containers of workloads where to send their metrics, as DC/OS did (docs/applications.md).

STATSD_UDP_HOST and STATSD_UDP_PORT are added to every container, init container and sidecar that has not got them. A file, or
`-` for standard input, is printed with them, and else as it was; `deployment/web` is changed in the cluster, which replaces its
pods. A container that has one of the two set otherwise is left alone and named on standard error.
"""

import argparse
import re
import sys
from pathlib import Path

from metricscluster import patching, reach
from metricscluster.podspecs import Agents
from metricscluster.terminal import printable
from metricwire.errors import BadInput

HELP = "add the variables that say where to send StatsD to workloads"
EXAMPLES = """
  metricscluster inject web.yaml --metricscluster monitoring/fritz | kubectl apply -f -
  helm template shop ./shop | metricscluster inject - --metricscluster monitoring/fritz | kubectl apply -f -
  kubectl metricscluster inject deployment/web -n shop --context test
"""
_NAMES = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "what", metavar="FILE|-|KIND/NAME", help="YAML or JSON to print, or a workload of the cluster to change"
    )
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="of the workload (default: as in kubectl)")
    parser.add_argument(
        "--metricscluster",
        type=_names,
        metavar="NAMESPACE/NAME",
        help="whose agents (default: of the only MetricsCluster, and its port, as the API server has it)",
    )
    parser.add_argument("--port", type=_port, metavar="PORT", help="of the agents' StatsD (default: 8125)")
    parser.add_argument("--host-port", action="store_true", help="name the node's own address instead of the agents' Service")
    reach.add_kubectl(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit status: 0, 1 when the cluster does not let us, 2 for bad input."""
    live = patching.target(arguments.what)
    if live:
        return _live(live, arguments)
    if arguments.namespace:
        raise BadInput("cannot use --namespace with a file: it says itself which namespaces its objects are in")
    return _file(arguments)


def _live(target: patching.Target, arguments: argparse.Namespace) -> int:
    cluster = patching.Cluster(reach.kubectl(arguments))
    patched = cluster.inject(target, arguments.namespace or "", _agents(arguments, cluster))
    for note in patched.notes:
        print(printable(note), file=sys.stderr)
    count = patched.containers
    print(f"{target.label} {f'injected into {count} containers' if count else 'unchanged'}")
    return 0


def _file(arguments: argparse.Namespace) -> int:
    from metricscluster.workloads import inject  # noqa: PLC0415 the store's image, where `store` is run, cannot read YAML

    source = "standard input" if arguments.what == "-" else arguments.what
    try:
        data = sys.stdin.buffer.read() if arguments.what == "-" else Path(arguments.what).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {source}: {error.strerror}") from error
    found = inject(data, source, _agents(arguments, patching.Cluster(reach.kubectl(arguments))))
    for note in found.notes:
        print(printable(note), file=sys.stderr)
    if not found.seen:
        print(f"{printable(source)}: there is no workload in it", file=sys.stderr)
    sys.stdout.flush()
    sys.stdout.buffer.write(found.text.encode())
    return 0


def _agents(arguments: argparse.Namespace, cluster: patching.Cluster) -> Agents:
    """Where workloads shall send; the API server is asked only for what the command line does not say."""
    if arguments.host_port:
        return Agents("", arguments.port or patching.STATSD_PORT)
    if arguments.metricscluster:
        return Agents(patching.service_name(*arguments.metricscluster), arguments.port or patching.STATSD_PORT)
    found = cluster.only_agents()
    return Agents(found.service, arguments.port or found.port)


def _names(text: str) -> tuple[str, str]:
    found = _NAMES.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected NAMESPACE/NAME, got {text[:80]!r}")
    return found[1], found[2]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"expected a port, got {text[:40]!r}")
    return int(text)
