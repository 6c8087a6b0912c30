"""What is at the top of a diagnosis: what looks wrong, how it is, what is missing, what the logs complain of. Pure."""

import re
from collections import Counter
from collections.abc import Iterator

from metricscluster.bundle import Bundle
from metricscluster.lines import event
from metricscluster.moments import rfc3339
from metricscluster.observation import Observed
from metricscluster.page import Seen, page
from metricscluster.terminal import LONGEST, Paint, printable
from metricwire import __version__

COLUMNS = 120
COMPLAINTS = 20  # of the logs, the most frequent ones
_GRAVE = ("error", "critical", "warning")
_NUMBERS = re.compile(r"\d+")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")


def summary(seen: Seen, observed: Observed, bundle: Bundle, now: float) -> str:
    """SUMMARY.txt."""
    about = seen.cluster["metadata"]
    lines = [f"MetricsCluster {about['namespace']}/{about['name']}, {rfc3339(now)}, metricscluster {__version__}", ""]
    lines += ["What looks wrong", *(_wrong(seen) or ["  nothing is known to be wrong"]), ""]
    lines += ["How it is", *page(seen, observed, now, Paint(on=False), COLUMNS), ""]
    lines += ["What the logs complain of most", *(_complaints(bundle) or ["  nothing"]), ""]
    lines += ["What could not be had", *([f"  {what}: {why}" for what, why in bundle.missing] or ["  nothing"]), ""]
    lines += ["Files", *(f"  {path}, {len(content):,} bytes" for path, content in sorted(bundle.files.items()))]
    return "\n".join(map(printable, lines)) + "\n"


def _wrong(seen: Seen) -> list[str]:
    lines = []
    for finding in seen.findings:
        lines += [f"  {'!' if finding.grave else '-'} {finding.reason}: {finding.what}", f"      what to do: {finding.todo}"]
    return lines + [f"  - node {lack.node}: {lack.why}" for lack in seen.lacks]


def _complaints(bundle: Bundle) -> list[str]:
    """Errors and warnings, those that differ by numbers alone as one, with how often and where."""
    found: Counter[tuple[str, str]] = Counter()
    shown: dict[tuple[str, str], str] = {}
    for path, content in bundle.files.items():
        if path.startswith("logs/"):
            for text in _grave(content):
                key = (path.removeprefix("logs/"), _NUMBERS.sub("0", text))
                found[key] += 1
                shown[key] = text
    return [f"  {count} x {key[0]}: {shown[key]}" for key, count in found.most_common(COMPLAINTS)]


def _grave(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8", "replace").splitlines():
        said = event(_STAMP.sub("", line))
        if said and said.level in _GRAVE:
            yield f"{said.level}: {said.message}"[:LONGEST]
