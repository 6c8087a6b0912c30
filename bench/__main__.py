"""`make bench`, `python -m bench [PART ...]`: measure, print the table, write it to bench/results with the machine's facts."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench import codecs, installed, memory, table
from bench.agent import agent
from bench.data import Bodies, Fleet
from bench.figures import Figures, figures
from bench.memory import Long, hold
from bench.picture import draw
from bench.profile import ROWS, profile
from bench.program import ROOT
from bench.progress import say
from bench.rows import Row
from bench.scaling import Scaling
from bench.stores import Ours, VictoriaMetrics, peers, victoria_metrics
from metricwire import __version__

RESULTS = Path(__file__).parent / "results"
WHOLE_MINUTES = 60  # timestamps that the rows of design.md speak of
BUSY = 0.5  # processes running before the first measurement
FAILURES = (RuntimeError, OSError, subprocess.SubprocessError)


def arguments() -> argparse.Namespace:
    """What to measure, and how long."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(Bench.PARTS)} (default: all), or `profile ROW`")
    parser.add_argument("--hosts", type=int, default=200, help="hosts of the load, 737 series each (default 200)")
    parser.add_argument("--minutes", type=int, default=60, help="timestamps in large bodies (default 60)")
    parser.add_argument("--rounds", type=int, default=6, help="timestamps in small bodies (default 6)")
    parser.add_argument("--hours", type=float, default=0, help="hours of the memory row, 48 for the whole (default: what fits)")
    parser.add_argument("--full", action="store_true", help="the same as --hours 48")
    parser.add_argument("--memory-seconds", type=float, default=90, help="time that `what fits` may take (default 90)")
    parser.add_argument("--peer-seconds", type=float, default=30, help="the same for VictoriaMetrics' memory (default 30)")
    parser.add_argument("--scaling-seconds", type=float, default=140, help="time of the scaling part (default 140)")
    parser.add_argument(
        "--decimals", choices=("sample", "series"), default="sample", help="drawn for each sample, or fixed by series"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure ours alone")
    found = parser.parse_args()
    found.hours = memory.WHOLE if found.full else found.hours
    if found.parts[:1] == ["profile"] and (len(found.parts) != 2 or found.parts[1] not in ROWS):
        parser.error(f"profile wants one of {', '.join(ROWS)}")
    if found.parts[:1] != ["profile"] and (unknown := set(found.parts) - set(Bench.PARTS)):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return found


def facts() -> dict[str, object]:
    """What the figures depend on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "version": __version__,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "load before": round(os.getloadavg()[0], 2),
        "VictoriaMetrics": installed.package("victoria-metrics") if victoria_metrics() else "not installed",
        "cc-metric-store": os.environ.get("CC_METRIC_STORE", "not given"),
    }


class Bench:
    """One run: the parts asked for, what they found, and what could not be measured."""

    PARTS = ("stores", "memory", "agent", "installed", "codecs", "scaling")

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self.report: dict[str, Any] = {"facts": facts(), "options": vars(options)}
        self.text: list[str] = []
        self._options, self._folder = options, folder
        self._fleet, self._fixed = Fleet(options.hosts), options.decimals == "series"
        self._peers, self._missing = ([], []) if options.no_peers else peers()

    def run(self) -> None:
        """The parts, each on its own: what fails in one is told at the end."""
        for part in self._options.parts or self.PARTS:
            self._attempt(part, getattr(self, part))

    def _attempt(self, what: str, measured: Callable[[], None]) -> None:
        say(f"--- {what}")
        try:
            measured()
        except FAILURES as error:
            self.failures.append(f"{what}: {error}")
            say(f"{what} FAILED: {error}")

    def stores(self) -> None:
        """Section 7's rows of the store, ours and peers."""
        _, body = next(Bodies(self._fleet, 20_000).at(1_700_000_000))
        found: dict[str, Figures] = {}
        for kind in (Ours, *self._peers):

            def one(kind: type[Ours] | Any = kind) -> None:
                with TemporaryDirectory(dir=self._folder) as folder, kind(Path(folder)) as store:
                    found[kind.name] = figures(
                        store, self._fleet, self._options.minutes, self._options.rounds, fixed=self._fixed
                    )

            self._attempt(kind.name, one)
        self.report["stores"] = {name: plain(one) for name, one in found.items()}
        if Ours.name in found:
            whole = self._fleet == Fleet() and self._options.minutes >= WHOLE_MINUTES
            self.rows += [*table.rows(found, whole=whole), table.decoder(body)]

    def memory(self) -> None:
        """The long load, ours and VictoriaMetrics."""
        found: dict[str, Long] = {}
        with TemporaryDirectory(dir=self._folder) as folder, Ours(Path(folder), retention="50h") as ours:
            found[ours.name] = hold(ours, self._fleet, self._options.hours, self._options.memory_seconds, fixed=self._fixed)
        if VictoriaMetrics in self._peers:
            with TemporaryDirectory(dir=self._folder) as folder, VictoriaMetrics(Path(folder)) as peer:
                hours = self._options.hours
                found[peer.name] = hold(peer, self._fleet, hours, self._options.peer_seconds, fixed=self._fixed)
        self.report["memory"] = {name: plain(one) for name, one in found.items()}
        self.rows += table.long_rows(found, self._fleet, fixed=self._fixed)

    def agent(self) -> None:
        """The node agent."""
        with TemporaryDirectory(dir=self._folder) as folder:
            self.rows += agent(Path(folder))

    def installed(self) -> None:
        """Images and operator."""
        self.rows += [*installed.operator(), *installed.images()]

    def codecs(self) -> None:
        """Codecs of blocks."""
        found = codecs.compare()
        self.report["codecs"] = [plain(one) for one in found]
        self.text += ["", "## Codecs", "", *codecs.table(found)]

    def scaling(self) -> None:
        """The picture."""
        found = Scaling(self._folder, self._options.scaling_seconds)
        try:
            found.run()
        finally:
            self.report["scaling"] = found.report()
            name = f"{stem(self._options.parts)}-scaling.svg" if not self._options.parts else f"{stem(self._options.parts)}.svg"
            (RESULTS / name).write_text(draw(found.title(), found.below(), found.panels()))
            self.text += ["", "## Scaling", "", f"![{found.title()}]({name})", "", found.title() + ".", *found.below()]
            say(f"written to {RESULTS / name}")

    def markdown(self) -> str:
        """Everything, for people."""
        told = [f"# Measurements of {time.strftime('%Y-%m-%d')}", ""]
        told += [f"- {name}: {value}" for name, value in self.report["facts"].items()]
        if self.report["facts"]["load before"] > BUSY:
            told += ["", "The machine was busy with something else: figures are worse than they would be alone."]
        if self.rows:
            told += [
                "",
                "In brackets: ours divided by it.",
                "",
                *table.markdown(self.rows),
                "",
                "## Notes",
                "",
                *table.notes(self.rows),
            ]
            told += [f"- {sentence}" for sentence in self._missing]
        told += ["", "## Failed", "", *(f"- {failure}" for failure in self.failures)] if self.failures else []
        return "\n".join([*told, *self.text]) + "\n"


def plain(found: Any) -> Any:
    """Named tuples as objects of JSON."""
    if isinstance(found, tuple) and hasattr(found, "_asdict"):
        return {name: plain(value) for name, value in found._asdict().items()}
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items()}
    return found


def stem(parts: list[str]) -> str:
    """Of the names of the files: the date, and the parts where not all were measured."""
    return "-".join([time.strftime("%Y-%m-%d"), *parts])


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    options = arguments()
    RESULTS.mkdir(exist_ok=True)
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=base) as folder:
        if options.parts[:1] == ["profile"]:
            profile(options.parts[1], Path(folder), RESULTS)
            return 0
        bench = Bench(options, Path(folder))
        bench.run()
    bench.report |= {"rows": [asdict(row) | {"verdict": row.verdict} for row in bench.rows], "failures": bench.failures}
    path = RESULTS / stem(options.parts)
    path.with_suffix(".json").write_text(json.dumps(bench.report, indent=1) + "\n")
    path.with_suffix(".md").write_text(bench.markdown())
    print(bench.markdown())
    say(f"written to {path}.json and {path}.md")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
