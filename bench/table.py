"""The rows of design.md section 7 from what was measured, and the table that shows them."""

import time
from dataclasses import replace

from bench.data import ENTROPY, Fleet
from bench.figures import LARGE, SMALL, Figures
from bench.memory import WHOLE, Long
from bench.rows import MORE, Row
from bench.stores import QUERIES
from metricwire.lineprotocol import Heads, decode

DECODED = 20_000  # lines for the reference decoder
SIMILAR = "of VictoriaMetrics the nearest that it has"
OURS = "ours"


def decoder(body: bytes) -> Row:
    """The reference decoder alone, one thread."""
    heads = Heads()
    decode(body, now=0, heads=heads)
    begun = time.process_time()
    batch = decode(body, now=0, heads=heads)
    took = time.process_time() - begun
    return Row("reference decoder, series seen before", "M lines/CPU-s", len(batch.samples) / took / 1e6, better=MORE)


def rows(found: dict[str, Figures], *, whole: bool) -> list[Row]:
    """Of all stores; `found` has ours too. `whole`: the load was the design's, not a smaller one."""
    ours, others = found[OURS], {name: one for name, one in found.items() if name != OURS}
    count = ours.large.sent.lines / 1e6

    def rate(what: str, lines: int, cost: str, target: float | None) -> list[Row]:
        """CPU and clock of one load."""
        mine, theirs = getattr(ours, cost), {name: getattr(one, cost) for name, one in others.items()}
        small = lines == SMALL
        unit, scale = ("req", 1.0) if small else ("M lines", 1e-6)
        by_cpu = {
            name: (one.requests_by_cpu if small else one.lines_by_cpu) * scale for name, one in [(OURS, mine), *theirs.items()]
        }
        by_clock = {
            name: (one.sent.requests if small else one.sent.lines) / one.sent.seconds * scale
            for name, one in [(OURS, mine), *theirs.items()]
        }
        sent = mine.sent
        notes = (
            f"{sent.lines / 1e6:.2f} M lines; CPU behind the last answer: "
            + ", ".join(f"{name} {one.after:.2f} s" for name, one in [(OURS, mine), *theirs.items()]),
        )
        answers = (
            f"answer after {sent.median * 1e3:.1f} ms (median), {sent.p99 * 1e3:.1f} ms (99 %)",
            f"the load generator was at work for {sent.cpu / sent.seconds:.0%} of the time",
        )
        return [
            Row(what, f"{unit}/CPU-s", by_cpu.pop(OURS), target, MORE, by_cpu, notes),
            Row(f"{what}, by the clock", f"{unit}/s", by_clock.pop(OURS), None, MORE, by_clock, answers),
        ]

    def less(what: str, unit: str, figure: dict[str, float], target: float | None = None, *notes: str) -> Row:
        return Row(
            what, unit, figure[OURS], target, peers={name: one for name, one in figure.items() if name != OURS}, notes=notes
        )

    table = rate(f"ingest, bodies of {LARGE:,} lines, 2 connections, fsynced", LARGE, "large", 5.0)
    table += rate(f"ingest, bodies of {SMALL} lines, 16 connections, fsynced", SMALL, "small", 22_000)
    table += rate(f"first sight of {ours.first.sent.lines:,} series, bodies of {LARGE:,} lines", LARGE, "first", None)
    for number, (what, target) in enumerate(QUERIES.items()):
        answers = {name: one.queries[what].cpu for name, one in found.items()}
        answer = ours.queries[what]
        note = f"mean of {answer.repeats}; {answer.clock:.2f} ms by the clock; reworded each time {answer.reworded:.2f} CPU-ms"
        table.append(less(what, "CPU-ms", answers, target, note, *((SIMILAR,) if number == 0 else ())))
    scrapes = {name: one.exposition.cpu / 1e3 for name, one in found.items() if one.exposition}
    table.append(less(f"/metrics with {ours.first.sent.lines:,} series", "CPU-s", scrapes, 0.4, "VictoriaMetrics: /federate"))
    table.append(less("store idle, resident", "MB", {name: one.idle.resident / 1e6 for name, one in found.items()}, 90.0))
    started = {name: one.restart for name, one in found.items()}
    note = f"{ours.restarted_with / 1e6:.1f} M samples, the last acknowledged a moment before"
    table.append(less(f"ready after kill -9 with {count:.1f} M samples and more", "s", started, 2.0, note))
    lost = {name: float(one.lost) for name, one in found.items()}
    table.append(less("samples lost by that kill -9", "samples", lost, 0.0, f"of {ours.restarted_with:,} acknowledged"))
    missing = {name: float(one.samples - one.read + one.different) for name, one in found.items()}
    table.append(less("samples not read back, or different", "samples", missing, 0.0, _checked(ours)))
    grown = {name: (one.full.resident - one.idle.resident) / one.first.sent.lines for name, one in found.items()}
    table.append(
        less("memory by series, after all that was written", "bytes", grown, None, "resident less that of the idle store")
    )
    disk = {name: one.disk / one.samples for name, one in found.items()}
    table.append(
        less(f"disk by sample after {ours.samples / 1e6:.1f} M", "bytes", disk, None, "what is still in the log counts")
    )
    return table if whole else [replace(row, judged=False) for row in table]


def _checked(ours: Figures) -> str:
    return f"{ours.samples:,} counted by queries, {ours.compared:,} of them compared bit by bit"


def long_rows(found: dict[str, Long], fleet: Fleet, *, fixed: bool) -> list[Row]:
    """Memory and disk of many hours; peers may have written fewer, so each says how many."""
    ours = found[OURS]
    peers = {name: one for name, one in found.items() if name != OURS}
    whole = ours.hours >= WHOLE and fleet == Fleet()
    hours = tuple(f"{name}: {one.hours:.1f} h, {one.samples / 1e6:.0f} M samples written" for name, one in found.items())
    counted = f"{ours.missing:,} of {ours.missing + ours.counted:,} samples of some hosts missing when read back"
    of = f"{fleet.series:,} series x {ours.hours:.1f} h"

    def row(what: str, unit: str, attribute: str, target: float | None, *notes: str) -> Row:
        figure = {name: _long(one, attribute) for name, one in found.items()}
        return Row(what, unit, figure[OURS], target, peers={name: figure[name] for name in peers}, notes=notes, judged=whole)

    decimals = "fixed for a series" if fixed else f"drawn for each sample: none can need less than {ENTROPY:.2f} bytes"
    return [
        row(f"memory, {of}, resident", "GB", "resident", 0.6, *hours, counted),
        row(f"memory, {of}, private", "GB", "private", None),
        row(f"disk for the same, by sample (whole folder) ({of})", "bytes", "disk", 2.5, f"1-3 decimals, {decimals}"),
        row("ready after kill -9 with that", "s", "restart", None),
    ]


def _long(one: Long, attribute: str) -> float:
    figures = {
        "resident": one.memory.resident / 1e9,
        "private": one.memory.private / 1e9,
        "disk": one.disk / one.samples,
        "restart": one.restart,
    }
    return figures[attribute]


def number(figure: float | None) -> str:
    """Three significant digits, or none."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 1000 or figure == int(figure) else f"{figure:.3g}"


def markdown(table: list[Row]) -> list[str]:
    """The table, a line each; in brackets ours divided by it."""
    peers = list(dict.fromkeys(name for row in table for name in row.peers))
    cells = [["what", "unit", "ours", "target", "", *peers]]
    for row in table:
        target = "-" if row.target is None else f"{'>=' if row.better == MORE else '<='} {_beside(row, row.target)}"
        cells.append([row.what, row.unit, number(row.ours), target, row.verdict])
        cells[-1] += [_beside(row, row.peers.get(name)) for name in peers]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]


def _beside(row: Row, figure: float | None) -> str:
    """Another figure and the ratio to it."""
    ratio = row.ratio(figure)
    return number(figure) if ratio is None else f"{number(figure)} (x {number(ratio)})"


def notes(table: list[Row]) -> list[str]:
    """What readers of the table must know, a line each."""
    return [f"- {row.what}: {note}" for row in table for note in row.notes]
