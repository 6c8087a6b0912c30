"""Plots, figures, tables, terminals: what is drawn, for any samples."""

import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricscluster.figures import figure, sparkline
from metricscluster.moments import age
from metricscluster.plot import HEIGHT, Line, plot
from metricscluster.terminal import Cell, Paint, show, table
from metricwire.errors import Unavailable

PLAIN, COLOURED = Paint(on=False), Paint(on=True)


def drawn(*lines: Line, columns: int = 40, paint: Paint = PLAIN, braille: bool = True) -> list[str]:
    return plot(lines, "bytes/s", "title", columns=columns, paint=paint, braille=braille, local=time.gmtime)


def test_a_line_from_corner_to_corner() -> None:
    text = "\n".join(drawn(Line("n1", [(at * 60, at * 1024.0) for at in range(17)])))
    assert (
        text
        == """\
title
16.0 KiB/s ┤                          ⢀⡞
           │                         ⣰⠋
           │                       ⢠⠞⠁
           │                      ⡴⠋
12.0 KiB/s ┤                    ⣠⠞⠁
           │                  ⢠⠞⠁
           │                ⢀⡴⠋
           │               ⣰⠋
8.00 KiB/s ┤             ⢀⡼⠁
           │           ⢀⡴⠋
           │          ⣠⠞
           │        ⣠⠞⠁
4.00 KiB/s ┤      ⢀⡴⠃
           │     ⡴⠋
           │   ⢀⡞⠁
           │ ⢀⡴⠋
     0 B/s ┤⣠⠏
           └────────────────────────────
            00:00:00  00:08:00  00:16:00 GMT"""
    )


SERIES = st.lists(st.tuples(st.integers(0, 10**10), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=50)


@settings(max_examples=50)
@given(st.lists(SERIES, min_size=1, max_size=8), st.integers(20, 200), st.booleans(), st.booleans())
def test_any_samples_fit_the_width(series: list[list[tuple[int, float]]], columns: int, colour: bool, braille: bool) -> None:
    lines = [Line(f"n{at}", sorted(samples)) for at, samples in enumerate(series)]
    found = drawn(*lines, columns=columns, paint=PLAIN, braille=braille)
    assert len(found) >= HEIGHT + 3
    assert max(map(len, found[1 : HEIGHT + 2])) <= max(columns, 42)
    body = "".join(found[1 : HEIGHT + 1])
    assert any(sign in body for sign in "abcdefgh*") or any("⠀" < sign <= "⣿" for sign in body)
    assert drawn(*lines, columns=columns, paint=Paint(on=colour), braille=braille)


def test_series_are_told_apart_with_and_without_colours() -> None:
    lines = [Line("n1", [(0, 0.0), (10, 1.0)]), Line("n2", [(0, 0.0), (10, 0.0)])]
    assert {"a", "b", "*"} <= set("".join(drawn(*lines)[1:-3]))
    assert [line.strip() for line in drawn(*lines)[-3:]] == ["a n1", "b n2", "* several of them"]
    coloured = "".join(drawn(*lines, paint=COLOURED))
    assert "\x1b[36m" in coloured
    assert "\x1b[33m" in coloured
    assert all(ord(sign) < 128 for sign in "".join(drawn(*lines, braille=False)))


def test_a_gap_is_not_joined() -> None:
    samples = [(at, 1.0) for at in (0, 1, 2, 3, 90, 91, 92, 93)]
    row = next(line for line in drawn(Line("n", samples), columns=60)[1:] if any("⠀" < sign <= "⣿" for sign in line))
    assert " " * 20 in row.partition("┤")[2]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "bytes", "-"),
        (float("nan"), "", "-"),
        (0.0, "", "0"),
        (1e-16, "percent", "0.00 %"),
        (5.0, "count", "5"),
        (12.345, "percent", "12.3 %"),
        (12345.0, "percent", "12345 %"),
        (0.001234, "seconds", "0.00123 s"),
        (1536.0, "bytes", "1.50 KiB"),
        (-1536.0, "bytes/s", "-1.50 KiB/s"),
        (1e30, "bytes", "8.88e+14 PiB"),
        (2_400_000.0, "hertz", "2.40 MHz"),
        (1500.0, "", "1.50k"),
        (999.9, "F/s", "1000 F/s"),
    ],
)
def test_figures(value: float | None, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_a_sparkline_shows_the_course() -> None:
    assert sparkline([1.0, 2.0, None, 4.0], 10) == "▁▃ █"
    assert sparkline([float(at) for at in range(64)], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([7.0] * 3, 8) == "▁▁▁"
    assert sparkline([None], 8) == ""


@pytest.mark.parametrize(
    ("since", "text"),
    [("1970-01-01T00:00:00Z", "2d"), ("1970-01-02T00:00:00Z", "24h"), ("1970-01-01T23:59:30Z", "24h"), (None, "-"), ("?", "-")],
)
def test_ages(since: str | None, text: str) -> None:
    assert age(since, 2 * 86400) == text


def test_columns_are_below_each_other_whatever_their_colours() -> None:
    rows = [["NAME", "VALUE"], [Cell("longer", "red"), "1"], ["n", Cell("22", "bold")]]
    assert table(rows, PLAIN, right=(1,)) == ["NAME    VALUE", "longer      1", "n          22"]
    assert table(rows, COLOURED, right=(1,))[1] == "\x1b[31mlonger\x1b[0m      1"


@pytest.mark.parametrize(("environment", "on"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], on: bool) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Paint.of(_Terminal()).on is on
    assert not Paint.of(io.StringIO()).on


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), _Terminal()])
def test_watching_shows_pictures_until_ctrl_c(stream: io.StringIO) -> None:
    """What cannot be had for a while is said, and looked for again."""
    pictures = iter(([*"ab"], "away", [*"cd"]))

    def draw() -> tuple[list[str], int]:
        found = next(pictures, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, str):
            raise Unavailable(found)
        return found, 0

    assert show(draw, 0.0, stream) == 0
    text = stream.getvalue()
    if stream.isatty():
        assert text.startswith("\x1b[?1049h")
        assert text.endswith("\x1b[?1049lc\nd\n")
        assert "\x1b[Haway\x1b[K\n\x1b[J" in text
    else:
        assert text == "a\nb\n\naway\n\nc\nd\n\n"
