"""`metricscluster diagnose`: one archive with what is needed to find out what is wrong, and without secrets.

In it: SUMMARY.txt, which says what looks wrong and what could not be had; objects/; logs/, of containers that restarted those
of before too; metrics/, what operator, store and agents say of themselves; versions/. Passwords, tokens and keys are blacked
out. It is made even when parts are broken. Exit status: 0 when it was written, 1 when not, 2 for bad input.
"""

import argparse
import sys
import time
from pathlib import Path

from metricscluster import reach
from metricscluster.bundle import Bundle
from metricscluster.findings import findings, lacks
from metricscluster.gathering import Gathering, folder
from metricscluster.observation import Observed, look
from metricscluster.output import Output
from metricscluster.page import Seen
from metricscluster.progress import Progress, size
from metricscluster.selfmetrics import StoreState, parse, store_state
from metricscluster.summary import summary
from metricwire.errors import MetricsError

HELP = "write logs, objects and metrics into one archive, without secrets"
EXAMPLES = """
  kubectl metricscluster diagnose -n monitoring
  kubectl metricscluster diagnose fritz -n monitoring -o /tmp/fritz.tar.gz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="of a MetricsCluster (default: the only one)")
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", default="", help="where it is (default: as in kubectl)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="what to write (default: metricscluster-NAME-TIME.tar.gz)"
    )
    reach.add_kubectl(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write it; the exit status."""
    kube, now = reach.kubectl(arguments), time.time()
    chosen = reach.choose(kube, arguments.namespace, arguments.name)
    bundle = Bundle(folder(chosen.name))
    path: Path = arguments.output or Path(f"{bundle.folder}.tar.gz")
    with Output(path) as output:
        observed = look(kube, ("-n", chosen.namespace), chosen.name)
        [cluster] = observed.clusters
        gathering = Gathering(kube, cluster, observed, bundle)
        gathering.read_secrets()
        with Progress("gathering", gathering.steps(), sys.stderr) as progress:
            gathering.gather(lambda what: progress.add(1, what))
        state = _state(gathering, bundle)
        seen = Seen(cluster, state, "", findings(cluster, observed, state, now), lacks(cluster, observed, now))
        text = gathering.redactor.text(summary(seen, _with_unseen(observed, bundle), bundle, now))
        bundle.write(output.file, text, now)
        output.file.flush()
        written = output.part.stat().st_size
    print(f"wrote {path}: {len(bundle.files) + 1} files, {size(written)}; SUMMARY.txt in it says what looks wrong")
    return 0


def _state(gathering: Gathering, bundle: Bundle) -> StoreState | None:
    try:
        return store_state(parse(gathering.state), time.time(), gathering.hosts) if gathering.state else None
    except MetricsError as error:
        bundle.lack("the store's own numbers", str(error))
        return None


def _with_unseen(observed: Observed, bundle: Bundle) -> Observed:
    for text in observed.unseen:
        bundle.lack("some objects for the summary", text)
    return observed
