"""Small multiples as SVG, made by hand: panels of lines over a logarithmic axis."""

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 410, 300  # of a panel, with its texts
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 80, 46  # from a panel's edge to its plot
COLUMNS = 3
HEAD, FOOT = 62, 26
WRAP = 175  # characters of a line below the title
COLOURS = ("#1b6ca8", "#c8511b", "#3a7d44", "#7b4b94")
STEEP = 12.0  # largest by smallest figure, from which on the upward axis is logarithmic too


class Line(NamedTuple):
    """What one colour shows: (x, y) from left to right."""

    name: str
    points: tuple[tuple[float, float], ...]


class Panel(NamedTuple):
    """One plot. `seen` is the sentence above it; `x` and `y` name the axes with their units."""

    title: str
    seen: str
    x: str
    y: str
    lines: tuple[Line, ...]


class Axis(NamedTuple):
    """From figures to pixels: `low` at `begin`, `high` at `end`."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool

    def at(self, figure: float) -> float:
        """Where a figure is."""
        low, high, here = (math.log10(one) if self.logarithmic else one for one in (self.low, self.high, figure))
        return self.begin + (here - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Figures to write: powers of ten, with 2 and 5 between few of them; or about four round steps."""
        if not self.logarithmic:
            step = 10 ** math.floor(math.log10(self.high / 4))
            step *= next(factor for factor in (1, 2, 5, 10) if self.high / (step * factor) <= 5)
            return [number * step for number in range(int(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1,) if len(decades) > 3 else (1, 2, 5)
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        return [figure for figure in found if self.low * 0.999 <= figure <= self.high * 1.001]


def _text(figure: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if figure >= limit:
            return f"{figure / limit:.3g}{unit}"
    return f"{figure:.3g}"


def _say(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(text)}</text>'


def draw(title: str, below: list[str], panels: list[Panel]) -> str:
    """The whole picture."""
    below = [part for line in below for part in _wrapped(line)]
    head = HEAD + 15 * max(0, len(below) - 1)
    height = head + -(-len(panels) // COLUMNS) * HEIGHT + FOOT
    size = f'width="{COLUMNS * WIDTH}" height="{height}" viewBox="0 0 {COLUMNS * WIDTH} {height}"'
    font = 'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="11" fill="#222"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        _say(14, 26, title, 'font-size="17" font-weight="600"'),
        *(_say(14, 46 + 15 * number, line, 'fill="#555"') for number, line in enumerate(below)),
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts += [f'<g transform="translate({column * WIDTH} {head + row * HEIGHT})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= WRAP:
            yield line
            line = ""
        line = f"{line} {word}".lstrip()
    yield line


def _axes(panel: Panel) -> tuple[Axis, Axis]:
    across = [x for line in panel.lines for x, _ in line.points]
    upward = [y for line in panel.lines for _, y in line.points]
    steep = max(upward) > STEEP * min(upward) > 0
    x = Axis(min(across), max(across) if max(across) > min(across) else min(across) * 10, LEFT, WIDTH - RIGHT, logarithmic=True)
    low = 10 ** math.floor(math.log10(min(upward))) if steep else 0.0
    high = 10 ** math.ceil(math.log10(max(upward))) if steep else max(upward) * 1.25
    return x, Axis(low, high or 1.0, HEIGHT - BOTTOM, TOP, logarithmic=steep)


def _panel(panel: Panel) -> Iterator[str]:
    yield _say(14, 18, panel.title, 'font-size="13" font-weight="600"')
    yield _say(14, 34, panel.seen, 'fill="#555"')
    if not any(line.points for line in panel.lines):
        yield _say(WIDTH / 2, HEIGHT / 2, "not measured", 'fill="#888"', "middle")
        return
    x, y = _axes(panel)
    for tick in y.ticks():
        at = y.at(tick)
        yield f'<path d="M{x.begin} {at:.1f}H{x.end}" stroke="#e4e4e4"/>'
        yield _say(x.begin - 6, at + 4, _text(tick), 'fill="#555"', "end")
    for tick in sorted({figure for line in panel.lines for figure, _ in line.points}):
        at = x.at(tick)
        yield f'<path d="M{at:.1f} {y.begin}v4" stroke="#999"/>' + _say(at, y.begin + 16, _text(tick), 'fill="#555"', "middle")
    yield f'<path d="M{x.begin} {y.begin}H{x.end}" stroke="#999"/>'
    yield _say((x.begin + x.end) / 2, HEIGHT - 12, panel.x, "", "middle")
    scale = "log" if y.logarithmic else "from zero"
    yield _say(x.begin - 48, TOP - 28, f"{panel.y}  ({scale})", 'font-style="italic"')
    key = x.begin
    for colour, line in zip(COLOURS, panel.lines, strict=False):
        if line.points:
            path = "M" + "L".join(f"{x.at(one):.1f} {y.at(figure):.1f}" for one, figure in line.points)
            yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for one, figure in line.points:
                shape = f'cx="{x.at(one):.1f}" cy="{y.at(figure):.1f}" r="3.2" fill="{colour}"'
                yield f"<circle {shape}><title>{escape(line.name)}: {_text(one)}, {figure:.4g}</title></circle>"
            if len(panel.lines) > 1:
                yield from _key(key, line.name, colour)
                key += 32 + 6.2 * len(line.name)


def _key(at: float, name: str, colour: str) -> Iterator[str]:
    """What a colour means, above the plot."""
    yield f'<path d="M{at:.1f} {TOP - 13}h14" stroke="{colour}" stroke-width="3"/>' + _say(at + 18, TOP - 9, name)
