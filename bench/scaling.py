"""How cost grows with the work: series, clients, hosts of a query, range of a query. Flat lines are what is wanted."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.data import FREQUENCY, Fleet, host
from bench.figures import LARGE, SMALL, Answer, repeat
from bench.picture import Line, Panel
from bench.program import Cost, measure
from bench.progress import say
from bench.sender import Load
from bench.stores import Ours, query, thread_query

SERIES = (10_000, 100_000, 1_000_000)
CLIENTS = (1, 4, 16, 64, 256)
HOSTS = (1, 10, 100, 1000)
HOURS = (1, 6, 24, 48, 168, 720)
LINES = 1_500_000  # in large bodies, and SMALL_LINES in small ones, so that CPU time is known to some percent
SMALL_LINES = 400_000
REPEATS = 5
WARM = 5  # timestamps sent first
ALIKE = 8  # timestamps after which memory is compared
AFTER = f"after {1 + ALIKE} samples"
OF_LARGE, OF_SMALL = f"{LARGE:,} lines a body", f"{SMALL} lines"
CLIENT_SECONDS = 3.0  # that one number of clients is measured, about
CAUTION = 1.3  # times the time foreseen that a step may take

Figures = dict[str, list[tuple[float, float]]]


class Scaling:
    """Measures for about `budget` seconds; what does not fit is left out and named in `left_out`."""

    def __init__(self, folder: Path, budget: float) -> None:
        self.figures: Figures = {}
        self.left_out: list[str] = []
        self._folder, self._budget = folder, budget
        self._end = 0.0
        self._first, self._large, self._small = (
            0.0,
            0.0,
            0.0,
        )  # seconds by line that is a series' first, in large bodies, in small

    def run(self) -> None:
        """All parts; what one leaves of its share of the time is for those behind it."""
        self._end = time.monotonic()
        for part, share in ((self.clients, 0.3), (self.ranges, 0.15), (self.hosts, 0.15), (self.series, 0.4)):
            self._end += share * self._budget
            part()

    def _with_store(self, what: Callable[[Ours], None], retention: str = "48h") -> None:
        with TemporaryDirectory(dir=self._folder) as folder, Ours(Path(folder), retention=retention) as store:
            store.ready()
            store.settle(5)
            what(store)

    def _add(self, name: str, x: float, y: float) -> None:
        self.figures.setdefault(name, []).append((x, y))

    def _fits(self, what: str, *, first: float = 0, large: float = 0, small: float = 0, seconds: float = 2.0) -> bool:
        """Whether there is time for so many lines of each kind, and seconds more."""
        foreseen = first * self._first + large * self._large + small * self._small + seconds
        fits = time.monotonic() + foreseen * CAUTION < self._end
        if not fits:
            self.left_out.append(what)
            say(f"scaling: {what} left out, no time")
        return fits

    def _send(self, store: Ours, fleet: Fleet, start: int, minutes: int, lines: int, connections: int) -> Cost:
        load = Load(
            store.port,
            store.write_path,
            start,
            minutes,
            lines,
            connections,
            fleet.hosts,
            len(fleet.node_metrics),
            len(fleet.thread_metrics),
            live=fleet.series * minutes > 8 * LINES,
        )
        return measure(store, load)

    def clients(self) -> None:
        """Small bodies from 1 to 256 connections."""

        def part(store: Ours) -> None:
            fleet, start = Fleet(20), _before(600)
            self._first = _line(self._send(store, fleet, start, 1, LARGE, 2))
            self._large = _line(self._send(store, fleet, start + FREQUENCY, WARM, LARGE, 2))
            at, minutes = 1 + WARM, 2
            self._small = _line(self._send(store, fleet, start + at * FREQUENCY, minutes, SMALL, 1))
            for clients in CLIENTS:
                at, minutes = at + minutes, max(2, min(80, int(CLIENT_SECONDS / self._small / fleet.series)))
                if not self._fits(f"{clients} clients", small=minutes * fleet.series):
                    continue
                cost = self._send(store, fleet, start + at * FREQUENCY, minutes, SMALL, clients)
                self._small = _line(cost)
                self._add("request", clients, 1e6 / cost.requests_by_cpu)
                self._add("median", clients, cost.sent.median * 1e3)
                self._add("p99", clients, cost.sent.p99 * 1e3)
                each = 1e6 / cost.requests_by_cpu
                say(f"scaling: {clients} clients: {each:.0f} CPU-us a request, {cost.sent.p99 * 1e3:.1f} ms p99")

        self._with_store(part)

    def ranges(self) -> None:
        """Queries of one hour to 30 days, over 72 threads of one host."""
        whole = Fleet()
        fleet = Fleet(1, whole.node_metrics[:1], whole.thread_metrics[:1])

        def part(store: Ours) -> None:
            hours = [one for one in HOURS if self._fits(f"a range of {one} h", large=one * 60 * fleet.series)]
            if not hours:
                return
            end = _before(0)
            self._send(store, fleet, end - hours[-1] * 3600, hours[-1] * 60, LARGE, 2)
            store.settle()
            threads = [str(number) for number in range(fleet.threads)]
            metric = fleet.thread_metrics[0]
            for one in hours:
                for name, asked in (
                    ("72 threads, aggregated", {"metric": metric, "host": host(0)}),
                    ("72 threads, each", thread_query(metric, host(0), threads)),
                ):
                    answer = repeat(store, query(end - one * 3600, end, queries=[asked]), REPEATS)
                    self._read(name, one, answer, fleet.threads * one * 60)

        self._with_store(part, retention="31d")

    def hosts(self) -> None:
        """One query over 1 to 1000 hosts."""
        fleet = Fleet(HOSTS[-1], (), Fleet().thread_metrics[:1])
        minutes = max(10, LINES // fleet.series)

        def part(store: Ours) -> None:
            if not self._fits("queries of many hosts", first=fleet.series, large=minutes * fleet.series):
                return
            start = _before(minutes)
            self._send(store, fleet, start, minutes, LARGE, 2)
            store.settle()
            for count in HOSTS:
                asked = [{"metric": fleet.thread_metrics[0], "host": host(number)} for number in range(count)]
                answer = repeat(store, query(start, start + minutes * FREQUENCY, queries=asked), REPEATS)
                self._read("hosts", count, answer, count * fleet.threads * minutes)

        self._with_store(part)

    def _read(self, name: str, x: float, answer: Answer, samples: int) -> None:
        self._add(name, x, answer.cpu * 1e6 / samples)
        say(
            f"scaling: {name}, {x:g}: {answer.cpu * 1e6 / samples:.1f} CPU-ns by sample read, {answer.cpu:.1f} CPU-ms a request"
        )

    def series(self) -> None:
        """Everything that is written, with ever more series."""
        for wanted in SERIES:
            fleet = Fleet(-(-wanted // Fleet().by_host))
            minutes, rounds = max(0, LINES // fleet.series - ALIKE), max(1, SMALL_LINES // fleet.series)
            count = fleet.series
            if self._fits(f"{wanted:,} series", first=count, large=count * (ALIKE + minutes), small=count * rounds):
                self._with_store(lambda store, f=fleet, m=minutes, r=rounds: self._series(store, f, m, r))  # type: ignore[misc]

    def _series(self, store: Ours, fleet: Fleet, minutes: int, rounds: int) -> None:
        idle, start = store.memory(), _before(1 + ALIKE + minutes + rounds)
        first = self._send(store, fleet, start, 1, LARGE, 2)
        seen = store.memory()
        large = self._send(store, fleet, start + FREQUENCY, ALIKE, LARGE, 2)
        full = store.memory()
        if minutes:
            large = self._send(store, fleet, start + (1 + ALIKE) * FREQUENCY, minutes, LARGE, 2)
        small = self._send(store, fleet, start + (1 + ALIKE + minutes) * FREQUENCY, rounds, SMALL, 16)
        for name, figure in (
            ("first sight", 1e9 / first.lines_by_cpu),
            (OF_LARGE, 1e9 / large.lines_by_cpu),
            (OF_SMALL, 1e9 / small.lines_by_cpu),
            ("after one sample", (seen.resident - idle.resident) / fleet.series),
            (AFTER, (full.resident - idle.resident) / fleet.series),
        ):
            self._add(name, fleet.series, figure)
        say(
            f"scaling: {fleet.series:,} series: {1e9 / large.lines_by_cpu:.0f} CPU-ns a line, "
            f"{(full.resident - idle.resident) / fleet.series:.0f} bytes a series"
        )

    def panels(self) -> list[Panel]:
        """The picture's."""

        def lines(*names: str) -> tuple[Line, ...]:
            return tuple(Line(name, tuple(self.figures.get(name, ()))) for name in names)

        written = lines(OF_LARGE, OF_SMALL, "first sight")
        made: list[tuple[str, str, str, tuple[Line, ...]]] = [
            ("Cost of a line", "series in the store", "CPU nanoseconds a line", written),
            (
                "Memory of a series",
                "series in the store",
                "bytes a series, above the idle store",
                lines("after one sample", AFTER),
            ),
            (f"Cost of a request ({SMALL} lines)", "clients at once", "CPU microseconds a request", lines("request")),
            (f"Time to the answer ({SMALL} lines, fsynced)", "clients at once", "milliseconds", lines("median", "p99")),
            (
                "Cost of a sample read, by hosts",
                "hosts of one query, 72 threads aggregated",
                "CPU nanoseconds a sample",
                lines("hosts"),
            ),
            (
                "Cost of a sample read, by range",
                "range of the query in hours, one host",
                "CPU nanoseconds a sample",
                lines("72 threads, aggregated", "72 threads, each"),
            ),
        ]
        return [Panel(title, _seen(shown), x, y, shown) for title, x, y, shown in made]

    def title(self) -> str:
        """What is seen, in a sentence."""
        line, memory = self.figures.get(OF_LARGE, []), self.figures.get(AFTER, [])
        if len(line) < 2:
            return "How cost grows with the work"
        return (
            f"From {line[0][0]:,.0f} to {line[-1][0]:,.0f} series a line costs {line[-1][1] / line[0][1]:.2f} times as much "
            f"and a series takes {memory[-1][1] / memory[0][1]:.2f} times the memory"
        )

    def below(self) -> list[str]:
        """What else a reader must know."""
        told = ["The store of this repository; a flat line means that the cost of one does not depend on how many there are."]
        if self.left_out:
            told.append(f"Left out, no time: {', '.join(self.left_out)} (`python -m bench scaling --scaling-seconds ...`).")
        return told

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {"title": self.title(), "left out": self.left_out, "figures": self.figures}


def _line(cost: Cost) -> float:
    """Seconds of the clock that a line took."""
    return cost.sent.seconds / cost.sent.lines


def _before(minutes: int) -> int:
    """The full minute so many minutes before the next one."""
    return int(time.time()) // FREQUENCY * FREQUENCY + FREQUENCY - minutes * FREQUENCY


def _seen(lines: tuple[Line, ...]) -> str:
    """How each line ends against its begin."""
    told = [
        f"{line.name} x{line.points[-1][1] / line.points[0][1]:.2f}"
        for line in lines
        if len(line.points) > 1 and line.points[0][1]
    ]
    return f"last / first: {', '.join(told)}" if told else ""
